"""What people and programs ask gives the same on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store import live, pulses
from annexfleet_controller.store.database import reading, writing


@pytest.fixture
def seeded(engine: Engine, tmp_path: Path) -> Site:
    site = Site(engine, tmp_path)
    places.province(engine, now=site.clock.now(), past_days=0.05)
    return site.with_authority()


def test_every_page_and_list(seeded: Site):
    client = seeded.signed_in()
    one = device_id(1)

    for path in ("/", "/annexes/berkane-1", f"/devices/{one}", "/admin/tokens", "/admin/set-aside", "/metrics",
                 f"/api/v1/devices/{one}", f"/api/v1/devices/{one}/series?metric=cpu_used_ratio"):  # fmt: skip
        assert client.get(path).status_code == 200, path
    for query, expected in (
        ("presence=silent", 2),
        ("presence=never", 1),
        ("presence=online", 26),
        ("search=GUICHET-2", 11),
    ):
        assert len(client.get(f"/api/v1/devices?limit=500&{query}").json()["items"]) == expected, query
    for noun, expected in (("annexes", 3), ("printers", 3), ("queues", 3)):
        assert len(client.get(f"/api/v1/{noun}").json()["items"]) == expected, noun
    page = client.get(f"/api/v1/devices/{one}/changes?limit=2").json()
    rest = client.get(f"/api/v1/devices/{one}/changes?limit=500&cursor={page['next']}").json()
    assert len(page["items"]) + len(rest["items"]) == 13
    assert len(seeded.signed_in("operator", annex="berkane-1").get("/api/v1/devices").json()["items"]) == 14


def test_people_and_what_they_do(seeded: Site):
    password = seeded.person("clerk", annex="berkane-1")
    client = seeded.visitor()
    assert client.post("/sign-in", data={"name": "clerk", "password": "wrong"}).status_code == 401
    assert client.post("/sign-in", data={"name": "clerk", "password": password}).status_code == 303
    operator = seeded.signed_in("operator")

    tokens = [
        operator.post("/api/v1/tokens", json={"annex": "berkane-1"}, headers={"Idempotency-Key": "k"}).json()
        for _ in range(2)
    ]

    assert tokens[0] == tokens[1]
    assert operator.post("/admin/annexes", data={"id": "b-9", "name_fr": "9", "name_ar": "9"}).status_code == 303


def test_what_was_missed(seeded: Site):
    now = seeded.clock.now()
    with writing(seeded.engine) as db:
        for number in (1, 2, 3):
            pulses.add(db, {number: "c"}, now=now)
    with reading(seeded.engine) as db:
        first = db.query(pulses.PulseRow.id).order_by(pulses.PulseRow.id).limit(1).scalar()
        missed = live.missed(db, first)
        unknown = live.missed(db, first + 1000)

    assert missed is not None
    assert [list(pulse.devices) for pulse in missed] == [[2], [3]]
    assert unknown is None
