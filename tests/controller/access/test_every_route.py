"""Who reaches what: every route times every role times {own annex, another annex, signed out}."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.controller.access.routes import gathered
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

STREAM = ("GET", "/api/v1/events")
"""Tested with a real server (tests/controller/api/test_events.py)."""

ENDING = {route for route in gathered().LOWEST if any(word in route[1] for word in ("sign-out", "session", "password"))}
"""After these a session may be over."""

TABLES = gathered()


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
    path = path.replace(":path", "").format(**TABLES.NAMES) + TABLES.QUERIES.get(route, "")
    return client.request(method, path, **TABLES.BODIES.get(route, {})).status_code


def test_every_route_stands_in_the_tables(site: Site):
    assert set(policies(site.app)) == TABLES.OPEN | set(TABLES.LOWEST) | {STREAM}
    assert {route for route, policy in policies(site.app).items() if isinstance(policy, Anybody)} == TABLES.OPEN
    assert all(isinstance(policies(site.app)[route], Needs) for route in (*TABLES.LOWEST, STREAM))


def test_an_application_with_a_route_without_policy_does_not_start():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/forgotten")(lambda: None)

    with pytest.raises(RuntimeError, match="GET /forgotten names no policy"):
        _refuse_routes_without_policy(app)


def test_signed_out_nobody_gets_in(place: Site):
    reached = {route: ask(place, place.visitor(), route) for route in TABLES.LOWEST}

    assert reached == {route: 401 if route[1].startswith(("/api", "/metrics")) else 303 for route in TABLES.LOWEST}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("annex", ["", "berkane-1", "berkane-2"], ids=["province", "own", "another"])
def test_who_may_what(place: Site, role: str, annex: str):
    reached, client = {}, place.signed_in(role, annex=annex)
    for route in TABLES.LOWEST:
        reached[route] = ask(place, client, route)
        if route in ENDING:
            client = place.signed_in(role, annex=annex)

    assert {route: status for route, status in reached.items() if status not in expected(route, role, annex)} == {}


def expected(route: tuple[str, str], role: str, annex: str) -> set[int]:
    """What this person must be answered."""
    if ROLES.index(role) < ROLES.index(TABLES.LOWEST[route]) or (annex and route in TABLES.WHOLE_PROVINCE_ONLY):
        return {403}
    if (annex == "berkane-2" and route in TABLES.OF_AN_ANNEX) or route in TABLES.NOTHING_THERE:
        return {404}
    return TABLES.ANSWERS.get(route, {200, 201, 204, 303})


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
