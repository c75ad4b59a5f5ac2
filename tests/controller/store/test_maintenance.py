from datetime import UTC, date, datetime, time, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex

from annexfleet_controller.errors import Forbidden, MaintenanceChanged, MaintenanceUnknown
from annexfleet_controller.maintenance import Area, Maintenance, Weekly, ended_between, stopped
from annexfleet_controller.store import maintenance
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.things import Thing

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE, TWO = Scope(frozenset({"berkane-1"})), Scope(frozenset({"berkane-2"}))


@pytest.fixture
def place(engine: Engine) -> Engine:
    add_annex(engine, "berkane-1")
    add_annex(engine, "berkane-2")
    return engine


def planned(
    *annexes: str, start: datetime = NOW - HOUR, end: datetime | None = NOW + HOUR, **of: object
) -> Maintenance:
    whole: dict[str, object] = {
        "area": Area(annexes=annexes) if annexes else Area(province=True), "touches": annexes, "starts_at": start,
        "ends_at": end, "reason": "New switch", "author": "tech", "created_at": NOW,
    }  # fmt: skip
    return Maintenance(**(whole | of))  # type: ignore[arg-type]


def keep(engine: Engine, m: Maintenance) -> Maintenance:
    with writing(engine) as db:
        return maintenance.create(db, m)


def test_it_comes_back_as_it_was_kept(place: Engine):
    once = keep(place, planned("berkane-1", area=Area(things=(Thing("device", "d-1"),))))
    weekly = keep(
        place,
        planned(
            "berkane-1", "berkane-2", end=None,
            weekly=Weekly(weekdays=(0, 4), at=time(22, 30), minutes=90, until=date(2027, 1, 1)),
        ),
    )  # fmt: skip

    with reading(place) as db:
        assert maintenance.get(db, WHOLE, once.id) == once
        assert maintenance.get(db, WHOLE, weekly.id) == weekly
        assert maintenance.to_come(db, WHOLE, now=NOW) == [once, weekly]


def test_everybody_sees_what_touches_an_annex_of_theirs_and_what_covers_the_province(place: Engine):
    one, both, all_of_it = (keep(place, planned(*of)) for of in (("berkane-1",), ("berkane-1", "berkane-2"), ()))

    with reading(place) as db:
        assert [m.id for m in maintenance.to_come(db, ONE, now=NOW)] == [one.id, both.id, all_of_it.id]
        assert [m.id for m in maintenance.to_come(db, TWO, now=NOW)] == [both.id, all_of_it.id]
        assert [m.id for m in maintenance.to_come(db, WHOLE, now=NOW, annex_id="berkane-2")] == [both.id, all_of_it.id]
        with pytest.raises(MaintenanceUnknown):
            maintenance.get(db, TWO, one.id)


def test_only_who_sees_all_of_it_may_change_it(place: Engine):
    one, both, all_of_it = (keep(place, planned(*of)) for of in (("berkane-1",), ("berkane-1", "berkane-2"), ()))

    with reading(place) as db:
        assert maintenance.get_to_change(db, ONE, one.id) == one
        for m in (both, all_of_it):
            assert maintenance.get_to_change(db, WHOLE, m.id) == m
            with pytest.raises(Forbidden):
                maintenance.get_to_change(db, ONE, m.id)
        with pytest.raises(MaintenanceUnknown):
            maintenance.get_to_change(db, TWO, one.id)


def test_who_read_an_older_one_may_not_change_it(place: Engine):
    m = keep(place, planned("berkane-1"))

    with writing(place) as db:
        assert maintenance.save(db, stopped(m, by="one", now=NOW)).version == 2
    with pytest.raises(MaintenanceChanged), writing(place) as db:
        maintenance.save(db, stopped(m, by="two", now=NOW + HOUR))

    with reading(place) as db:
        assert maintenance.get(db, WHOLE, m.id).cancelled_by == "one"


def test_what_the_loop_asks_for_holds_what_lasts_and_what_was_left(place: Engine):
    lasts = keep(place, planned("berkane-1"))
    left = keep(place, planned("berkane-1", end=NOW))
    keep(place, planned("berkane-1", start=NOW - 3 * HOUR, end=NOW - HOUR))
    keep(place, planned("berkane-1", start=NOW + HOUR, end=NOW + 2 * HOUR))

    with reading(place) as db:
        found = maintenance.current(db, since=NOW - timedelta(seconds=10), now=NOW)

    assert [m.id for m in found] == [lasts.id, left.id]
    assert [m.id for m in ended_between(found, NOW - timedelta(seconds=10), NOW)] == [left.id]


def test_what_is_over_is_listed_the_last_first_page_by_page(place: Engine):
    ids = [keep(place, planned("berkane-1", start=NOW - 9 * HOUR, end=NOW - n * HOUR)).id for n in (1, 2, 2, 3)]
    keep(place, planned("berkane-1"))

    with reading(place) as db:
        first = maintenance.past(db, ONE, now=NOW, limit=2)
        assert first[-1].ends_at is not None
        second = maintenance.past(db, ONE, now=NOW, before=(first[-1].ends_at, first[-1].id), limit=9)

    assert [m.id for m in (*first, *second)] == [ids[0], ids[2], ids[1], ids[3]]


def test_what_was_cancelled_is_past(place: Engine):
    m = keep(place, planned("berkane-1"))
    with writing(place) as db:
        maintenance.save(db, stopped(m, by="tech", now=NOW))

    with reading(place) as db:
        assert maintenance.to_come(db, WHOLE, now=NOW) == []
        assert [one.id for one in maintenance.past(db, WHOLE, now=NOW)] == [m.id]


def test_old_ones_are_forgotten(place: Engine):
    old = keep(place, planned("berkane-1", start=NOW - 9 * HOUR, end=NOW - 5 * HOUR))
    young = keep(place, planned("berkane-1"))

    with writing(place) as db:
        assert maintenance.prune(db, before=NOW - 2 * HOUR, at_most=10) == 1
        assert maintenance.get(db, WHOLE, young.id) == young
        with pytest.raises(MaintenanceUnknown):
            maintenance.get(db, WHOLE, old.id)
