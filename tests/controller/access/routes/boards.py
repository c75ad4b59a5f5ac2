"""Boards, codes on printers, their administration, and a technician's own page."""

OPEN = {
    ("GET", "/board/{link}"),
    ("POST", "/board/{link}/incidents/{incident_id}/fixed"),
    ("POST", "/board/{link}/incidents/{incident_id}/help"),
    ("GET", "/p/{code}"),
    ("POST", "/p/{code}/fixed"),
    ("POST", "/p/{code}/help"),
    ("GET", "/api/v1/boards/{link}/events"),
    ("GET", "/wall/{link}"),
    ("GET", "/api/v1/walls/{link}/events"),
}
_WALLS = {
    ("POST", "/admin/links/walls"): "operator",
    ("POST", "/admin/links/walls/{wall_id}/revoke"): "operator",
    ("GET", "/api/v1/walls"): "operator",
    ("POST", "/api/v1/walls"): "operator",
    ("DELETE", "/api/v1/walls/{wall_id}"): "operator",
}
WHOLE_PROVINCE_ONLY = set(_WALLS)
LOWEST = _WALLS | {
    ("GET", "/admin/links"): "operator",
    ("POST", "/admin/links/boards"): "operator",
    ("POST", "/admin/links/boards/{board_id}/revoke"): "operator",
    ("POST", "/admin/links/labels"): "operator",
    ("POST", "/admin/links/labels/all"): "operator",
    ("GET", "/admin/labels"): "operator",
    ("GET", "/api/v1/annexes/{annex_id}/links"): "operator",
    ("POST", "/api/v1/annexes/{annex_id}/links"): "operator",
    ("DELETE", "/api/v1/annexes/{annex_id}/links/{link_id}"): "operator",
    ("GET", "/mine"): "technician",
    ("POST", "/mine/incidents/{incident_id}/take"): "technician",
    ("POST", "/mine/incidents/{incident_id}/hand-back"): "technician",
}
OF_AN_ANNEX = {
    ("GET", "/admin/links"),
    ("POST", "/admin/links/boards"),
    ("POST", "/admin/links/labels/all"),
    ("GET", "/admin/labels"),
}
BODIES = {
    ("POST", "/admin/links/boards"): {"data": {"annex": "berkane-1", "label": "hall"}},
    ("POST", "/admin/links/walls"): {"data": {"label": "hall"}},
    ("POST", "/api/v1/walls"): {"json": {"label": "hall"}},
    ("POST", "/admin/links/labels"): {"data": {"annex": "berkane-1", "printer": "0" * 24}},
    ("POST", "/admin/links/labels/all"): {"data": {"annex": "berkane-1"}},
    ("POST", "/api/v1/annexes/{annex_id}/links"): {"json": {"label": "hall"}},
}
QUERIES = {("GET", "/admin/links"): "?annex=berkane-1", ("GET", "/admin/labels"): "?annex=berkane-1"}
NOTHING_THERE = {
    ("POST", "/admin/links/walls/{wall_id}/revoke"),
    ("DELETE", "/api/v1/walls/{wall_id}"),
    ("POST", "/admin/links/boards/{board_id}/revoke"),
    ("POST", "/admin/links/labels"),
    ("DELETE", "/api/v1/annexes/{annex_id}/links/{link_id}"),
    ("POST", "/mine/incidents/{incident_id}/take"),
    ("POST", "/mine/incidents/{incident_id}/hand-back"),
}
NAMES = {"link": "no-such-link", "board_id": "7", "link_id": "7", "wall_id": "7"}
