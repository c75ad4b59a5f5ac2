"""Levels by day and the shelf: what is kept, what replaces what, who sees it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex

from annexfleet_controller.errors import Invalid
from annexfleet_controller.store import supplies
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.alerts import IncidentAnnex, IncidentRow
from annexfleet_controller.things import SupplyDay

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
TODAY = date(2026, 11, 25)
LONG_AGO = date(2000, 1, 1)


@pytest.fixture
def shelf(engine: Engine) -> Engine:
    add_annex(engine)
    add_annex(engine, "berkane-2")
    return engine


def supply_day(day: date = TODAY, **other: object) -> SupplyDay:
    fields: dict[str, object] = {
        "annex_id": "berkane-1", "printer_id": "a" * 24, "supply": "black", "day": day, "kind": "toner",
        "colour": "black", "level_ratio": 0.4, "pages_count": 81_234.0, "printer_name": "guichet-hp",
        "printer_model": "HP LaserJet Pro M404dn",
    }  # fmt: skip
    return SupplyDay(**(fields | other))  # type: ignore[arg-type]


def kept(engine: Engine, scope: Scope = WHOLE, *, since: date = LONG_AGO, annex_id: str = "") -> list[SupplyDay]:
    with reading(engine) as db:
        return supplies.series(db, scope, since=since, annex_id=annex_id)


def note(engine: Engine, *rows: SupplyDay) -> None:
    with writing(engine) as db:
        supplies.note(db, rows)


def test_what_was_noted_is_given_back_oldest_day_first(shelf: Engine):
    days = [supply_day(TODAY - timedelta(days=ago), level_ratio=0.4 + ago / 100) for ago in (0, 2, 1)]

    note(shelf, *days)

    assert kept(shelf) == sorted(days, key=lambda row: row.day)


def test_the_last_level_of_a_day_stays(shelf: Engine):
    note(shelf, supply_day(level_ratio=0.4))
    note(shelf, supply_day(level_ratio=0.38, pages_count=81_300.0), supply_day(level_ratio=0.37))

    assert [row.level_ratio for row in kept(shelf)] == [0.37]


def test_a_printer_that_sleeps_does_not_wipe_out_what_it_told(shelf: Engine):
    note(shelf, supply_day(level_ratio=0.4))
    note(shelf, supply_day(level_ratio=None), supply_day(supply="waste", level_ratio=None))

    assert [(row.supply, row.level_ratio) for row in kept(shelf)] == [("black", 0.4), ("waste", None)]
    note(shelf, supply_day(supply="waste", level_ratio=0.9))
    assert [row.level_ratio for row in kept(shelf)] == [0.4, 0.9]


def test_days_are_narrowed_to_sight_annex_and_time(shelf: Engine):
    other = supply_day(annex_id="berkane-2", printer_id="b" * 24)
    note(shelf, supply_day(), supply_day(TODAY - timedelta(days=91)), other)

    assert len(kept(shelf, since=TODAY - timedelta(days=90))) == 2
    assert kept(shelf, Scope(frozenset({"berkane-2"}))) == [other]
    assert kept(shelf, annex_id="berkane-2") == [other]
    assert kept(shelf, Scope(frozenset({"berkane-2"})), annex_id="berkane-1") == []
    assert kept(shelf, Scope(frozenset())) == []


def test_the_newest_day_of_each_supply(shelf: Engine):
    other = supply_day(TODAY - timedelta(days=3), annex_id="berkane-2", printer_id="b" * 24)
    gone = supply_day(TODAY - timedelta(days=40), supply="cyan")
    note(shelf, supply_day(TODAY - timedelta(days=1)), supply_day(), other, gone)

    with reading(shelf) as db:
        since = TODAY - timedelta(days=30)
        assert supplies.latest(db, WHOLE, since=since) == [supply_day(), other]
        assert supplies.latest(db, Scope(frozenset({"berkane-2"})), since=since) == [other]


def test_old_days_are_forgotten_a_few_at_a_time(shelf: Engine):
    note(shelf, *(supply_day(TODAY - timedelta(days=ago)) for ago in range(6)))

    gone = []
    for _ in range(3):
        with writing(shelf) as db:
            gone.append(supplies.prune(db, before=TODAY - timedelta(days=1), at_most=3))

    assert gone == [3, 1, 0]
    assert [row.day for row in kept(shelf)] == [TODAY - timedelta(days=1), TODAY]


def test_a_device_s_words_are_kept_as_they_are(shelf: Engine):
    hostile = supply_day(
        supply="'; DROP TABLE supply_day; --", printer_name="%s{0}", printer_model="=cmd|' /C calc'!A0"
    )

    note(shelf, hostile)

    assert kept(shelf) == [hostile]


def test_the_shelf_keeps_what_was_counted_last(shelf: Engine):
    with writing(shelf) as db:
        supplies.put_stock(db, "cf259a", 4, by="salma", now=NOW)
        supplies.put_stock(db, "tn-2410", 0, by="salma", now=NOW)
    with writing(shelf) as db:
        supplies.put_stock(db, "cf259a", 3, by="youssef", now=NOW + timedelta(hours=1))

    with reading(shelf) as db:
        found = supplies.stock(db)

    assert found["cf259a"] == supplies.Stock(3, NOW + timedelta(hours=1), "youssef")
    assert found["tn-2410"].quantity == 0


@pytest.mark.parametrize("quantity", [-1, 10_000])
def test_no_shelf_holds_so_many(shelf: Engine, quantity: int):
    with writing(shelf) as db, pytest.raises(Invalid):
        supplies.put_stock(db, "cf259a", quantity, by="salma", now=NOW)


def test_open_incidents_are_those_of_the_kinds_in_sight_and_not_muted(shelf: Engine):
    with writing(shelf) as db:
        for key, annex_id, kind, state, muted, score in (
            ("a", "berkane-1", "printer", "open", False, 1.0),
            ("b", "berkane-2", "device", "open", False, 9.0),
            ("c", "berkane-1", "printer", "resolved", False, 5.0),
            ("d", "berkane-1", "printer", "open", True, 5.0),
            ("e", "berkane-1", "line_cut", "open", False, 5.0),
        ):
            row = IncidentRow(
                key=key, kind=kind, cause="paper_jam", annex_id=annex_id, thing_kind="printer", thing_id="x",
                state=state, severity="warning", facts='{"printer": "hp"}', began_at=NOW, opened_at=NOW, muted=muted,
                score=score,
            )  # fmt: skip
            db.add(row)
            db.flush()
            db.add(IncidentAnnex(incident_id=row.id, annex_id=annex_id))

    with reading(shelf) as db:
        whole = supplies.open_incidents(db, WHOLE, kinds=["printer", "device"])
        one = supplies.open_incidents(db, Scope(frozenset({"berkane-1"})), kinds=["printer", "device"])
        asked = supplies.open_incidents(db, WHOLE, kinds=["printer", "device"], annex_id="berkane-2")

        assert whole[0].facts == {"printer": "hp"}
        assert (whole[0].thing.id, whole[0].severity, whole[0].began_at) == ("x", "warning", NOW)
        assert [row.key for row in whole] == ["b", "a"]
        assert [row.key for row in one] == ["a"]
        assert [row.key for row in asked] == ["b"]
