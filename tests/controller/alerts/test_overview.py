"""What the watch keeps of each annex for pages that show all of them, on both databases."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from tests.controller.alerts.test_watcher import OPEN_AT, Place, begun

from annexfleet_controller.store import overview
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.overview import AnnexLine
from annexfleet_controller.store.scope import WHOLE, Scope
from annexfleet_controller.store.tables.overview import PlacePast


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    return begun(engine, tmp_path)


def line(place: Place, annex_id: str = "berkane-1") -> AnnexLine:
    with reading(place.engine) as db:
        return next(of for of in overview.lines(db, WHOLE) if of.id == annex_id)


def waits(place: Place, people: float) -> None:
    place.change(1, "queues", {"queue:residence": {"queue_waiting_count": people, "queue_stale": 0}})


def test_an_annex_is_kept_in_numbers(place: Place):
    place.printer(1, causes=["paper_jam"], state="stopped")
    waits(place, 7)
    place.pass_time(60, beats=range(1, 7))

    numbers = line(place).numbers

    assert (numbers.online, numbers.silent, numbers.never) == (4, 0, 0)
    assert (numbers.printers, numbers.troubled) == (1, 1)
    assert numbers.waiting == 7
    assert numbers.is_open
    assert line(place, "berkane-2").numbers.online == 2


def test_a_device_that_falls_silent_is_counted_so(place: Place):
    place.gone(2, 3)
    place.pass_time(4, step=2)

    assert (line(place).numbers.online, line(place).numbers.silent) == (2, 2)


def test_who_waits_is_written_at_most_every_ten_seconds(place: Place):
    waits(place, 1)
    place.pass_time(30, step=10)
    seen = []
    for people in range(2, 12):
        waits(place, people)
        place.pass_time(2, step=2)
        seen.append(line(place).numbers.waiting)

    assert len(set(seen)) <= 4
    place.pass_time(12, step=2)
    assert line(place).numbers.waiting == 11


def test_the_past_has_the_province_every_five_minutes_and_annexes_every_hour(place: Place):
    place.pass_time(3600 + 300, step=60, beats=range(1, 7))

    with reading(place.engine) as db:
        province = overview.past(db, WHOLE, since=OPEN_AT - timedelta(hours=1))
        own = overview.past(db, Scope(frozenset({"berkane-1"})), since=OPEN_AT - timedelta(hours=1))

    steps = {(b.at - a.at).total_seconds() for a, b in pairwise(province)}
    assert steps == {300}
    assert [moment.at.minute for moment in own] == [0, 0]


def test_while_nobody_listens_the_past_has_a_hole(place: Place):
    place.pass_time(600, step=60, beats=range(1, 7))
    with reading(place.engine) as db:
        before = db.scalar(select(func.count()).select_from(PlacePast))

    for _ in range(10):
        place.clock.at += timedelta(minutes=3)
        place.holder.turn()

    with reading(place.engine) as db:
        assert db.scalar(select(func.count()).select_from(PlacePast)) == before


def test_the_past_is_forgotten_after_eight_days(place: Place):
    place.pass_time(60, beats=range(1, 7))
    place.clock.at += timedelta(days=9)
    place.listens()
    place.holder.turn()

    with reading(place.engine) as db:
        oldest = db.scalar(select(func.min(PlacePast.at)))

    assert oldest is not None
    assert oldest > place.clock.at - timedelta(days=8, hours=1)
