"""The pages of opening hours: shown to all who look, changed by forms that need no script."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from tests.controller.site import Site
from tests.controller.web import places

from annexfleet_controller.calendars import CalendarDocument
from annexfleet_controller.store import calendars
from annexfleet_controller.store.calendars import PROVINCE, Kept
from annexfleet_controller.store.database import reading, writing

WEDNESDAY = datetime(2026, 11, 25, 10, tzinfo=UTC)
ANNEX = "/annexes/berkane-1/calendar"
ALL = "/admin/calendars"


class Form(HTMLParser):
    """What a browser would send of the form with this `do`, untouched."""

    def __init__(self, html: str, do: str) -> None:
        super().__init__()
        self._forms: list[dict[str, str]] = []
        self._select = ""
        self.feed(html)
        self.fields = next(form for form in self._forms if form.get("do") == do)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag == "form":
            self._forms.append({})
        elif tag == "select":
            self._select = of["name"] or ""
        elif tag == "option" and ("selected" in of or self._select not in self._forms[-1]):
            self._forms[-1][self._select] = of["value"] or ""
        elif tag == "input" and (of.get("type") not in {"radio", "checkbox"} or "checked" in of):
            self._forms[-1][of["name"] or ""] = of.get("value") or ""


@pytest.fixture
def place(site: Site) -> Site:
    site.clock.at = WEDNESDAY
    with writing(site.engine) as db:
        places.annex(db, 1, WEDNESDAY)
        places.annex(db, 2, WEDNESDAY)
    return site


def kept(site: Site, scope: str = "berkane-1") -> Kept:
    with reading(site.engine) as db:
        return calendars.get(db, scope)


def send(client, address: str, do: str, **fields: str):
    """Fill in a form as it stands, and send it."""
    return client.post(address, data={**Form(client.get(address).text, do).fields, **fields})


# -- shown


@pytest.mark.parametrize("language", ["fr", "ar", "en"])
@pytest.mark.parametrize("address", [ANNEX, ALL])
def test_whoever_looks_sees_the_hours_and_no_form(place: Site, address: str, language: str):
    client = place.signed_in("technician")
    client.headers["Accept-Language"] = language

    page = client.get(address)

    assert page.status_code == 200
    assert "08:30–16:30" in page.text
    assert "09:00–15:00" in page.text
    assert f'action="{address}"' not in page.text
    assert 'action="/language"' in page.text


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-25T10:00", "until 16:30"),
        ("2026-11-25T07:00", "opens at 08:30"),
        ("2026-11-27T17:00", "opens on Monday 30 November at 08:30"),
        ("2026-07-01T15:00", "until 16:30"),  # 16:00 on the wall, which is at +01 then
        ("2026-07-01T15:45", "opens on Thursday 2 July at 08:30"),
    ],
)
def test_open_until_when_or_from_when(place: Site, at: str, expected: str):
    place.clock.at = datetime.fromisoformat(at).replace(tzinfo=UTC)

    assert expected in place.signed_in("staff").get(ANNEX).text.replace(",", "")


def test_the_days_ahead_that_differ(place: Site):
    client = place.signed_in()
    send(client, ANNEX, "add", first="2026-12-21", last="2026-12-24", name="Inventaire")
    send(client, ALL, "add", first="2026-12-28", name="Grand froid", **{"hours.0.from": "10", "hours.0.to": "12h"})

    text = client.get(ANNEX).text

    assert "Inventaire" in text
    assert "Grand froid" in text
    assert "10:00–12:00" in text
    assert "Independence Manifesto" in text  # 11 January
    assert "Throne Day" not in text


def test_the_reminder_names_what_is_missing_until_it_is_entered(place: Site):
    client = place.signed_in()
    before = client.get(ALL).text

    send(client, ALL, "feast", name="eid_al_fitr", date="2027-03-10")
    send(client, ALL, "ramadan", first_day="2027-02-08", last_day="2027-03-09")
    after = client.get(ALL).text

    assert "Religious dates to enter" in before
    for words in ("Eid al-Fitr 1448", "Ramadan 1448", "Eid al-Adha 1448", "Mawlid 1449", "Hijri New Year 1449"):
        assert words in before
    assert "Eid al-Fitr 1448" not in after
    assert "Ramadan 1448" not in after
    assert "Eid al-Adha 1448" in after
    place.clock.at = datetime(2026, 9, 25, 10, tzinfo=UTC)
    assert "Religious dates to enter" not in client.get(ALL).text


# -- changed


def test_a_form_sent_as_it_stands_decides_nothing(place: Site):
    client = place.signed_in("operator", annex="berkane-1")

    answer = send(client, ANNEX, "hours")

    assert (answer.status_code, answer.headers["location"]) == (303, ANNEX)
    assert kept(place).document == CalendarDocument()


def test_hours_as_people_write_them(place: Site):
    client = place.signed_in("operator", annex="berkane-1")

    send(client, ANNEX, "hours", **{
        "week.own": "yes", "week.monday.0.from": "8h30", "week.monday.0.to": "12",
        "week.monday.1.from": "14.15", "week.monday.1.to": "1830", "week.friday.0.from": "", "week.friday.0.to": "",
    })  # fmt: skip

    week = kept(place).document.week
    assert week is not None
    assert week[0] == ((510, 720), (855, 1110))
    assert week[1] == ((510, 990),)
    assert week[4] == ()
    assert kept(place).document.ramadan is None
    assert kept(place).updated_by == "operator-berkane-1"
    assert "08:30–12:00" in client.get(ANNEX).text


def test_a_changed_time_counts_though_the_choice_above_it_was_left(place: Site):
    client = place.signed_in()

    send(client, ANNEX, "hours", **{"ramadan.monday.0.to": "14:00"})

    document = kept(place).document
    assert document.week is None
    assert document.ramadan is not None
    assert document.ramadan[0] == ((540, 840),)


def test_back_to_the_province(place: Site):
    client = place.signed_in()
    send(client, ANNEX, "hours", **{"week.own": "yes", "week.monday.0.from": "10:00", "closed_on_holidays": "no"})
    assert kept(place).is_own

    send(client, ANNEX, "hours", **{"week.own": "", "closed_on_holidays": ""})
    assert not kept(place).is_own

    send(client, ANNEX, "hours", **{"week.own": "yes", "week.monday.0.from": "10:00"})
    send(client, ANNEX, "reset")
    assert not kept(place).is_own


def test_an_annexes_hours_and_the_provinces_holidays_are_taken_back(place: Site):
    client = place.signed_in()
    send(client, ANNEX, "hours", **{"week.own": "yes", "week.monday.0.from": "10:00"})
    undo = re.search(r'action="(/admin/undo/\d+)"', client.get(ANNEX).text)
    assert undo is not None
    assert client.post(undo[1]).headers["location"] == ANNEX
    assert not kept(place).is_own

    client.post("/admin/calendars", data={"do": "holiday", "name": "fair", "date": "2027-03-10"})
    undo = re.search(r'action="(/admin/undo/\d+)"', client.get("/admin/calendars").text)
    assert undo is not None
    assert client.post(undo[1]).headers["location"] == "/admin/calendars"
    with reading(place.engine) as db:
        assert calendars.holidays(db) == []


def test_the_province_changes_its_hours(place: Site):
    client = place.signed_in()

    hours = {"week.own": "yes", "week.saturday.0.from": "09:00", "week.saturday.0.to": "12:00"}

    asked = send(client, ALL, "hours", **hours)
    assert asked.status_code == 200
    assert "Change the opening hours of the whole province?" in asked.text
    assert kept(place, PROVINCE).document.week is None
    digest = re.search(r'name="confirmed" value="(\w+)"', asked.text)
    assert digest is not None
    send(client, ALL, "hours", **hours, confirmed=digest[1])

    assert kept(place, PROVINCE).document.week is not None
    assert "09:00–12:00" in client.get(ANNEX).text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("week.monday.0.from", "half past eight", "a time is written 08:30"),
        ("week.monday.0.from", "25:00", "a time is written 08:30"),
        ("week.monday.0.to", "", "the opening and the closing time are needed"),
        ("week.monday.0.to", "08:00", "the end is before the beginning"),
        ("week.monday.0.from", "<script>", "a time is written 08:30"),
    ],
)
def test_what_was_typed_comes_back_with_the_reason(place: Site, field: str, value: str, words: str):
    client = place.signed_in()

    answer = send(client, ANNEX, "hours", **{"week.own": "yes", field: value})

    assert answer.status_code == 422
    assert words in answer.text
    assert "Usual hours, Monday" in answer.text
    assert Form(answer.text, "hours").fields[field] == value
    assert "<script>" not in answer.text.replace('<script src="', "")
    assert kept(place).version == 0


def test_an_older_page_does_not_overwrite(place: Site):
    client = place.signed_in()
    old = Form(client.get(ANNEX).text, "hours").fields
    send(client, ANNEX, "hours", **{"week.own": "yes", "week.monday.0.from": "10:00"})

    answer = client.post(ANNEX, data={**old, "week.own": "yes", "week.monday.0.from": "11:00"})

    assert answer.status_code == 409
    assert "Somebody else changed" in answer.text
    assert Form(answer.text, "hours").fields["week.monday.0.from"] == "10:00"
    week = kept(place).document.week
    assert week is not None
    assert week[0] == ((600, 990),)


def test_days_with_other_hours_come_and_go(place: Site):
    client = place.signed_in()
    send(client, ANNEX, "add", first="2026-12-24", name="Inventaire")
    send(client, ANNEX, "add", first="2027-07-01", last="2027-08-31", **{"hours.0.from": "8", "hours.0.to": "15"})
    assert len(kept(place).document.exceptions) == 2

    twice = send(client, ANNEX, "add", first="2026-12-24")
    send(client, ANNEX, "remove", first="2026-12-24", last="2026-12-24")

    assert twice.status_code == 422
    assert "two entries are for the same days" in twice.text
    assert [one.last.isoformat() for one in kept(place).document.exceptions] == ["2027-08-31"]


def test_holidays_come_and_go(place: Site):
    client = place.signed_in()
    send(client, ALL, "holiday", name="Moussem <b>", date="2027-07-02")
    wrong = send(client, ALL, "feast", name="eid_al_adha", date="2027-07-02")
    listed = client.get(ALL).text

    send(client, ALL, "remove_holiday")
    twice = client.post(ALL, data={"do": "remove_holiday", "date": "2027-07-02", "name": "Moussem <b>"})

    assert "Moussem &lt;b&gt;" in listed
    assert wrong.status_code == 422
    assert "more than five days from the expected one" in wrong.text
    assert twice.status_code == 303
    assert "Moussem" not in client.get(ALL).text


def test_ramadan_is_entered_and_removed(place: Site):
    client = place.signed_in()
    send(client, ALL, "ramadan", first_day="2027-02-09", last_day="2027-03-10", confirmed="yes")
    with reading(place.engine) as db:
        assert [one.ramadan.confirmed for one in calendars.ramadans(db)] == [True]

    wrong = send(client, ALL, "ramadan", first_day="2027-02-09", last_day="2027-02-10")
    send(client, ALL, "remove_ramadan")

    assert "Ramadan has 29 or 30 days" in wrong.text
    with reading(place.engine) as db:
        assert list(calendars.ramadans(db)) == []


@pytest.mark.parametrize("fields", [{}, {"do": "explode"}, {"do": "hours"}, {"do": "remove", "version": "0"}])
@pytest.mark.parametrize("address", [ANNEX, ALL])
def test_a_form_that_is_not_ours_changes_nothing(place: Site, address: str, fields: dict[str, str]):
    answer = place.signed_in().post(address, data=fields)

    assert answer.status_code in {409, 422}
    assert kept(place).version == kept(place, PROVINCE).version == 0
