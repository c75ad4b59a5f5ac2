"""Pages of single things: a device's figures and its watch, a printer, a queue; filters that people keep."""

LOWEST = {
    ("GET", "/devices/{device_id}/figures"): "staff",
    ("POST", "/devices/{device_id}/watch"): "staff",
    ("GET", "/printers/{printer_id}"): "staff",
    ("GET", "/annexes/{annex_id}/queues/{queue:path}"): "staff",
    ("POST", "/alerts/filters"): "staff",
    ("POST", "/alerts/filters/remove"): "staff",
    ("GET", "/api/v1/filters"): "staff",
    ("POST", "/api/v1/filters"): "staff",
    ("DELETE", "/api/v1/filters"): "staff",
    ("GET", "/api/v1/incidents/{incident_id}/timeline"): "staff",
}
BODIES = {
    ("POST", "/alerts/filters"): {"data": {"name": "mine", "query": "who=mine"}},
    ("POST", "/alerts/filters/remove"): {"data": {"name": "mine"}},
    ("POST", "/api/v1/filters"): {"json": {"name": "mine", "narrowed": {"who": "mine"}}},
}
QUERIES = {("DELETE", "/api/v1/filters"): "?name=nothing"}
NOTHING_THERE = {
    ("DELETE", "/api/v1/filters"),
    ("GET", "/api/v1/incidents/{incident_id}/timeline"),
    ("GET", "/printers/{printer_id}"),
    ("GET", "/annexes/{annex_id}/queues/{queue:path}"),
}
NAMES = {"printer_id": "3f0c9a3b1d5e7f90aa11bb22", "queue": "nothing"}
