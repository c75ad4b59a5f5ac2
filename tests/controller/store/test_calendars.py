"""Opening hours in the database: documents with versions, holidays, Ramadans, and the calendars they make."""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import Engine, event
from tests.controller.fleet import add_annex

from annexfleet_controller.calendars import DEFAULT, CalendarDocument, Holiday, Ramadan, parse
from annexfleet_controller.errors import AnnexUnknown, CalendarChanged, CalendarWrong, HolidayUnknown
from annexfleet_controller.store import calendars
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.calendars import CalendarRow
from annexfleet_controller.store.tables.places import Annex

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
MORNINGS = parse({"week": {day: [["08:30", "12:00"]] for day in ("monday", "tuesday", "wednesday", "thursday")}})
LATE = parse({"week": {"monday": [["10:00", "18:00"]]}})


@pytest.fixture
def place(engine: Engine) -> Engine:
    for number in (1, 2, 3):
        add_annex(engine, f"berkane-{number}")
    return engine


def put(engine: Engine, scope: str, document: CalendarDocument, version: int = 0) -> int:
    with writing(engine) as db:
        return calendars.put(db, scope, document, version=version, by="someone", now=NOW)


def test_without_anything_every_annex_has_the_default(place: Engine):
    with reading(place) as db:
        assert calendars.of_all(db) == dict.fromkeys(["berkane-1", "berkane-2", "berkane-3"], DEFAULT)
        assert calendars.of(db, "berkane-1") == calendars.of_province(db) == DEFAULT


def test_the_province_then_the_annex(place: Engine):
    put(place, calendars.PROVINCE, MORNINGS)
    put(place, "berkane-2", LATE)

    with reading(place) as db:
        found = calendars.of_all(db)
        assert calendars.of(db, "berkane-2") == found["berkane-2"]
        assert calendars.of_province(db) == found["berkane-1"]
    assert found["berkane-1"].week == found["berkane-3"].week == MORNINGS.week
    assert found["berkane-2"].week == LATE.week


def test_annexes_with_the_same_hours_share_what_was_worked_out(place: Engine):
    put(place, "berkane-2", LATE)
    put(place, "berkane-3", LATE)
    with writing(place) as db:
        calendars.take_back(db, "berkane-3", by="someone", now=NOW)

    with reading(place) as db:
        first, again = calendars.of_all(db), calendars.of_all(db)
    assert first["berkane-1"] is first["berkane-3"] is again["berkane-1"]
    assert first["berkane-2"] is again["berkane-2"] is not first["berkane-1"]


def test_all_calendars_cost_one_query_a_table(place: Engine):
    asked = []
    event.listen(place, "before_cursor_execute", lambda *args: asked.append(args[2]))

    with reading(place) as db:
        calendars.of_all(db)

    assert len([one for one in asked if "FROM" in one]) == 4


def test_the_time_zone_is_the_annexs_own(place: Engine):
    with writing(place) as db:
        db.add(Annex(id="paris", name_fr="Paris", name_ar="باريس", time_zone="Europe/Paris", created_at=NOW))
        db.add(Annex(id="gone", name_fr="?", name_ar="?", time_zone="Europe/Nowhere", created_at=NOW))

    with reading(place) as db:
        assert calendars.of(db, "paris").time_zone == "Europe/Paris"
        assert calendars.of(db, "gone").time_zone == "Africa/Casablanca"


def test_an_annex_that_is_not_there_has_no_calendar(place: Engine):
    with reading(place) as db, pytest.raises(AnnexUnknown):
        calendars.of(db, "berkane-9")


# -- documents


def test_versions_rise_and_say_who(place: Engine):
    assert put(place, "berkane-1", MORNINGS) == 1
    assert put(place, "berkane-1", LATE, version=1) == 2

    with reading(place) as db:
        kept = calendars.get(db, "berkane-1")
    assert (kept.document, kept.version, kept.updated_at, kept.updated_by) == (LATE, 2, NOW, "someone")


@pytest.mark.parametrize("version", [0, 1, 3])
def test_who_read_an_older_version_does_not_overwrite(place: Engine, version: int):
    put(place, "berkane-1", MORNINGS)
    put(place, "berkane-1", LATE, version=1)

    with pytest.raises(CalendarChanged):
        put(place, "berkane-1", MORNINGS, version=version)

    with reading(place) as db:
        assert calendars.get(db, "berkane-1").document == LATE


def test_back_to_the_province(place: Engine):
    put(place, calendars.PROVINCE, MORNINGS)
    put(place, "berkane-1", LATE)

    with writing(place) as db:
        calendars.take_back(db, "berkane-1", by="another", now=NOW)
        calendars.take_back(db, "berkane-2", by="another", now=NOW)

    with reading(place) as db:
        kept = calendars.get(db, "berkane-1")
        assert not kept.is_own
        assert (kept.version, kept.updated_by) == (2, "another")
        assert calendars.get(db, "berkane-2").version == 0
        assert calendars.of(db, "berkane-1").week == MORNINGS.week


@pytest.mark.parametrize("text", ["{", '{"week": 3}', '{"of_next_year": true}', '"'])
def test_a_document_that_cannot_be_read_closes_nothing_else(place: Engine, text: str, caplog):
    with writing(place) as db:
        db.add(CalendarRow(scope="berkane-1", document=text, version=7, updated_at=NOW, updated_by="someone"))

    with reading(place) as db:
        assert calendars.of_all(db)["berkane-1"] == DEFAULT
        assert calendars.get(db, "berkane-1").version == 7
    assert "cannot be read" in caplog.text


# -- holidays and Ramadan


def test_a_holiday_closes_and_opens_again_when_it_is_removed(place: Engine):
    at = datetime(2026, 12, 24, 10, tzinfo=UTC)
    with writing(place) as db:
        calendars.add_holiday(db, date(2026, 12, 24), "fête locale", by="someone", now=NOW)
        calendars.add_holiday(db, date(2026, 12, 24), "fête locale", by="another", now=NOW)
    with reading(place) as db:
        assert not calendars.of(db, "berkane-1").is_open(at)
        assert [(one.holiday, one.entered_by) for one in calendars.holidays(db)] == [
            (Holiday(date(2026, 12, 24), "fête locale"), "someone")
        ]

    with writing(place) as db:
        calendars.remove_holiday(db, date(2026, 12, 24), "fête locale")
    with reading(place) as db:
        assert calendars.of(db, "berkane-1").is_open(at)
    with writing(place) as db, pytest.raises(HolidayUnknown):
        calendars.remove_holiday(db, date(2026, 12, 24), "fête locale")


def test_a_feast_that_is_entered_again_is_moved(place: Engine):
    with writing(place) as db:
        calendars.enter_feast(db, "eid_al_fitr", date(2026, 3, 20), by="someone", now=NOW)
        calendars.enter_feast(db, "eid_al_fitr", date(2027, 3, 10), by="someone", now=NOW)
        calendars.enter_feast(db, "eid_al_fitr", date(2027, 3, 11), by="someone", now=NOW)

    with reading(place) as db:
        days = [one.holiday.date for one in calendars.holidays(db, since=date(2027, 1, 1))]
        assert days == [date(2027, 3, 11), date(2027, 3, 12)]
        assert len(calendars.holidays(db, until=date(2026, 12, 31))) == 2
        assert calendars.of(db, "berkane-1").why_closed(date(2027, 3, 12)) == "holiday:eid_al_fitr"


def test_a_year_has_room_for_so_many_holidays(place: Engine):
    with writing(place) as db:
        for number in range(calendars.MOST_HOLIDAYS_A_YEAR):
            calendars.add_holiday(db, date(2027, 1, 4), f"holiday {number}", by="someone", now=NOW)

    with writing(place) as db, pytest.raises(CalendarWrong):
        calendars.add_holiday(db, date(2027, 1, 4), "one more", by="someone", now=NOW)


def test_ramadan_is_entered_corrected_and_removed(place: Engine):
    expected = Ramadan(1448, date(2027, 2, 8), date(2027, 3, 9), confirmed=False)
    announced = Ramadan(1448, date(2027, 2, 9), date(2027, 3, 9))
    with writing(place) as db:
        calendars.put_ramadan(db, expected, by="someone", now=NOW)
        calendars.put_ramadan(db, announced, by="another", now=NOW)

    with reading(place) as db:
        assert [(one.ramadan, one.entered_by) for one in calendars.ramadans(db)] == [(announced, "another")]
        assert not calendars.of(db, "berkane-1").is_ramadan(date(2027, 2, 8))

    with writing(place) as db:
        calendars.remove_ramadan(db, 1448)
    with reading(place) as db:
        assert calendars.of(db, "berkane-1").is_ramadan(date(2027, 2, 8)), "what is known without being entered"
    with writing(place) as db, pytest.raises(HolidayUnknown):
        calendars.remove_ramadan(db, 1448)


def test_the_reminder_goes_away_with_what_is_entered(place: Engine):
    with reading(place) as db:
        before = [one.name for one in calendars.missing(db, NOW)]
    with writing(place) as db:
        calendars.put_ramadan(db, Ramadan(1448, date(2027, 2, 8), date(2027, 3, 9)), by="someone", now=NOW)
        calendars.enter_feast(db, "eid_al_fitr", date(2027, 3, 10), by="someone", now=NOW)
    with reading(place) as db:
        after = [one.name for one in calendars.missing(db, NOW)]

    assert before == ["ramadan", "eid_al_fitr", "eid_al_adha", "hijri_new_year", "mawlid"]
    assert after == ["eid_al_adha", "hijri_new_year", "mawlid"]
