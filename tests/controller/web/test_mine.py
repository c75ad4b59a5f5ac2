"""A technician's own page."""

import pytest
from tests.controller.site import Site
from tests.controller.web import troubled

from annexfleet_controller.store import contacts, places
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.places import Annex, District


@pytest.fixture
def trouble(site: Site):
    with writing(site.engine) as db:
        return troubled.two_annexes(db, now=site.clock.now())


def test_what_is_taken_moves_up_and_can_be_handed_back(site: Site, trouble):
    jam, _ = trouble
    salma = site.signed_in("technician", name="salma")
    assert salma.get("/mine").text.count("/take") == 2

    assert salma.post(f"/mine/incidents/{jam.id}/take").headers["location"] == f"/mine#incident-{jam.id}"
    page = salma.get("/mine").text
    assert page.count("/take") == 1
    assert f"/mine/incidents/{jam.id}/hand-back" in page

    salma.post(f"/mine/incidents/{jam.id}/hand-back")
    assert salma.get("/mine").text.count("/take") == 2


def test_who_comes_second_reads_who_was_first(site: Site, trouble):
    jam, _ = trouble
    site.signed_in("technician", name="salma").post(f"/mine/incidents/{jam.id}/take")
    karim = site.signed_in("technician", name="karim")

    answer = karim.post(f"/mine/incidents/{jam.id}/take")

    assert "Somebody was quicker" in karim.get(answer.headers["location"]).text


def test_nothing_of_other_annexes(site: Site, trouble):
    jam, cut = trouble
    page = site.signed_in("technician", annex="berkane-2").get("/mine").text

    assert f"/incidents/{cut.id}" in page
    assert f"/incidents/{jam.id}" not in page


def test_visits_go_by_district_with_note_and_telephone(site: Site, trouble):
    with writing(site.engine) as db:
        db.add(District(id="centre", name_fr="Berkane centre", name_ar="بركان المركز", created_at=site.clock.now()))
        place = db.get(Annex, "berkane-1")
        assert place is not None
        of = troubled.alert(
            db, "printer.blocked", "printer", "f" * 24, now=site.clock.now(), cause="fuser_fault",
            facts={"printer": "accueil"},
        )  # fmt: skip
        troubled.incident(db, "printer", "fuser_fault", [of], now=site.clock.now())
        place.district_id, place.note = "centre", "Clé chez M. Alami, 05 36 61 22 33"
        route = contacts.NewRoute(
            audiences="staff", annexes='["berkane-1"]', annex_ids=("berkane-1",), min_severity="info", hours="always"
        )
        contacts.create(
            db, contacts.NewContact(name="Nadia", kind="sms", address="+212600000001", language="fr"), [route], by="x",
            now=site.clock.now(),
        )  # fmt: skip
    page = site.signed_in("technician").get("/mine?show=visits").text

    assert "Berkane centre" in page
    assert "Clé chez M. Alami" in page
    assert 'href="tel:0536612233"' in page
    assert 'href="tel:+212600000001"' in page


def test_the_agenda_stands_when_it_is_empty(site: Site, trouble):
    assert "None is planned by you." in site.signed_in("operator").get("/mine?show=plans").text


@pytest.mark.parametrize(
    ("note", "numbers"),
    [("tel 0536 61 22 33", ["0536 61 22 33"]), ("+212 536-61-22-33 ou rien", ["+212 536-61-22-33"]), ("le 12.03", [])],
)
def test_numbers_are_found_in_a_note(note: str, numbers: list[str]):
    assert places.in_note(note) == numbers


def test_annexes_out_of_sight_are_not_told_of(site: Site, trouble):
    with writing(site.engine) as db:
        assert set(places.about(db, WHOLE, ["berkane-1", "nowhere"])) == {"berkane-1"}


def test_where_help_was_asked_somebody_goes_though_staff_could_mend_it(site: Site, trouble):
    jam, elsewhere, *_ = trouble
    technician = site.signed_in("technician")
    assert f"/incidents/{jam.id}" not in technician.get("/mine?show=visits").text

    site.signed_in("staff").post(f"/incidents/{jam.id}/help")

    page = technician.get("/mine?show=visits").text
    assert f"/incidents/{jam.id}" in page
    assert f"/incidents/{elsewhere.id}" not in page
