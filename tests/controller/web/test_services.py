"""What pages show of services, and how they are edited without a script."""

import html
import re
from datetime import timedelta

import pytest
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.standing import blocked, ready

from annexfleet_controller.readiness.model import AnnexReadiness
from annexfleet_controller.readiness.services import NeedDefinition, Override
from annexfleet_controller.store import readiness
from annexfleet_controller.store.database import reading, writing

RESIDENCE = "/annexes/berkane-1/services/residence"


@pytest.fixture
def place(site: Site) -> Site:
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
        places.device(db, 1, "berkane-1", now=site.clock.now())
        places.device(db, 2, "berkane-2", now=site.clock.now())
        places.queue(db, 1, "residence", waiting=3, at=site.clock.now())
        places.printers(db, 1, [places.Printed("guichet-hp")], at=site.clock.now())
    return site


def found(site: Site, *annexes: AnnexReadiness) -> None:
    with writing(site.engine) as db:
        of = {annex.annex_id: annex for annex in annexes}
        readiness.note(db, of, now=site.clock.now())
        readiness.write_now(db, of, now=site.clock.now())


def text(page: str) -> str:
    """What a page says, in one line."""
    words = html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<main")[2]))
    return " ".join(re.sub("[\u2066-\u2069]", "", words).split())


def test_an_annex_says_which_services_it_can_provide_and_what_brings_them_back(place: Site):
    found(place, blocked("berkane-1"))

    page = place.signed_in("staff").get("/annexes/berkane-1").text

    said = text(page)
    assert "Once this is fixed, 2 services can be provided again Civil status , Residence certificate" in said
    assert "Out of paper (guichet-hp)" in said
    assert "0 of 1 in working order at least 1 is needed guichet-hp Out of paper" in said
    assert '<span class="mark blocked">' in page
    assert '<span class="mark degraded">' in page


def test_the_province_shows_blocked_annexes_first_with_the_first_repair(place: Site):
    found(place, ready("berkane-1"), blocked("berkane-2"))

    page = place.signed_in("staff").get("/").text

    assert page.index("annex-berkane-2") < page.index("annex-berkane-1")
    said = text(page)
    assert "2 services cannot be provided" in said
    assert "1 service ready" in said


def test_what_nobody_looked_at_lately_is_not_believed(place: Site):
    assert "Services: nobody knows" in text(place.signed_in("staff").get("/").text)
    found(place, ready("berkane-1"))
    place.clock.turn(minutes=15)

    client = place.signed_in("staff")

    assert "1 service ready" not in text(client.get("/").text)
    assert "Nobody knows how the services stand now" in text(client.get("/annexes/berkane-1").text)


def test_a_printer_cannot_speak_html(place: Site):
    found(place, blocked("berkane-1", name="<script>alert(1)</script>\u202e"))

    page = place.signed_in("staff").get("/annexes/berkane-1").text

    assert "<script>alert" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
def test_pages_of_services_speak_every_language(place: Site, language: str):
    found(place, blocked("berkane-1"))
    client = place.signed_in("operator")
    client.headers["Accept-Language"] = language

    for path in ("/", "/annexes/berkane-1", "/annexes/berkane-1/services", RESIDENCE):
        page = client.get(path)
        assert page.status_code == 200
        assert f'<html lang="{language}"' in page.text


def test_an_annex_is_asked_what_it_offers_and_needs(place: Site):
    page = place.signed_in("operator").get(RESIDENCE).text

    assert re.search(r'name="offered" value="queues" checked', page)
    assert re.search(r'name="needs" value="province" checked', page)
    assert "guichet-hp" in page
    assert place.signed_in("operator").get("/annexes/berkane-1/services/nothing").status_code == 404


def form(**fields: object) -> dict[str, object]:
    return {"offered": "yes", "needs": "own", "capability-0": "counter", "at_least-0": "1", **fields}


def kept(site: Site) -> dict[str, Override]:
    with reading(site.engine) as db:
        return readiness.overrides(db, "berkane-1")


def test_a_form_without_script_changes_what_counts_here(place: Site):
    client = place.signed_in("operator", annex="berkane-1")

    answer = client.post(
        RESIDENCE,
        data=form(**{
            "needed-0": "1", "full-0": "2", "capability-1": "print", "needed-1": "1", "of-1": ["p1", "p2"],
            "at_least-1": "", "required-1": "1", "instead-0": "kiosk,tablet", "capability-2": "portal",
        }),
    )  # fmt: skip

    assert (answer.status_code, answer.headers["location"]) == (303, "/annexes/berkane-1/services")
    assert kept(place) == {
        "residence": Override(
            offered=True,
            needs=(
                NeedDefinition(capability="counter", full=2, instead=("kiosk", "tablet")),
                NeedDefinition(capability="print", at_least=None, of=("p1", "p2"), required=True),
            ),
        )
    }
    assert "set for this annex" in text(client.get("/annexes/berkane-1/services").text)
    again = client.get(RESIDENCE).text
    assert re.search(r'name="of-1" value="p2" checked', again)  # though the annex has no such printer


def test_a_form_that_says_nothing_of_its_own_takes_back_what_was_said(place: Site):
    client = place.signed_in("operator")
    client.post(RESIDENCE, data={"offered": "no", "needs": "province"})
    assert kept(place) == {"residence": Override(offered=False)}

    read = re.search(r'name="read" value="([^"]*)"', client.get(RESIDENCE).text)
    assert read is not None
    client.post(RESIDENCE, data={"offered": "queues", "needs": "province", "read": read[1]})

    assert kept(place) == {}


@pytest.mark.parametrize(
    ("fields", "said", "field"),
    [
        ({"needed-0": "1", "at_least-0": "two"}, "Give a whole number", "at_least-0"),
        ({"needed-0": "1", "at_least-0": "3", "full-0": "2"}, "Reduced means cannot begin below", "full-0"),
        ({"capability-4": "print", "needed-4": "1", "at_least-4": "5000"}, "Give a number from 0 to 1000", "at_least-"),
        ({}, "Something is missing here", ""),
    ],
)
def test_a_form_that_cannot_be_so_comes_back_with_what_was_typed_and_where_it_is_wrong(
    place: Site, fields: dict[str, object], said: str, field: str
):
    answer = place.signed_in("operator").post(RESIDENCE, data=form(**fields))

    assert answer.status_code == 422
    assert said in text(answer.text)
    assert kept(place) == {}
    if field:
        assert re.search(rf'name="{field}\d* ?"?[^>]*aria-invalid="true"', answer.text)
    for typed in ("two", "5000"):
        assert (typed in fields.values()) == (f'value="{typed}"' in answer.text)


def test_staff_see_services_and_cannot_edit_them(place: Site):
    found(place, ready("berkane-1"))
    client = place.signed_in("staff", annex="berkane-1")

    assert "/services" not in client.get("/annexes/berkane-1").text
    assert client.get(RESIDENCE).status_code == 403
    assert client.post(RESIDENCE, data=form()).status_code == 403


def test_a_service_stands_as_long_as_it_did(place: Site):
    found(place, ready("berkane-1"))
    place.clock.turn(minutes=7)
    found(place, ready("berkane-1"))

    with reading(place.engine) as db:
        (span,) = readiness.current(db)["berkane-1"].values()
    assert place.clock.now() - span.since == timedelta(minutes=7)
    assert "7 minutes ago" in text(place.signed_in("staff").get("/annexes/berkane-1").text)
