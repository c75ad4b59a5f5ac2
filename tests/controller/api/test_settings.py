"""Annexes, districts and devices as programs change them."""

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store.database import writing

D1, D2 = device_id(1), device_id(2)


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, "berkane-1", now=site.clock.now())
    return site


def test_an_annex_is_changed_as_it_was_read(place: Site):
    client = place.signed_in("operator")
    client.post("/api/v1/districts", json={"id": "ahfir", "name_fr": "Ahfir", "name_ar": "أحفير"})

    changed = client.patch("/api/v1/annexes/berkane-1", json={"district": "ahfir", "note": "n", "version": 1})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json()["district"], changed.json()["note"]) == ("ahfir", "n")
    assert client.patch("/api/v1/annexes/berkane-1", json={"note": "late", "version": 1}).status_code == 409
    assert client.patch("/api/v1/annexes/berkane-1", json={"note": "x"}).status_code == 428
    wrong = client.patch("/api/v1/annexes/berkane-1", json={"time_zone": "Nowhere"}, headers={"If-Match": '"2"'})
    assert (wrong.status_code, wrong.json()["field"], wrong.json()["reason"]) == (422, "time_zone", "no_time_zone")
    assert client.get("/api/v1/districts").json()["items"][0]["annexes"] == 1
    assert client.delete("/api/v1/districts/ahfir").status_code == 422


def test_an_annex_is_closed_by_the_digest_of_what_that_touches(place: Site):
    client = place.signed_in("operator")

    asked = client.post("/api/v1/annexes/berkane-1/retire")
    assert (asked.status_code, asked.json()["code"]) == (409, "unconfirmed")
    done = client.post("/api/v1/annexes/berkane-1/retire", json={"digest": asked.json()["digest"]})

    assert done.status_code == 200
    assert done.json()["retired_at"]
    assert [one["id"] for one in client.get("/api/v1/annexes").json()["items"]] == ["berkane-2"]
    assert client.get("/api/v1/devices").json()["items"] == []
    assert client.post("/api/v1/annexes/berkane-1/reopen").json()["retired_at"] is None


def test_a_device_is_renamed_and_moved_in_one(place: Site):
    client = place.signed_in("operator")

    moved = client.patch(
        f"/api/v1/devices/{D1}", json={"name": "x", "place": "hall", "annex": "berkane-2", "version": 1}
    )

    assert moved.status_code == 200
    assert {name: moved.json()[name] for name in ("name", "place", "annex", "version")} == {
        "name": "x", "place": "hall", "annex": "berkane-2", "version": 3,
    }  # fmt: skip
    assert client.patch(f"/api/v1/devices/{D1}", json={"name": "y", "version": 1}).status_code == 409


def test_a_device_is_replaced_and_retired(place: Site):
    client = place.signed_in("operator")

    asked = client.post(f"/api/v1/devices/{D1}/replace", json={"new": D2})
    assert asked.status_code == 409
    done = client.post(f"/api/v1/devices/{D1}/replace", json={"new": D2, "digest": asked.json()["digest"]})
    assert done.json()["replaced_by"] == D2
    asked = client.post(f"/api/v1/devices/{D2}/retire")
    done = client.post(f"/api/v1/devices/{D2}/retire", json={"digest": asked.json()["digest"]})

    assert done.json()["retired_at"]
    assert client.patch(f"/api/v1/devices/{D2}", json={"name": "y", "version": 3}).status_code == 409
