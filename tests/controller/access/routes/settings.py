"""The routes of settings: annexes, districts, devices, and what is taken back."""

from tests.controller.fleet import device_id

LOWEST = {
    ("GET", "/admin/annexes/{annex_id}"): "operator",
    ("POST", "/admin/annexes/{annex_id}"): "operator",
    ("POST", "/admin/annexes/{annex_id}/retire"): "operator",
    ("POST", "/admin/annexes/{annex_id}/reopen"): "operator",
    ("GET", "/admin/districts"): "operator",
    ("POST", "/admin/districts"): "operator",
    ("POST", "/admin/districts/{district_id}"): "operator",
    ("GET", "/admin/devices"): "operator",
    ("POST", "/admin/devices"): "operator",
    ("GET", "/devices/{device_id}/settings"): "operator",
    ("POST", "/devices/{device_id}/settings"): "operator",
    ("POST", "/devices/{device_id}/move"): "operator",
    ("POST", "/devices/{device_id}/retire"): "operator",
    ("POST", "/devices/{device_id}/replace"): "operator",
    ("POST", "/admin/undo/{step_id}"): "operator",
    ("GET", "/admin/services"): "operator",
    ("GET", "/admin/services/{code}"): "operator",
    ("POST", "/admin/services/{code}"): "operator",
    ("POST", "/admin/services/{code}/remove"): "operator",
    ("PATCH", "/api/v1/annexes/{annex_id}"): "operator",
    ("POST", "/api/v1/annexes/{annex_id}/retire"): "operator",
    ("POST", "/api/v1/annexes/{annex_id}/reopen"): "operator",
    ("GET", "/api/v1/districts"): "staff",
    ("POST", "/api/v1/districts"): "operator",
    ("PATCH", "/api/v1/districts/{district_id}"): "operator",
    ("DELETE", "/api/v1/districts/{district_id}"): "operator",
    ("PATCH", "/api/v1/devices/{device_id}"): "operator",
    ("POST", "/api/v1/devices/{device_id}/retire"): "operator",
    ("POST", "/api/v1/devices/{device_id}/replace"): "operator",
}
WHOLE_PROVINCE_ONLY = {
    route
    for route in LOWEST
    if ("/districts" in route[1] or "/services" in route[1]) and route != ("GET", "/api/v1/districts")
}
OF_AN_ANNEX = {("POST", "/admin/devices")}
"""It names a device of an annex in its body."""
_ANNEX = {"name_fr": "a", "name_ar": "ا", "time_zone": "Africa/Casablanca", "version": "1"}
BODIES = {
    ("POST", "/admin/annexes/{annex_id}"): {"data": _ANNEX},
    ("POST", "/admin/districts"): {"data": {"id": "ahfir", "name_fr": "a", "name_ar": "ا"}},
    ("POST", "/admin/districts/{district_id}"): {"data": {"name_fr": "a", "name_ar": "ا"}},
    ("POST", "/admin/devices"): {"data": {"device": device_id(1), "do": "tags", "add": "x"}},
    ("POST", "/devices/{device_id}/settings"): {"data": {"name": "a", "version": "1"}},
    ("POST", "/devices/{device_id}/move"): {"data": {"to": "berkane-1"}},
    ("POST", "/devices/{device_id}/replace"): {"data": {"new": device_id(1)}},
}
BODIES |= {
    ("POST", "/admin/services/{code}"): {"data": {"name_fr": "a", "name_ar": "ا"}},
    ("PATCH", "/api/v1/annexes/{annex_id}"): {"json": {"note": "x", "version": 1}},
    ("POST", "/api/v1/districts"): {"json": {"id": "oujda", "name_fr": "a", "name_ar": "ا"}},
    ("PATCH", "/api/v1/districts/{district_id}"): {"json": {"name_fr": "a", "name_ar": "ا"}},
    ("PATCH", "/api/v1/devices/{device_id}"): {"json": {"place": "x", "version": 1}},
    ("POST", "/api/v1/devices/{device_id}/replace"): {"json": {"new": device_id(1)}},
}
NAMES = {"district_id": "nowhere", "step_id": "999"}
NOTHING_THERE = {route for route in LOWEST if "{district_id}" in route[1] or "{step_id}" in route[1]}
ANSWERS = {
    ("POST", "/admin/annexes/{annex_id}"): {303, 409},  # somebody else may have been there before
    ("POST", "/admin/annexes/{annex_id}/reopen"): {409},  # it is open
    ("POST", "/admin/districts"): {303, 422},
    ("POST", "/devices/{device_id}/settings"): {303, 409},
    ("POST", "/admin/services/{code}"): {303, 409},
    ("POST", "/admin/services/{code}/remove"): {409},  # nobody described it, or not as it was read
    ("PATCH", "/api/v1/annexes/{annex_id}"): {200, 409},
    ("POST", "/api/v1/annexes/{annex_id}/retire"): {409},  # what it touches is to be confirmed
    ("POST", "/api/v1/annexes/{annex_id}/reopen"): {409},
    ("POST", "/api/v1/districts"): {201, 422},
    ("PATCH", "/api/v1/devices/{device_id}"): {200, 409},
    ("POST", "/api/v1/devices/{device_id}/retire"): {409},
    ("POST", "/api/v1/devices/{device_id}/replace"): {422},
    ("POST", "/devices/{device_id}/move"): {422},  # it is there already
    ("POST", "/devices/{device_id}/replace"): {422},  # not by itself
}
