"""Readiness, availability and services as programs get them."""

from datetime import timedelta

import pytest
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.standing import PAPER, blocked, ready

from annexfleet_controller.store import audit, readiness
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE


@pytest.fixture
def place(site: Site) -> Site:
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2, 3):
            places.annex(db, number, now)
        places.device(db, 1, "berkane-1", now=now)
        places.queue(db, 1, "residence", waiting=3, at=now)
        found = {"berkane-1": blocked("berkane-1"), "berkane-2": ready("berkane-2")}
        readiness.note(db, found, now=now - timedelta(minutes=5))
        readiness.note(db, found, now=now)
        readiness.write_now(db, found, now=now)
    return site


def test_annexes_stand_as_the_watch_found_them(place: Site):
    answer = place.signed_in("staff").get("/api/v1/readiness").json()

    assert [(item["annex"], item["state"]) for item in answer["items"]] == [
        ("berkane-1", "blocked"), ("berkane-2", "ready"), ("berkane-3", "unknown"),
    ]  # fmt: skip
    assert answer["items"][0]["plan"] == [
        {
            "fixes": [{"cause": "paper_empty", "thing": {"kind": "printer", "id": PAPER.thing.id}, "part": "tray-1"}],
            "restores": ["etat-civil", "residence"],
        }
    ]
    assert answer["items"][2]["at"] is None
    assert answer["checked_at"] is not None


def test_a_list_can_be_narrowed_and_turned_over(place: Site):
    client = place.signed_in("staff")

    def annexes(query: str) -> list[str]:
        return [item["annex"] for item in client.get(f"/api/v1/readiness?{query}").json()["items"]]

    assert annexes("state=blocked") == ["berkane-1"]
    assert annexes("state=unknown") == ["berkane-3"]
    first = client.get("/api/v1/readiness?limit=2").json()
    assert annexes(f"limit=2&cursor={first['next']}") == ["berkane-3"]
    assert client.get("/api/v1/readiness?state=fine").status_code == 422
    own = place.signed_in("staff", annex="berkane-2").get("/api/v1/readiness").json()["items"]
    assert [item["annex"] for item in own] == ["berkane-2"]


def test_one_annex_says_why_and_what_is_the_smallest_repair(place: Site):
    found = place.signed_in("staff").get("/api/v1/readiness/berkane-1").json()

    service = next(one for one in found["services"] if one["service"] == "residence")
    assert service["state"] == "blocked"
    assert service["since"] is not None
    assert [(need["capability"], need["state"]) for need in service["needs"]] == [
        ("print", "blocked"), ("counter", "ready"),
    ]  # fmt: skip
    assert service["needs"][0]["failing"][0]["name"] == "guichet-hp"
    assert service["fix_set"][0]["cause"] == "paper_empty"


def test_availability_of_the_current_month_counts_opening_hours_only(place: Site):
    client = place.signed_in("staff")

    month = client.get("/api/v1/readiness/berkane-1/availability").json()

    whole = month["whole"]
    assert whole["open_seconds"] == pytest.approx(
        whole["ready_seconds"] + whole["degraded_seconds"] + whole["blocked_seconds"] + whole["unknown_seconds"]
    )
    assert whole["blocked_seconds"] <= 300
    assert client.get("/api/v1/readiness/berkane-1/availability?month=2026-02").json()["services"] == []
    for wrong in ("2026-13", "yester", "0000-01"):
        assert client.get(f"/api/v1/readiness/berkane-1/availability?month={wrong}").status_code == 422


def test_a_province_describes_its_services(place: Site):
    client = place.signed_in("operator")
    passport = {
        "code": "passeport", "name": {"fr": "Passeport biométrique", "ar": "جواز السفر"},
        "needs": [{"capability": "tablet"}, {"capability": "portal", "at_least": "all", "required": True}],
    }  # fmt: skip

    assert client.put("/api/v1/services", json={"services": [passport], "version": 0}).status_code == 200

    items = {item["code"]: item for item in client.get("/api/v1/services").json()["items"]}
    assert items["passeport"]["own"]
    assert items["passeport"]["name"]["fr"] == "Passeport biométrique"
    assert [need["at_least"] for need in items["passeport"]["needs"]] == [1, "all"]
    assert items["residence"]["needs"] is None
    assert not items["residence"]["own"]


def test_a_description_that_cannot_be_so_is_refused_with_field_and_reason(place: Site):
    client = place.signed_in("operator")

    refused = client.put(
        "/api/v1/services", json={"services": [{"code": "a", "needs": [{"capability": "tea"}]}], "version": 0}
    )

    assert refused.status_code == 422
    problem = refused.json()
    assert (problem["code"], problem["field"], problem["reason"]) == (
        "services_wrong", "services.0.needs.0.capability", "not_a_capability",
    )  # fmt: skip
    assert (
        client.put("/api/v1/annexes/berkane-1/services/A%20b", json={"offered": True, "version": 0}).status_code == 422
    )
    assert client.put("/api/v1/annexes/berkane-1/services/a", json=[]).status_code == 422


def test_an_annex_has_its_own_word_and_takes_it_back(place: Site):
    client = place.signed_in("operator", annex="berkane-1")
    services = "/api/v1/annexes/berkane-1/services"

    def of(code: str) -> dict[str, object]:
        return next(item for item in client.get(services).json()["items"] if item["code"] == code)

    assert of("residence")["offered"]
    assert not of("passeport")["offered"]
    assert client.put(f"{services}/passeport", json={"offered": True, "version": 0}).status_code == 200
    assert (
        client.put(f"{services}/residence", json={"needs": [{"capability": "kiosk"}], "version": 0}).status_code == 200
    )
    assert of("passeport")["offered"]
    assert [need["capability"] for need in of("residence")["needs"]] == ["kiosk"]  # type: ignore[attr-defined]

    assert client.delete(f"{services}/residence").status_code == 204
    assert client.delete(f"{services}/residence").status_code == 404
    assert of("residence")["override"] is None


def test_nobody_writes_over_what_they_did_not_read_of_a_service(place: Site):
    client = place.signed_in("operator")
    address = "/api/v1/annexes/berkane-1/services/residence"

    assert client.put(address, json={"offered": False}).status_code == 428
    first = client.put(address, json={"offered": False}, headers={"If-Match": '"0"'})
    assert first.headers["ETag"] == f'"{first.json()["version"]}"'
    assert client.put(address, json={"offered": True, "version": 0}).status_code == 409
    assert client.put(address, json={"offered": True, "version": "0"}).status_code == 422
    assert client.put(address, json={"offered": True, "version": 1}, headers={"If-Match": '"0"'}).status_code == 422
    listed = client.get("/api/v1/annexes/berkane-1/services").json()["items"]
    assert {one["code"]: one["version"] for one in listed}["residence"] == first.json()["version"]
    assert client.delete(address, headers={"If-Match": '"7"'}).status_code == 409
    assert client.delete(address, headers={"If-Match": first.headers["ETag"]}).status_code == 204

    with reading(place.engine) as db:
        told = [(entry.act, entry.subject, entry.annex_id) for entry in audit.entries(db, WHOLE)]
    assert told == [("service.change", "service:berkane-1/residence", "berkane-1")] * 2


def test_nobody_writes_over_what_they_did_not_read_of_the_catalogue(place: Site):
    client = place.signed_in("operator")
    own = {"services": [{"code": "passeport", "name": {"fr": "Passeport", "ar": "جواز السفر"}}]}

    assert client.get("/api/v1/services").headers["ETag"] == '"0"'
    assert client.put("/api/v1/services", json=own).status_code == 428
    first = client.put("/api/v1/services", json=own, headers={"If-Match": '"0"'})
    assert first.headers["ETag"] == client.get("/api/v1/services").headers["ETag"] == f'"{first.json()["version"]}"'
    assert client.put("/api/v1/services", json={"services": [], "version": 0}).status_code == 409
    place.clock.turn(seconds=1)
    again = client.put("/api/v1/services", json=own | {"version": first.json()["version"]})
    assert again.json()["version"] != first.json()["version"]

    with reading(place.engine) as db:
        assert [entry.act for entry in audit.entries(db, WHOLE)] == ["service.replace"] * 2
