"""The services of the province, the sheet for new devices, and who edits second."""

import html
import re

import pytest
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.store import readiness
from annexfleet_controller.store.database import reading, writing

NAMES = {"name_fr": "Permis", "name_ar": "رخصة", "name_en": "Permit"}
NEEDS = {"needs": "own", "needed-0": "1", "capability-0": "counter", "at_least-0": "2", "full-0": ""}


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, f"berkane-{number}", now=site.clock.now())
    return site.with_authority()


def own(site: Site) -> dict[str, str]:
    with reading(site.engine) as db:
        return {service.code: service.name_fr for service in readiness.own_services(db)}


def read_of(page: str) -> str:
    found = re.search(r'name="read" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_a_service_is_added_changed_and_removed(place: Site):
    client = place.signed_in("operator")
    assert client.post("/admin/services/+", data={"code": "permis", **NAMES, **NEEDS}).status_code == 303
    assert own(place) == {"permis": "Permis"}
    with reading(place.engine) as db:
        need = (readiness.own_services(db)[0].needs or ())[0]
        assert (need.capability, need.at_least, need.full) == ("counter", 2, None)
    page = client.get("/admin/services/permis").text

    changed = client.post("/admin/services/permis", data={**NAMES, "name_fr": "Permis de bâtir", "read": read_of(page)})
    assert changed.status_code == 303
    listed = client.get("/admin/services").text
    assert "Permis de bâtir" in client.get("/admin/services", headers={"Accept-Language": "fr"}).text
    step = re.search(r'action="(/admin/undo/\d+)"', listed)
    assert step is not None
    assert client.post(step[1]).status_code == 303
    assert own(place) == {"permis": "Permis"}
    read = read_of(client.get("/admin/services/permis").text)
    assert client.post("/admin/services/permis/remove", data={"read": read}).status_code == 303
    assert own(place) == {}


def test_a_service_that_cannot_be_comes_back_as_it_was_typed(place: Site):
    client = place.signed_in("operator")

    wrong = client.post("/admin/services/+", data={"code": "permis", **NAMES, **NEEDS, "at_least-0": "many"})
    assert wrong.status_code == 422
    assert 'value="many"' in wrong.text
    assert client.post("/admin/services/+", data={"code": "passeport", **NAMES}).status_code == 422
    assert client.post("/admin/services/+", data={"code": "x", "name_fr": "", "name_ar": "x"}).status_code == 422
    assert own(place) == {}


def test_a_service_of_many_annexes_is_asked_about_and_not_removed(place: Site):
    client = place.signed_in("operator")
    client.post("/admin/services/+", data={"code": "permis", **NAMES})
    for number in (1, 2):
        client.post(f"/annexes/berkane-{number}/services/permis", data={"offered": "yes", "needs": "province"})
    read = read_of(client.get("/admin/services/permis").text)

    refused = client.post("/admin/services/permis/remove", data={"read": read})
    assert refused.status_code == 422
    assert "Annexes use it" in refused.text
    asked = client.post("/admin/services/permis", data={**NAMES, "name_fr": "Autre", "read": read})
    assert asked.status_code == 200
    sent = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', asked.text))
    sent = {name: html.unescape(value) for name, value in sent.items() if name != "csrf_token"}
    assert client.post("/admin/services/permis", data=sent).status_code == 303
    assert own(place) == {"permis": "Autre"}


def test_who_changes_a_service_second_is_told(place: Site):
    client = place.signed_in("operator")
    path = "/annexes/berkane-1/services/passeport"
    read = read_of(client.get(path).text)
    assert client.post(path, data={"offered": "yes", "needs": "province", "read": read}).status_code == 303
    place.clock.turn(seconds=5)

    second = client.post(path, data={"offered": "no", "needs": "province", "read": read})

    assert second.status_code == 409
    assert "Somebody else changed this meanwhile" in second.text
    assert "The service is changed." in client.get("/annexes/berkane-1/services").text


def test_who_changes_a_contact_second_is_told(place: Site):
    client = place.signed_in("operator")
    typed = {"name": "Standby", "kind": "email", "address": "it@example.ma", "language": "fr", "enabled": "1"}
    where = client.post("/admin/contacts", data=typed).headers["location"]
    assert client.post(where, data={**typed, "name": "Night", "version": "1"}).status_code == 303

    second = client.post(where, data={**typed, "name": "Day", "version": "1"})

    assert second.status_code == 409
    assert "Somebody else changed this meanwhile" in second.text
    assert 'value="Day"' in second.text


def test_a_token_comes_with_a_sheet_in_arabic_and_french_and_a_code_to_scan(place: Site):
    client = place.signed_in("operator")

    made = client.post("/admin/tokens", data={"annex": "berkane-1", "role": "tablet", "devices": 3, "hours": 24})

    assert made.status_code == 201
    sheet = re.search(r'<section class="sheet">.*?</section>', made.text, re.DOTALL)
    assert sheet is not None
    assert "annexfleet-agent enrol -" in sheet[0]
    assert "<svg" in sheet[0]
    assert "Annexe administrative 1" in sheet[0]
    assert "الملحقة الإدارية 1" in sheet[0]
    assert 'lang="ar" dir="rtl"' in sheet[0]
    assert "Nombre d’appareils" in sheet[0]
    assert '<section class="sheet">' not in client.get("/admin/tokens").text


def test_the_hours_of_the_province_and_a_rule_switched_off_are_asked_about(place: Site):
    client = place.signed_in("operator")

    asked = client.post("/admin/rules/cpu.high", data={"version": "0", "severity": "warning", "audience": "it"})
    assert asked.status_code == 200
    assert "Switch this rule off for the whole province?" in asked.text
    digest = re.search(r'name="confirmed" value="(\w+)"', asked.text)
    assert digest is not None
    done = client.post(
        "/admin/rules/cpu.high", data={"version": "0", "severity": "warning", "audience": "it", "confirmed": digest[1]}
    )
    assert done.status_code == 303
