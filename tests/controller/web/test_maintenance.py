import re
from datetime import datetime
from html import unescape

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.places import Printed
from tests.controller.web.test_pages import LANGUAGES, POLYGLOTS, Parsed

from annexfleet_controller import zones
from annexfleet_controller.store import maintenance
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE


@pytest.fixture
def place(site: Site) -> Site:
    site.clock.at = datetime(2026, 11, 24, 10, 0, tzinfo=zones.PROVINCE).astimezone(site.clock.at.tzinfo)
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, site.clock.now())
            places.device(db, number, f"berkane-{number}", now=site.clock.now())
            places.printers(db, number, [Printed(f"p{number}")], at=site.clock.now())
    return site


def form(**of: object) -> dict[str, object]:
    return {"annex": "berkane-1", "what": "annex", "when": "hour", "reason": "New switch"} | of


def kept(site: Site) -> list[maintenance.Maintenance]:
    with reading(site.engine) as db:
        return maintenance.to_come(db, WHOLE, now=site.clock.now())


def text(client, path: str) -> str:
    return " ".join(Parsed(client.get(path).text).text.split())


def test_planned_for_an_hour_it_is_seen_on_every_page_that_it_concerns(place: Site):
    client = place.signed_in("technician", annex="berkane-1")

    answer = client.post("/maintenance", data=form())

    assert (answer.status_code, answer.headers["location"]) == (303, "/maintenance")
    page = text(client, "/maintenance")
    assert "Annexe administrative 1" in page
    assert "until 11:00" in page
    for path in ("/annexes/berkane-1", f"/devices/{device_id(1)}"):
        assert "Maintenance until 11:00: New switch (technician-berkane-1)" in text(client, path)
    whole = place.signed_in("operator")
    for path in ("/annexes/berkane-2", f"/devices/{device_id(2)}"):
        assert "New switch" not in text(whole, path)


def test_on_an_annex_of_which_a_part_is_worked_on_it_says_so(place: Site):
    client = place.signed_in("technician")
    client.post("/maintenance", data=form(what=f"device:{device_id(1)}"))

    assert "Maintenance of some devices until 11:00" in text(client, "/annexes/berkane-1")
    assert "Maintenance until 11:00" in text(client, f"/devices/{device_id(1)}")
    assert "guichet-1" in text(client, "/maintenance")


@pytest.mark.parametrize(
    ("of", "starts", "ends"),
    [
        ({"when": "tonight"}, "2026-11-24T10:00", "2026-11-25T00:00"),
        ({"when": "between", "start": "2026-11-25T08:00", "end": "2026-11-25T12:30"}, "2026-11-25T08:00",
         "2026-11-25T12:30"),
        ({"when": "between", "start": "", "end": "2026-11-25T12:30"}, "2026-11-24T10:00", "2026-11-25T12:30"),
    ],
)  # fmt: skip
def test_times_are_those_of_the_annex(place: Site, of: dict[str, object], starts: str, ends: str):
    place.signed_in("technician").post("/maintenance", data=form(**of))

    [m] = kept(place)
    assert m.ends_at is not None
    assert [at.astimezone(zones.PROVINCE).strftime("%Y-%m-%dT%H:%M") for at in (m.starts_at, m.ends_at)] == [
        starts,
        ends,
    ]


def test_every_week(place: Site):
    client = place.signed_in("technician")
    week = {"weekday": ["tuesday", "friday"], "at": "22:00", "minutes": "90", "until": "2027-01-31"}

    assert client.post("/maintenance", data=form(when="weekly", **week)).status_code == 303

    assert "Every week, Tuesday, Friday" in text(client, "/maintenance")
    assert "from 22:00 to 23:30" in text(client, "/maintenance")


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"reason": ""}, "Say why"),
        ({"when": "between", "end": ""}, "Say when it ends."),
        ({"when": "between", "end": "2026-11-24T09:00"}, "It would end before it begins."),
        ({"when": "between", "end": "tomorrow"}, "This is no date or time."),
        ({"when": "weekly"}, "at least one day"),
        ({"when": "weekly", "weekday": "monday", "at": "22:00", "minutes": "many", "until": "2027-01-01"}, "minutes"),
        ({"when": "weekly", "weekday": "monday", "at": "22:00", "minutes": "9", "until": "soon"}, "no date"),
        ({"what": "printer:nothing"}, "no such device or printer"),
        ({"annex": "", "what": "annex"}, "Choose what is worked on."),
        ({"role": "toaster"}, "no such kind"),
        ({"when": "some day"}, "Say when it ends."),
    ],
)
def test_what_cannot_be_is_said_beside_what_was_typed(place: Site, of: dict[str, object], said: str):
    answer = place.signed_in("technician").post("/maintenance", data=form(**{"reason": "Kept words"} | of))

    assert answer.status_code == 422
    assert said in Parsed(answer.text).text
    assert ("Kept words" in answer.text) is ("reason" not in of)
    assert kept(place) == []


def test_ending_asks_first_and_then_ends(place: Site):
    client = place.signed_in("technician", annex="berkane-1")
    client.post("/maintenance", data=form())
    [m] = kept(place)

    page = client.get("/maintenance").text
    assert "<details>" in page
    assert f'action="/maintenance/{m.id}/end"' in page
    place.clock.turn(minutes=5)
    assert client.post(f"/maintenance/{m.id}/end", data={"version": m.version}).status_code == 303

    assert kept(place) == []
    assert "ended by technician-berkane-1" in text(client, "/maintenance")
    assert "New switch" not in text(client, "/annexes/berkane-1")


def test_the_end_is_moved_and_what_cannot_be_is_said_there(place: Site):
    client = place.signed_in("technician")
    client.post("/maintenance", data=form())
    [m] = kept(place)

    refused = client.post(f"/maintenance/{m.id}/move-end", data={"version": m.version, "end": "2026-11-24T09:00"})
    assert refused.status_code == 422
    assert "It would end before it begins." in Parsed(refused.text).text
    moved = client.post(f"/maintenance/{m.id}/move-end", data={"version": m.version, "end": "2026-11-24T18:00"})

    assert moved.status_code == 303
    assert "until 18:00" in text(client, "/maintenance")
    assert client.post(f"/maintenance/{m.id}/end", data={"version": m.version}).status_code == 409


def test_other_annexes_maintenance_is_out_of_reach(place: Site):
    place.signed_in("operator").post("/maintenance", data=form(annex="berkane-2"))
    [m] = kept(place)
    client = place.signed_in("technician", annex="berkane-1")

    assert client.post(f"/maintenance/{m.id}/end", data={"version": "1"}).status_code == 404
    assert client.post("/maintenance", data=form(annex="berkane-2")).status_code == 404
    assert client.post("/maintenance", data=form(annex="", what="province")).status_code == 403
    assert client.get("/maintenance?annex=berkane-2").status_code == 404
    assert "New switch" not in text(client, "/maintenance")


def test_what_covers_the_province_is_seen_everywhere_and_changed_by_who_sees_all(place: Site):
    place.signed_in("operator").post("/maintenance", data=form(annex="", what="province"))
    client = place.signed_in("technician", annex="berkane-1")

    assert "The whole province" in text(client, "/maintenance")
    assert "Yes, end it now" not in client.get("/maintenance").text
    assert "Maintenance until 11:00" in text(client, "/annexes/berkane-1")


def test_the_form_knows_what_a_link_chose(place: Site):
    page = place.signed_in("technician").get(f"/maintenance?annex=berkane-1&what=device:{device_id(1)}").text

    assert f'<option value="device:{device_id(1)}" selected>' in page
    assert device_id(2) not in page


def test_in_every_language(place: Site):
    client = place.signed_in("technician")
    client.post("/maintenance", data=form())
    week = {"weekday": ["tuesday"], "at": "22:00", "minutes": "90", "until": "2027-01-31"}
    client.post("/maintenance", data=form(when="weekly", **week))
    for code in LANGUAGES:
        client.post("/language", data={"code": code})

        page = client.get("/maintenance")

        assert page.status_code == 200
        assert not re.search(r"maintenance_(state|reason)|monday", Parsed(page.text).text)


@pytest.mark.parametrize("word", POLYGLOTS)
def test_a_reason_is_text_and_nothing_else(place: Site, word: str):
    client = place.signed_in("technician")
    client.post("/maintenance", data=form(reason=word[:200]))

    for path in ("/maintenance", "/annexes/berkane-1"):
        page = client.get(path).text
        assert not re.search(r"<(script>alert|img src=x|svg/onload)", page)
        assert "\u202e" not in unescape(page)


def test_tonight_is_over_at_midnight(place: Site):
    client = place.signed_in("technician")
    client.post("/maintenance", data=form(when="tonight"))

    place.clock.turn(hours=14)

    assert kept(place) == []


def test_every_act_stands_in_the_audit(place: Site):
    client = place.signed_in("operator")
    client.post("/maintenance", data=form())
    (one,) = kept(place)
    client.post(f"/maintenance/{one.id}/move-end", data={"version": one.version, "end": "2026-11-24T20:00"})
    client.post(f"/maintenance/{one.id}/end", data={"version": one.version + 1})

    page = text(client, "/admin/audit")

    places = [
        page.index(words)
        for words in ("Ended maintenance", "Moved the end of maintenance", "Planned maintenance Maint")
    ]
    assert places == sorted(places)
    assert "New switch" in page
