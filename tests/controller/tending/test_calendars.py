"""Opening hours, holidays and Ramadans as people change them and take it back.  On SQLite and PostgreSQL."""

from datetime import date

import pytest
from sqlalchemy import Engine
from tests.controller.tending.hands import NOW, fleet, hand

from annexfleet_controller.calendars import parse
from annexfleet_controller.calendars.holidays import ramadan
from annexfleet_controller.errors import HolidayUnknown
from annexfleet_controller.store import audit, calendars
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.tending import calendars as tending
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import UndoRefused
from annexfleet_controller.tending.trace import Hand

MORNINGS = parse({"week": {"monday": [["08:30", "12:00"]]}})
EVENINGS = parse({"week": {"monday": [["14:00", "18:30"]]}})
DAY = date(2027, 3, 10)


@pytest.fixture
def by(engine: Engine) -> Hand:
    fleet(engine)
    return hand(engine)


def take_back(engine: Engine, by: Hand) -> str:
    with writing(engine) as db:
        step = undo.newest(db, by, now=NOW)
        assert step is not None
        return undo.undo(db, by, step.id, now=NOW).act


def put(engine: Engine, by: Hand, scope: str, document, version: int) -> None:
    with writing(engine) as db:
        tending.act(
            db, by, "calendar.change", scope,
            lambda: calendars.put(db, scope, document, version=version, by=by.name, now=NOW), now=NOW,
        )  # fmt: skip


@pytest.mark.parametrize("scope", ["", "berkane-1"])
def test_hours_are_taken_back(engine: Engine, by: Hand, scope: str):
    put(engine, by, scope, MORNINGS, 0)
    put(engine, by, scope, EVENINGS, 1)

    assert take_back(engine, by) == "calendar.change"

    with reading(engine) as db:
        kept = calendars.get(db, scope)
        assert (kept.document, kept.version) == (MORNINGS, 3)
        entry = audit.entries(db, WHOLE)[1]
        assert (entry.act, entry.annex_id) == ("calendar.change", scope)


def test_the_first_hours_are_taken_back_to_none(engine: Engine, by: Hand):
    put(engine, by, "berkane-1", MORNINGS, 0)

    take_back(engine, by)

    with reading(engine) as db:
        assert not calendars.get(db, "berkane-1").is_own


def test_what_somebody_changed_since_stays(engine: Engine, by: Hand):
    put(engine, by, "berkane-1", MORNINGS, 0)
    put(engine, hand(engine, "youssef"), "berkane-1", EVENINGS, 1)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, by)

    assert refused.value.facts["reason"] == "changed"


def test_holidays_are_taken_back(engine: Engine, by: Hand):
    with writing(engine) as db:
        calendars.add_holiday(db, DAY, "fair", by="youssef", now=NOW)
        before = calendars.holiday_records(db)
        tending.act(
            db, by, "calendar.holidays", "",
            lambda: calendars.enter_feast(db, "eid_al_fitr", DAY, by=by.name, now=NOW), now=NOW,
        )  # fmt: skip
        assert calendars.holiday_records(db) != before

    take_back(engine, by)
    with reading(engine) as db:
        assert calendars.holiday_records(db) == before

    with writing(engine) as db:
        tending.act(db, by, "calendar.holidays", "", lambda: calendars.remove_holiday(db, DAY, "fair"), now=NOW)
    take_back(engine, by)
    with reading(engine) as db:
        assert calendars.holiday_records(db) == before


def test_ramadans_are_taken_back(engine: Engine, by: Hand):
    first, last = date(2027, 2, 8), date(2027, 3, 9)
    for confirmed in (False, True):
        month = ramadan(first, last, confirmed=confirmed)
        with writing(engine) as db:
            tending.act(
                db, by, "calendar.ramadan", "",
                lambda month=month, db=db: calendars.put_ramadan(db, month, by=by.name, now=NOW), now=NOW,
            )  # fmt: skip

    take_back(engine, by)

    with reading(engine) as db:
        assert [one.ramadan.confirmed for one in calendars.ramadans(db)] == [False]


def test_what_changes_nothing_leaves_no_trace(engine: Engine, by: Hand):
    with writing(engine) as db:
        tending.act(db, by, "calendar.change", "berkane-1", lambda: None, now=NOW)
        with pytest.raises(HolidayUnknown):
            tending.act(db, by, "calendar.holidays", "", lambda: calendars.remove_holiday(db, DAY, "x"), now=NOW)
        assert undo.newest(db, by, now=NOW) is None
        assert audit.entries(db, WHOLE) == []


def test_hours_of_the_province_are_for_who_sees_all_of_it(engine: Engine, by: Hand):
    put(engine, by, "", MORNINGS, 0)
    confined = Hand(by.user_id, by.name, by.via, hand(engine, "other", "berkane-1").scope)

    with pytest.raises(UndoRefused) as refused:
        take_back(engine, confined)

    assert refused.value.facts["reason"] == "out_of_sight"
