"""Pages of settings: annexes, districts and devices, as people change them without a script."""

import html
import re

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store import annexes, devices, reaching
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

D1, D2, D3 = (device_id(number) for number in (1, 2, 3))
ANNEX = {"name_fr": "Annexe Hassan II", "name_ar": "ملحقة الحسن الثاني", "time_zone": "Africa/Casablanca"}


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        for number in (1, 2):
            places.device(db, number, "berkane-1", now=site.clock.now())
        places.device(db, 3, "berkane-2", now=site.clock.now())
        places.printers(db, 1, [places.Printed("guichet-hp")], at=site.clock.now())
    return site


def fields(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes there, as a browser would send them."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', page, re.DOTALL)
    assert form is not None, f"no form goes to {action}"
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form[0])
    return {name: html.unescape(value) for name, value in found}


def confirm(client, answer, action: str):
    """Say yes on the page that asks."""
    assert answer.status_code == 200
    return client.post(action, data=fields(answer.text, action))


def device(site: Site, id_: str):
    with reading(site.engine) as db:
        found = devices.find(db, id_)
        assert found is not None
        return found


def test_an_annex_is_made_found_and_changed(place: Site):
    client = place.signed_in("operator")

    made = client.post("/admin/annexes", data={"id": "berkane-9", **ANNEX, "note": "Clé chez le gardien"})
    assert (made.status_code, made.headers["location"]) == (303, "/admin/tokens?annex=berkane-9")
    found = client.get("/admin/annexes?search=Hassan").text
    assert "berkane-9" in found
    assert "berkane-1" not in found.partition("<main")[2].replace('placeholder="berkane-1"', "")
    changed = client.post("/admin/annexes/berkane-9", data={**ANNEX, "name_fr": "Annexe Al Qods", "version": "1"})

    assert changed.status_code == 303
    page = client.get("/admin/annexes/berkane-9").text
    assert "Annexe Al Qods" in page
    assert "The annex is changed." in page


def test_what_cannot_be_stands_beside_its_field_with_what_was_typed(place: Site):
    client = place.signed_in("operator")

    refused = client.post("/admin/annexes", data={"id": "berkane-1", **ANNEX, "note": "third floor"})
    assert refused.status_code == 422
    assert "It is taken already." in refused.text
    assert "third floor" in refused.text
    refused = client.post("/admin/annexes/berkane-1", data={**ANNEX, "time_zone": "Mars/Olympus", "version": "1"})
    assert refused.status_code == 422
    assert 'id="wrong-time_zone"' in refused.text
    assert 'value="Mars/Olympus"' in refused.text
    assert "Annexe Hassan II" in refused.text


def test_who_comes_second_reads_what_stands_and_keeps_what_they_typed(place: Site):
    place.signed_in("operator").post("/admin/annexes/berkane-1", data={**ANNEX, "version": "1"})

    second = place.signed_in("admin").post(
        "/admin/annexes/berkane-1", data={**ANNEX, "name_fr": "Annexe Atlas", "version": "1"}
    )

    assert second.status_code == 409
    assert "Somebody else changed this meanwhile" in second.text
    assert "Annexe Hassan II" in second.text
    assert 'value="Annexe Atlas"' in second.text


def test_closing_an_annex_is_asked_with_what_it_touches_then_done_and_taken_back(place: Site):
    client = place.signed_in("operator")
    action = "/admin/annexes/berkane-1/retire"

    asked = client.post(action)
    text = re.sub(r"<[^>]*>", " ", asked.text)
    assert re.search(r"2\s+devices", text)
    assert re.search(r"1\s+printer\b", text)
    assert confirm(client, asked, action).status_code == 303
    listed = client.get("/admin/annexes").text
    assert "/admin/annexes/berkane-1" not in listed
    assert "The annex is closed." in listed
    assert client.get("/annexes/berkane-1").status_code == 200
    assert "berkane-1" in client.get("/admin/annexes?closed=yes").text
    step = re.search(r'action="(/admin/undo/\d+)"', listed)
    assert step is not None
    assert client.post(step[1]).status_code == 303

    with reading(place.engine) as db:
        assert [one.id for one in annexes.listing(db)] == ["berkane-1", "berkane-2"]
    assert device(place, D1).revoked_at is None
    again = client.post(step[1])
    assert again.status_code == 409
    assert "It was taken back already." in again.text


def test_a_closed_annex_opens_again(place: Site):
    client = place.signed_in("operator")
    confirm(client, client.post("/admin/annexes/berkane-1/retire"), "/admin/annexes/berkane-1/retire")

    page = client.get("/admin/annexes/berkane-1").text
    action = "/admin/annexes/berkane-1/reopen"
    assert client.post(action, data=fields(page, action)).status_code == 303

    assert "/admin/annexes/berkane-1" in client.get("/admin/annexes").text


def test_districts_are_made_renamed_and_removed(place: Site):
    client = place.signed_in("operator")
    names = {"name_fr": "Ahfir", "name_ar": "أحفير"}
    assert client.post("/admin/districts", data={"id": "ahfir", **names}).status_code == 303
    client.post("/admin/annexes/berkane-1", data={**ANNEX, "district": "ahfir", "version": "1"})

    assert client.post("/admin/districts/ahfir", data={**names, "do": "remove"}).status_code == 422
    assert client.post("/admin/districts/ahfir", data={**names, "name_fr": "Ahfir-Est"}).status_code == 303
    assert "Ahfir-Est" in client.get("/admin/districts", headers={"Accept-Language": "fr"}).text
    assert "berkane-2" not in client.get("/admin/annexes?district=ahfir").text.partition("<tbody")[2]
    client.post("/admin/annexes/berkane-1", data={**ANNEX, "version": "2"})
    assert client.post("/admin/districts/ahfir", data={"do": "remove"}).status_code == 303


def test_a_device_is_renamed_placed_and_tagged(place: Site):
    client = place.signed_in("operator")
    typed = {"name": "Guichet 7", "place": "Salle 2", "tags": "ring-0, kiosks", "connection": "ssh", "version": "1"}

    wrong = client.post(f"/devices/{D1}/settings", data={**typed, "ssh_address": "no address"})
    assert wrong.status_code == 422
    assert 'value="Guichet 7"' in wrong.text
    assert client.post(f"/devices/{D1}/settings", data={**typed, "ssh_address": "192.0.2.9:22"}).status_code == 303

    row = device(place, D1)
    assert (row.name, row.place, row.connection, row.ssh_address) == ("Guichet 7", "Salle 2", "ssh", "192.0.2.9:22")
    with reading(place.engine) as db:
        assert reaching.tags(db, [1]) == {1: ["kiosks", "ring-0"]}
    assert "Guichet 7" in client.get("/admin/devices?tag=ring-0").text
    assert (
        client.post(f"/devices/{D1}/settings", data={**typed, "name": "late", "connection": "mqtt"}).status_code == 409
    )


def test_a_device_is_moved_after_its_page_said_what_comes_of_it(place: Site):
    client = place.signed_in("operator")
    action = f"/devices/{D1}/move"

    asked = client.post(action, data={"to": "berkane-2"})
    assert "Alerts and readiness of both annexes are judged anew." in asked.text
    assert device(place, D1).annex_id == "berkane-1"
    assert confirm(client, asked, action).status_code == 303

    assert device(place, D1).annex_id == "berkane-2"
    confined = place.signed_in("operator", annex="berkane-2")
    assert confined.post(action, data={"to": "berkane-1"}).status_code == 422


def test_a_device_is_retired_and_another_takes_its_place(place: Site):
    client = place.signed_in("operator")
    action = f"/devices/{D1}/retire"
    assert confirm(client, client.post(action), action).status_code == 303
    page = client.get(f"/devices/{D1}/settings").text
    assert "Its past can still be read." in page
    assert client.get(f"/devices/{D1}").status_code == 200
    assert f'value="{D1}"' not in client.get("/admin/devices").text

    action = f"/devices/{D1}/replace"
    done = confirm(client, client.post(action, data={"new": D2}), action)

    assert done.headers["location"] == f"/devices/{D2}/settings"
    assert device(place, D2).name == "guichet-1"
    assert f"/devices/{D1}" in client.get(f"/devices/{D2}/settings").text
    assert f"/devices/{D2}/settings" in client.get(f"/devices/{D1}/settings").text


def test_many_devices_are_moved_as_they_were_shown_and_not_otherwise(place: Site):
    client = place.signed_in("operator")
    asked = client.post("/admin/devices", data={"device": [D1, D2], "do": "move", "to": "berkane-2"})
    assert "guichet-1" in asked.text
    sent = fields(asked.text, "/admin/devices") | {"device": [D1, D2]}
    place.signed_in("admin").post(f"/devices/{D1}/settings", data={"name": "renamed", "version": "1"})

    again = client.post("/admin/devices", data=sent)
    assert again.status_code == 409
    assert "Something changed meanwhile" in again.text
    assert device(place, D1).annex_id == "berkane-1"
    sent = fields(again.text, "/admin/devices") | {"device": [D1, D2]}
    assert client.post("/admin/devices", data=sent).status_code == 303

    assert {device(place, one).annex_id for one in (D1, D2)} == {"berkane-2"}


def test_many_devices_are_tagged_and_nothing_is_done_to_none(place: Site):
    client = place.signed_in("operator")
    assert client.post("/admin/devices", data={"do": "tags", "add": "x"}).status_code == 422
    assert client.post("/admin/devices", data={"device": [D1], "do": "tags", "add": "not ok!"}).status_code == 422

    client.post("/admin/devices", data={"device": [D1, D2], "do": "tags", "add": "ring-0"})

    with reading(place.engine) as db:
        assert reaching.tags(db) == {1: ["ring-0"], 2: ["ring-0"]}
    page = client.get("/admin/devices").text
    assert "The tags are changed." in page
    place.clock.turn(minutes=11)
    assert "The tags are changed." not in client.get("/admin/devices").text


def test_nobody_touches_what_is_outside_their_annexes(place: Site):
    confined = place.signed_in("operator", annex="berkane-1")

    assert confined.get("/admin/annexes/berkane-2").status_code == 404
    assert confined.post("/admin/devices", data={"device": [D1, D3], "do": "tags", "add": "x"}).status_code == 404
    assert confined.post(f"/devices/{D1}/replace", data={"new": D3}).status_code == 422
    assert "berkane-2" not in confined.get("/admin/annexes").text


def test_lists_are_cut_into_pages(place: Site):
    with writing(place.engine) as db:
        for number in range(10, 70):
            places.annex(db, number, place.clock.now())
            places.device(db, number, "berkane-1", now=place.clock.now(), name=f"pc-{number}")
    client = place.signed_in("operator")

    first, second = client.get("/admin/annexes").text, client.get("/admin/annexes?page=2").text
    assert (first.count("<tr>"), second.count("<tr>")) == (51, 13)
    assert client.get("/admin/annexes?page=999").text.count("<tr>") == 13
    page = client.get("/admin/devices?annex=berkane-1").text
    following = re.search(r'href="(/admin/devices\?[^"]*after=[^"]*)"', page)
    assert following is not None
    rest = client.get(html.unescape(following[1])).text
    assert page.count('name="device"') == 50
    assert rest.count('name="device"') == 12
    with reading(place.engine) as db:
        assert len(annexes.listing(db, WHOLE)) == 62
