from datetime import timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.places import Printed

from annexfleet_controller.store import fleet
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

ADDRESS = "/api/v1/maintenance"


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, f"berkane-{number}", now=site.clock.now())
            places.printers(db, number, [Printed("p")], at=site.clock.now())
    return site


def later(site: Site, **by: float) -> str:
    return (site.clock.now() + timedelta(**by)).isoformat()


def wanted(site: Site, **of: object) -> dict[str, object]:
    return {"annexes": ["berkane-1"], "reason": "New switch", "ends_at": later(site, hours=1)} | of


def test_it_is_planned_seen_moved_and_ended(place: Site):
    client = place.signed_in("technician", annex="berkane-1")

    made = client.post(ADDRESS, json=wanted(place))
    assert made.status_code == 201
    one = made.json()
    assert (one["state"], one["author"], one["annexes"]) == ("active", "technician-berkane-1", ["berkane-1"])
    assert client.get(ADDRESS).json()["items"] == [one]
    assert client.get(f"{ADDRESS}/{one['id']}").json() == one

    moved = client.patch(f"{ADDRESS}/{one['id']}", json={"ends_at": later(place, hours=2), "version": 1})
    assert moved.status_code == 200
    assert moved.json()["version"] == 2

    place.clock.turn(minutes=10)
    ended = client.post(f"{ADDRESS}/{one['id']}/end")
    assert (ended.status_code, ended.json()["state"]) == (200, "past")
    assert ended.json()["cancelled_by"] == "technician-berkane-1"
    assert client.get(ADDRESS).json()["items"] == []
    assert client.get(f"{ADDRESS}?state=past").json()["items"] == [ended.json()]
    assert client.post(f"{ADDRESS}/{one['id']}/end", json={}).json() == ended.json()  # over is over


def test_who_read_an_older_version_is_told_so(place: Site):
    client = place.signed_in("technician")
    id_ = client.post(ADDRESS, json=wanted(place)).json()["id"]
    client.patch(f"{ADDRESS}/{id_}", json={"ends_at": later(place, hours=2)})

    late = client.patch(f"{ADDRESS}/{id_}", json={"ends_at": later(place, hours=3), "version": 1})

    assert (late.status_code, late.json()["code"]) == (409, "maintenance_changed")
    assert client.post(f"{ADDRESS}/{id_}/end", json={"version": 1}).status_code == 409


def test_asked_twice_with_one_key_it_is_planned_once(place: Site):
    client = place.signed_in("technician")
    headers = {"Idempotency-Key": "k1"}

    first = client.post(ADDRESS, json=wanted(place), headers=headers)
    again = client.post(ADDRESS, json=wanted(place), headers=headers)
    other = client.post(ADDRESS, json=wanted(place, reason="Another"), headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 409)
    assert first.json() == again.json()
    assert len(client.get(ADDRESS).json()["items"]) == 1


@pytest.mark.parametrize(
    ("of", "status", "code", "reason"),
    [
        ({"annexes": []}, 422, "maintenance_wrong", "empty_scope"),
        ({"reason": " "}, 422, "maintenance_wrong", "no_reason"),
        ({"ends_at": None}, 422, "maintenance_wrong", "no_end"),
        ({"ends_at": "2026-01-01T00:00:00Z"}, 422, "maintenance_wrong", "end_before_start"),
        ({"ends_at": "2026-01-01T00:00:00"}, 422, "invalid", None),  # of which time zone?
        ({"annexes": ["berkane-9"]}, 404, "annex_unknown", None),
        ({"annexes": [], "devices": [device_id(99)]}, 404, "device_unknown", None),
        ({"annexes": [], "printers": ["0" * 24]}, 422, "maintenance_wrong", "unknown_thing"),
        ({"ends_at": None, "weekly": {"weekdays": ["someday"], "at": "22:00", "minutes": 9, "until": "2027-01-01"}},
         422, "invalid", None),
        ({"ends_at": None, "weekly": {"weekdays": ["monday"], "at": "29:00", "minutes": 9, "until": "2027-01-01"}},
         422, "maintenance_wrong", "time_wrong"),
        ({"roles": ["toaster"]}, 422, "maintenance_wrong", "unknown_role"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned(place: Site, of: dict[str, object], status: int, code: str, reason: str | None):
    answer = place.signed_in("technician").post(ADDRESS, json=wanted(place, **of))

    assert (answer.status_code, answer.json()["code"], answer.json().get("reason")) == (status, code, reason)


def test_a_person_of_one_annex_reaches_nothing_else(place: Site):
    whole, one = place.signed_in("operator"), place.signed_in("technician", annex="berkane-1")
    other = whole.post(ADDRESS, json=wanted(place, annexes=["berkane-2"])).json()["id"]
    both = whole.post(ADDRESS, json=wanted(place, annexes=["berkane-1", "berkane-2"])).json()
    province = whole.post(ADDRESS, json=wanted(place, annexes=[], province=True)).json()

    assert one.get(f"{ADDRESS}/{other}").status_code == 404
    assert one.post(f"{ADDRESS}/{other}/end", json={}).status_code == 404
    for seen in (both, province):
        assert one.get(f"{ADDRESS}/{seen['id']}").json()["may_change"] is False
        assert one.post(f"{ADDRESS}/{seen['id']}/end", json={}).status_code == 403
        assert one.patch(f"{ADDRESS}/{seen['id']}", json={"ends_at": later(place, hours=3)}).status_code == 403
    assert [item["id"] for item in one.get(ADDRESS).json()["items"]] == [both["id"], province["id"]]
    assert one.post(ADDRESS, json=wanted(place, annexes=[], province=True)).status_code == 403
    assert one.post(ADDRESS, json=wanted(place, annexes=["berkane-2"])).status_code == 404
    assert one.post(ADDRESS, json=wanted(place, annexes=[], devices=[device_id(2)])).status_code == 404


def test_staff_see_it_and_plan_none(place: Site):
    place.signed_in("technician").post(ADDRESS, json=wanted(place))
    staff = place.signed_in("staff", annex="berkane-1")

    assert [item["may_change"] for item in staff.get(ADDRESS).json()["items"]] == [False]
    assert staff.post(ADDRESS, json=wanted(place)).status_code == 403


def test_a_device_and_a_printer(place: Site):
    client = place.signed_in("technician", annex="berkane-1")
    with reading(place.engine) as db:
        rows = fleet.devices(db, WHOLE, now=place.clock.now(), annex_id="berkane-1")
        printer = fleet.printers(rows, fleet.known(db, rows))[0].id

    made = client.post(ADDRESS, json=wanted(place, annexes=[], devices=[device_id(1)], printers=[printer]))

    assert made.json()["things"] == [{"kind": "device", "id": device_id(1)}, {"kind": "printer", "id": printer}]
    assert [item["id"] for item in client.get(f"{ADDRESS}?annex=berkane-1").json()["items"]] == [made.json()["id"]]


def test_every_week(place: Site):
    client = place.signed_in("technician")
    until = (place.clock.now() + timedelta(days=90)).date().isoformat()
    week = {"weekdays": ["tuesday", "friday"], "at": "22:00", "minutes": 90, "until": until}

    made = client.post(ADDRESS, json=wanted(place, ends_at=None, weekly=week)).json()

    assert made["weekly"] == week
    assert made["next"] is not None or made["lasts"] is not None
    longer = (place.clock.now() + timedelta(days=120)).date().isoformat()
    assert client.patch(f"{ADDRESS}/{made['id']}", json={"until": longer}).json()["weekly"]["until"] == longer


@pytest.mark.parametrize("state", ["", "past"])
def test_page_by_page(place: Site, state: str):
    client = place.signed_in("technician")
    ids = [
        client.post(ADDRESS, json=wanted(place, ends_at=later(place, minutes=minutes))).json()["id"]
        for minutes in (30, 10, 20, 20, 50)
    ]
    if state:
        place.clock.turn(hours=1)
        client = place.signed_in("technician")  # the session of before is over

    seen: list[int] = []
    address = f"{ADDRESS}?limit=2&state={state}"
    cursor = ""
    while True:
        answer = client.get(f"{address}&cursor={cursor}").json()
        assert len(answer["items"]) <= 2
        seen += [item["id"] for item in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break

    expected = [ids[n] for n in (4, 0, 3, 2, 1)] if state else ids
    assert seen == expected


@pytest.mark.parametrize("cursor", ["nonsense", "WyJ4IiwgIjEiXQ", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJ4Il0"])
def test_a_cursor_that_is_not_ours_is_refused(place: Site, cursor: str):
    assert place.signed_in().get(f"{ADDRESS}?cursor={cursor}").status_code == 422
