"""Who reaches what: every route times every role times {own annex, another annex, signed out}."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.controller.fleet import add_devices, device_id
from tests.controller.site import Site
from tests.controller.supplies.past import supply_day
from tests.controller.web import places, ran
from tests.controller.web.library import library

from annexfleet_controller.access.door import Anybody, Needs
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.app import _refuse_routes_without_policy, policies
from annexfleet_controller.rollouts import bundle
from annexfleet_controller.store import supplies
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.runs import targets_digest

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/sign-in"),
    ("POST", "/sign-in"),
    ("POST", "/language"),
}
"""Everything that can be reached without a session, besides /static."""

LOWEST = {
    ("GET", "/"): "staff",
    ("GET", "/annexes/{annex_id}"): "staff",
    ("GET", "/devices/{device_id}"): "staff",
    ("GET", "/supplies"): "staff",
    ("GET", "/supplies/print"): "staff",
    ("POST", "/supplies/stock"): "technician",
    ("GET", "/password"): "staff",
    ("POST", "/password"): "staff",
    ("POST", "/sign-out"): "staff",
    ("GET", "/admin/annexes"): "operator",
    ("POST", "/admin/annexes"): "operator",
    ("GET", "/admin/tokens"): "operator",
    ("POST", "/admin/tokens"): "operator",
    ("POST", "/admin/tokens/{token_id}/revoke"): "operator",
    ("GET", "/admin/set-aside"): "operator",
    ("GET", "/annexes/{annex_id}/calendar"): "staff",
    ("POST", "/annexes/{annex_id}/calendar"): "operator",
    ("GET", "/admin/calendars"): "staff",
    ("POST", "/admin/calendars"): "operator",
    ("GET", "/admin/contacts"): "operator",
    ("GET", "/admin/contacts/new"): "operator",
    ("POST", "/admin/contacts"): "operator",
    ("GET", "/admin/contacts/{contact_id}"): "operator",
    ("POST", "/admin/contacts/{contact_id}"): "operator",
    ("POST", "/admin/contacts/{contact_id}/test"): "operator",
    ("POST", "/admin/contacts/{contact_id}/remove"): "operator",
    ("POST", "/admin/notices/{notice_id}/retry"): "operator",
    ("GET", "/annexes/{annex_id}/services"): "operator",
    ("GET", "/annexes/{annex_id}/services/{code}"): "operator",
    ("POST", "/annexes/{annex_id}/services/{code}"): "operator",
    ("GET", "/api/v1/readiness"): "staff",
    ("GET", "/api/v1/readiness/{annex_id}"): "staff",
    ("GET", "/api/v1/readiness/{annex_id}/availability"): "staff",
    ("GET", "/api/v1/services"): "staff",
    ("PUT", "/api/v1/services"): "operator",
    ("GET", "/api/v1/annexes/{annex_id}/services"): "staff",
    ("PUT", "/api/v1/annexes/{annex_id}/services/{code}"): "operator",
    ("DELETE", "/api/v1/annexes/{annex_id}/services/{code}"): "operator",
    ("GET", "/api/v1/annexes"): "staff",
    ("POST", "/api/v1/annexes"): "operator",
    ("GET", "/api/v1/annexes/{annex_id}"): "staff",
    ("GET", "/api/v1/calendars"): "staff",
    ("GET", "/api/v1/calendars/province"): "staff",
    ("PUT", "/api/v1/calendars/province"): "operator",
    ("GET", "/api/v1/calendars/holidays"): "staff",
    ("POST", "/api/v1/calendars/holidays"): "operator",
    ("DELETE", "/api/v1/calendars/holidays/{day}"): "operator",
    ("GET", "/api/v1/calendars/ramadan"): "staff",
    ("PUT", "/api/v1/calendars/ramadan"): "operator",
    ("DELETE", "/api/v1/calendars/ramadan/{hijri_year}"): "operator",
    ("GET", "/api/v1/calendars/{annex_id}"): "staff",
    ("PUT", "/api/v1/calendars/{annex_id}"): "operator",
    ("DELETE", "/api/v1/calendars/{annex_id}"): "operator",
    ("GET", "/api/v1/devices"): "staff",
    ("GET", "/api/v1/devices/{device_id}"): "staff",
    ("GET", "/api/v1/devices/{device_id}/series"): "staff",
    ("GET", "/api/v1/devices/{device_id}/changes"): "staff",
    ("GET", "/api/v1/printers"): "staff",
    ("GET", "/api/v1/queues"): "staff",
    ("GET", "/api/v1/inventory"): "technician",
    ("PUT", "/api/v1/devices/{device_id}/connection"): "operator",
    ("PUT", "/api/v1/devices/{device_id}/tags"): "operator",
    ("GET", "/api/v1/supplies"): "staff",
    ("GET", "/api/v1/supplies/orders"): "staff",
    ("GET", "/api/v1/supplies/orders.csv"): "staff",
    ("GET", "/api/v1/supplies/visits"): "staff",
    ("GET", "/api/v1/supplies/visits.csv"): "staff",
    ("PUT", "/api/v1/supplies/stock/{order_key}"): "technician",
    ("GET", "/api/v1/tokens"): "operator",
    ("POST", "/api/v1/tokens"): "operator",
    ("DELETE", "/api/v1/tokens/{token_id}"): "operator",
    ("GET", "/api/v1/contacts"): "operator",
    ("POST", "/api/v1/contacts"): "operator",
    ("GET", "/api/v1/contacts/{contact_id}"): "operator",
    ("PUT", "/api/v1/contacts/{contact_id}"): "operator",
    ("DELETE", "/api/v1/contacts/{contact_id}"): "operator",
    ("POST", "/api/v1/contacts/{contact_id}/test"): "operator",
    ("GET", "/api/v1/notices"): "operator",
    ("GET", "/api/v1/notices/{notice_id}"): "operator",
    ("POST", "/api/v1/notices/{notice_id}/retry"): "operator",
    ("GET", "/admin/rules"): "operator",
    ("GET", "/admin/rules/{rule_id}"): "operator",
    ("POST", "/admin/rules/{rule_id}"): "operator",
    ("POST", "/admin/rules/{rule_id}/reset"): "operator",
    ("GET", "/api/v1/rules"): "staff",
    ("PUT", "/api/v1/rules/{rule_id}"): "operator",
    ("DELETE", "/api/v1/rules/{rule_id}"): "operator",
    ("GET", "/maintenance"): "technician",
    ("POST", "/maintenance"): "technician",
    ("POST", "/maintenance/{maintenance_id}/end"): "technician",
    ("POST", "/maintenance/{maintenance_id}/move-end"): "technician",
    ("GET", "/api/v1/maintenance"): "staff",
    ("POST", "/api/v1/maintenance"): "technician",
    ("GET", "/api/v1/maintenance/{maintenance_id}"): "staff",
    ("POST", "/api/v1/maintenance/{maintenance_id}/end"): "technician",
    ("PATCH", "/api/v1/maintenance/{maintenance_id}"): "technician",
    ("GET", "/alerts"): "staff",
    ("POST", "/alerts/acknowledge"): "technician",
    ("GET", "/incidents"): "staff",
    ("GET", "/incidents/{incident_id}"): "staff",
    ("POST", "/incidents/{incident_id}/acknowledge"): "technician",
    ("POST", "/incidents/{incident_id}/withdraw"): "technician",
    ("POST", "/incidents/{incident_id}/note"): "technician",
    ("POST", "/incidents/{incident_id}/help"): "staff",
    ("GET", "/api/v1/alerts"): "staff",
    ("GET", "/api/v1/alerts/{alert_id}"): "staff",
    ("POST", "/api/v1/alerts/acknowledge"): "technician",
    ("POST", "/api/v1/alerts/withdraw"): "technician",
    ("GET", "/api/v1/incidents"): "staff",
    ("GET", "/api/v1/incidents/{incident_id}"): "staff",
    ("POST", "/api/v1/incidents/{incident_id}/acknowledge"): "technician",
    ("POST", "/api/v1/incidents/{incident_id}/withdraw"): "technician",
    ("POST", "/api/v1/incidents/{incident_id}/note"): "technician",
    ("POST", "/api/v1/incidents/{incident_id}/help"): "staff",
    ("GET", "/incidents/{incident_id}/fixed"): "staff",
    ("POST", "/incidents/{incident_id}/fixed"): "staff",
    ("GET", "/api/v1/incidents/{incident_id}/fixed"): "staff",
    ("POST", "/api/v1/incidents/{incident_id}/fixed"): "staff",
    ("GET", "/admin/audit"): "operator",
    ("GET", "/api/v1/audit"): "operator",
    ("POST", "/devices/{device_id}/commands"): "technician",
    ("GET", "/api/v1/devices/{device_id}/commands"): "technician",
    ("POST", "/api/v1/devices/{device_id}/commands"): "technician",
    ("GET", "/api/v1/commands/{command_id}"): "technician",
    ("GET", "/api/v1/commands/{command_id}/attachment"): "technician",
    ("GET", "/runs"): "technician",
    ("POST", "/runs"): "technician",
    ("GET", "/runs/new"): "technician",
    ("POST", "/runs/new"): "technician",
    ("GET", "/runs/{run_id}"): "technician",
    ("GET", "/runs/{run_id}/devices/{device_id}"): "technician",
    ("POST", "/runs/{run_id}/cancel"): "technician",
    ("POST", "/runs/{run_id}/apply"): "technician",
    ("POST", "/runs/{run_id}/retry"): "technician",
    ("GET", "/api/v1/playbooks"): "technician",
    ("GET", "/api/v1/runs"): "technician",
    ("POST", "/api/v1/runs"): "technician",
    ("GET", "/api/v1/runs/{run_id}"): "technician",
    ("GET", "/api/v1/runs/{run_id}/hosts"): "technician",
    ("GET", "/api/v1/runs/{run_id}/hosts/{device_id}"): "technician",
    ("GET", "/api/v1/runs/{run_id}/diffs"): "technician",
    ("POST", "/api/v1/runs/{run_id}/cancel"): "technician",
    ("POST", "/api/v1/runs/{run_id}/retry"): "technician",
    ("GET", "/desired"): "staff",
    ("POST", "/desired/repair"): "operator",
    ("GET", "/desired/layer"): "staff",
    ("POST", "/desired/layer"): "operator",
    ("GET", "/desired/version"): "staff",
    ("POST", "/desired/take-back"): "operator",
    ("GET", "/desired/devices/{device_id}"): "staff",
    ("GET", "/api/v1/desired"): "staff",
    ("GET", "/api/v1/desired/layer"): "staff",
    ("PUT", "/api/v1/desired/layer"): "operator",
    ("POST", "/api/v1/desired/preview"): "operator",
    ("GET", "/api/v1/desired/history"): "staff",
    ("GET", "/api/v1/desired/diff"): "staff",
    ("POST", "/api/v1/desired/take-back"): "operator",
    ("GET", "/api/v1/desired/devices/{device_id}"): "staff",
    ("GET", "/api/v1/desired/drift"): "staff",
    ("POST", "/api/v1/desired/repair"): "operator",
    ("GET", "/api/v1/openapi.json"): "staff",
    ("GET", "/metrics"): "technician",
}
STREAM = ("GET", "/api/v1/events")
"""Tested with a real server (tests/controller/api/test_events.py)."""

WHOLE_PROVINCE_ONLY = {
    ("GET", "/metrics"),
    ("GET", "/admin/annexes"),
    ("POST", "/admin/annexes"),
    ("POST", "/api/v1/annexes"),
    # Without an annex they are about the province's rules; with one: tests/controller/api/test_rules.py.
    ("POST", "/admin/rules/{rule_id}"),
    ("POST", "/admin/rules/{rule_id}/reset"),
    ("PUT", "/api/v1/rules/{rule_id}"),
    ("DELETE", "/api/v1/rules/{rule_id}"),
    ("POST", "/admin/calendars"),
    ("PUT", "/api/v1/calendars/province"),
    ("POST", "/api/v1/calendars/holidays"),
    ("DELETE", "/api/v1/calendars/holidays/{day}"),
    ("PUT", "/api/v1/calendars/ramadan"),
    ("DELETE", "/api/v1/calendars/ramadan/{hijri_year}"),
    ("POST", "/supplies/stock"),
    ("PUT", "/api/v1/supplies/stock/{order_key}"),
    ("PUT", "/api/v1/services"),
} | {route for route in LOWEST if "/contacts" in route[1] or "/notices" in route[1]}
OF_AN_ANNEX = {route for route in LOWEST if "{annex_id}" in route[1] or "{device_id}" in route[1]} | {
    ("POST", "/admin/tokens"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/maintenance"),
    ("POST", "/api/v1/maintenance"),
    ("POST", "/runs"),
    ("POST", "/runs/new"),
    ("GET", "/desired/layer"),
    ("POST", "/desired/layer"),
    ("GET", "/desired/version"),
    ("POST", "/desired/take-back"),
    ("GET", "/api/v1/desired/layer"),
    ("PUT", "/api/v1/desired/layer"),
    ("POST", "/api/v1/desired/preview"),
    ("GET", "/api/v1/desired/history"),
    ("GET", "/api/v1/desired/diff"),
    ("POST", "/api/v1/desired/take-back"),
}
"""Those that name an annex, or something in one: 404 where it is not among one's own."""

LATER = (datetime.now(UTC) + timedelta(hours=9)).isoformat()
BODIES = {
    ("POST", "/annexes/{annex_id}/services/{code}"): {"data": {"offered": "yes", "needs": "province"}},
    ("PUT", "/api/v1/services"): {"json": {"services": []}},
    ("PUT", "/api/v1/annexes/{annex_id}/services/{code}"): {"json": {"offered": True}},
    ("POST", "/annexes/{annex_id}/calendar"): {"data": {"do": "reset", "version": "0"}},
    ("POST", "/admin/calendars"): {"data": {"do": "feast", "name": "eid_al_fitr", "date": "2027-03-10"}},
    ("PUT", "/api/v1/calendars/province"): {"json": {"version": 0, "document": {}}},
    ("PUT", "/api/v1/calendars/{annex_id}"): {"json": {"version": 1, "document": {}}},
    ("POST", "/api/v1/calendars/holidays"): {"json": {"name": "eid_al_fitr", "date": "2027-03-10"}},
    ("PUT", "/api/v1/calendars/ramadan"): {
        "json": {"first_day": "2027-02-08", "last_day": "2027-03-09", "confirmed": False}
    },
    ("POST", "/admin/tokens"): {"data": {"annex": "berkane-1"}},
    ("POST", "/api/v1/tokens"): {"json": {"annex": "berkane-1"}},
    ("POST", "/maintenance"): {"data": {"annex": "berkane-1", "reason": "x"}},
    ("POST", "/maintenance/{maintenance_id}/end"): {"data": {"version": "1"}},
    ("POST", "/maintenance/{maintenance_id}/move-end"): {"data": {"version": "1"}},
    ("POST", "/api/v1/maintenance"): {"json": {"annexes": ["berkane-1"], "reason": "x", "ends_at": LATER}},
    ("POST", "/api/v1/maintenance/{maintenance_id}/end"): {"json": {}},
    ("PATCH", "/api/v1/maintenance/{maintenance_id}"): {"json": {"ends_at": LATER}},
    ("POST", "/alerts/acknowledge"): {"data": {"incident": "7"}},
    ("POST", "/incidents/{incident_id}/note"): {"data": {"note": "x"}},
    ("POST", "/api/v1/alerts/acknowledge"): {"json": {"ids": [7]}},
    ("POST", "/api/v1/alerts/withdraw"): {"json": {"ids": [7]}},
    ("POST", "/api/v1/incidents/{incident_id}/note"): {"json": {"note": "x"}},
    ("POST", "/admin/annexes"): {"data": {"id": "berkane-9", "name_fr": "9", "name_ar": "9"}},
    ("POST", "/api/v1/annexes"): {"json": {"id": "berkane-8", "name_fr": "9", "name_ar": "9"}},
    ("POST", "/admin/rules/{rule_id}"): {"data": {"audience": "it", "enabled": "1"}},
    ("PUT", "/api/v1/rules/{rule_id}"): {"json": {}},
    ("POST", "/admin/contacts"): {"data": {"name": "x", "kind": "email", "address": "x@example.ma", "language": "fr"}},
    ("POST", "/admin/contacts/{contact_id}"): {"data": {"name": "x", "kind": "email", "language": "fr"}},
    ("POST", "/api/v1/contacts"): {"json": {"name": "x", "kind": "email", "address": "x@example.ma"}},
    ("PUT", "/api/v1/contacts/{contact_id}"): {"json": {"name": "x", "kind": "email", "address": "x@example.ma"}},
    ("POST", "/supplies/stock"): {"data": {"order_key": "cf259a", "quantity": "4"}},
    ("PUT", "/api/v1/supplies/stock/{order_key}"): {"json": {"quantity": 4}},
    ("PUT", "/api/v1/devices/{device_id}/connection"): {"json": {"connection": "ssh", "ssh_address": "10.0.0.9:22"}},
    ("PUT", "/api/v1/devices/{device_id}/tags"): {"json": {"tags": ["ring-0"]}},
    ("POST", "/devices/{device_id}/commands"): {"data": {"name": "diagnostics"}},
    ("POST", "/api/v1/devices/{device_id}/commands"): {"json": {"name": "diagnostics"}},
    ("POST", "/runs/new"): {"data": {"playbook": "files", "annex": "berkane-1"}},
    ("POST", "/runs"): {
        "data": {"playbook": "files", "annex": "berkane-1", "do": "check", "digest": targets_digest([device_id(1)])}
    },
    ("POST", "/api/v1/runs"): {"json": {"playbook": "nothing", "devices": [device_id(1)]}},
    ("POST", "/desired/layer"): {
        "data": {"do": "preview", "version": "0", "package.0.name": "htop", "package.0.how": "present"}
    },
    ("POST", "/desired/take-back"): {"data": {"to": "0", "version": "0"}},
    ("POST", "/desired/repair"): {"data": {"name": "x"}},
    ("PUT", "/api/v1/desired/layer"): {"json": {"version": 0, "document": {}}},
    ("POST", "/api/v1/desired/preview"): {"json": {"document": {}}},
    ("POST", "/api/v1/desired/take-back"): {"json": {"to": 0, "version": 0}},
    ("POST", "/api/v1/desired/repair"): {"json": {"name": "x"}},
    ("POST", "/password"): {"data": {"old": "x", "new": "y", "again": "z"}},
}
QUERIES = {
    ("GET", "/api/v1/devices/{device_id}/series"): "?metric=cpu_used_ratio",
    ("GET", "/api/v1/calendars/holidays"): "?year=2027",
    ("DELETE", "/api/v1/calendars/holidays/{day}"): "?name=nothing",
    ("GET", "/desired/layer"): "?kind=annex&of=berkane-1",
    ("POST", "/desired/layer"): "?kind=annex&of=berkane-1",
    ("GET", "/desired/version"): "?kind=annex&of=berkane-1&version=0",
    ("POST", "/desired/take-back"): "?kind=annex&of=berkane-1",
    ("GET", "/api/v1/desired/layer"): "?kind=annex&of=berkane-1",
    ("PUT", "/api/v1/desired/layer"): "?kind=annex&of=berkane-1",
    ("POST", "/api/v1/desired/preview"): "?kind=annex&of=berkane-1",
    ("GET", "/api/v1/desired/history"): "?kind=annex&of=berkane-1",
    ("GET", "/api/v1/desired/diff"): "?kind=annex&of=berkane-1&before=0&after=0",
    ("POST", "/api/v1/desired/take-back"): "?kind=annex&of=berkane-1",
}
NOTHING_DIFFERS = {("POST", "/desired/repair"), ("POST", "/api/v1/desired/repair")}
"""409 where no device differs from what is wanted of it."""
NOTHING_THERE = {
    route
    for route in LOWEST
    if any(
        f"{{{name}}}" in route[1]
        for name in (
            "token_id",
            "contact_id",
            "notice_id",
            "alert_id",
            "incident_id",
            "maintenance_id",
            "command_id",
            "run_id",
        )
    )
} | {
    ("DELETE", "/api/v1/calendars/holidays/{day}"),
    ("POST", "/alerts/acknowledge"),
    ("POST", "/api/v1/alerts/acknowledge"),
    ("POST", "/api/v1/alerts/withdraw"),
    ("POST", "/api/v1/runs"),
}
"""Those that are asked about something that is not there, with a right that would show it."""

NAMES = {
    "alert_id": "7",
    "annex_id": "berkane-1",
    "code": "residence",
    "command_id": "c-nothing",
    "contact_id": "7",
    "day": "2027-03-10",
    "device_id": device_id(1),
    "hijri_year": "1448",
    "incident_id": "7",
    "maintenance_id": "7",
    "notice_id": "7",
    "order_key": "cf259a",
    "rule_id": "cpu.high",
    "run_id": "7",
    "token_id": "nothing",
}
"""What stands in the place of the names in a route's path."""


@pytest.fixture
def place(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    directory = library(tmp_path / "library")
    monkeypatch.setattr(bundle, "library", lambda _home: directory)
    with writing(site.engine) as db:
        places.annex(db, 1, site.clock.now())
        places.annex(db, 2, site.clock.now())
        supplies.note(db, [supply_day(site.clock.now().date())])
    add_devices(site.engine, 1)
    with writing(site.engine) as db:
        ran.takes_commands(db, 1)
    return site.with_authority()


def ask(site: Site, client, route: tuple[str, str]) -> int:
    method, path = route
    path = path.format(**NAMES) + QUERIES.get(route, "")
    return client.request(method, path, **BODIES.get(route, {})).status_code


def test_every_route_stands_in_the_tables_above(site: Site):
    assert set(policies(site.app)) == OPEN | set(LOWEST) | {STREAM}
    assert {route for route, policy in policies(site.app).items() if isinstance(policy, Anybody)} == OPEN
    assert all(isinstance(policies(site.app)[route], Needs) for route in (*LOWEST, STREAM))


def test_an_application_with_a_route_without_policy_does_not_start():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/forgotten")(lambda: None)

    with pytest.raises(RuntimeError, match="GET /forgotten names no policy"):
        _refuse_routes_without_policy(app)


def test_signed_out_nobody_gets_in(place: Site):
    reached = {route: ask(place, place.visitor(), route) for route in LOWEST}

    assert reached == {route: 401 if route[1].startswith(("/api", "/metrics")) else 303 for route in LOWEST}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("annex", ["", "berkane-1", "berkane-2"], ids=["province", "own", "another"])
def test_who_may_what(place: Site, role: str, annex: str):
    reached = {route: ask(place, place.signed_in(role, annex=annex), route) for route in LOWEST}

    assert {route: status for route, status in reached.items() if status not in expected(route, role, annex)} == {}


def expected(route: tuple[str, str], role: str, annex: str) -> set[int]:
    """What this person must be answered."""
    if ROLES.index(role) < ROLES.index(LOWEST[route]) or (annex and route in WHOLE_PROVINCE_ONLY):
        return {403}
    if (annex == "berkane-2" and route in OF_AN_ANNEX) or route in NOTHING_THERE:
        return {404}
    if route in NOTHING_DIFFERS:
        return {409}
    return {422} if route == ("POST", "/password") else {200, 201, 204, 303}


def test_lists_hold_nothing_of_other_annexes(place: Site):
    with writing(place.engine) as db:
        places.device(db, 2, "berkane-2", now=place.clock.now())
        for number in (1, 2):
            places.printers(db, number, [places.Printed(f"printer-{number}")], at=place.clock.now())
            places.queue(db, number, f"service-{number}", waiting=3, at=place.clock.now())
    client = place.signed_in("operator", annex="berkane-2")

    for noun, expected in (("annexes", ["berkane-2"]), ("devices", ["guichet-2"]), ("printers", ["printer-2"])):
        items = client.get(f"/api/v1/{noun}").json()["items"]
        assert [item.get("name", item["id"]) for item in items] == expected
    assert [item["service"] for item in client.get("/api/v1/queues").json()["items"]] == ["service-2"]
    board = client.get("/").text
    assert "berkane-2" in board
    assert "berkane-1" not in board
    assert client.get("/api/v1/devices?annex=berkane-1").json()["items"] == []


def test_a_moved_device_is_out_of_sight_at_the_next_request(place: Site):
    client = place.signed_in("staff", annex="berkane-1")
    assert client.get(f"/devices/{device_id(1)}").status_code == 200

    with writing(place.engine) as db:
        from annexfleet_controller.store import devices

        device = devices.find(db, device_id(1))
        assert device is not None
        device.annex_id = "berkane-2"

    assert client.get(f"/devices/{device_id(1)}").status_code == 404
