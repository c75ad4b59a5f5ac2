from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select
from tests.controller.fleet import add_annex, add_devices

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Beat, Summary
from annexfleet_controller.store import history
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.history import DAY, HOUR, Series
from annexfleet_controller.store.tables.readings import History

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    add_annex(engine)
    add_devices(engine, 2)
    return engine


def add(engine: Engine, *beats: tuple[datetime, float | None], number: int = 1, seconds: float = 300) -> None:
    """Beats that end at these moments, with these loads; None: a beat without that number."""
    rows = []
    for at, value in beats:
        numbers = {"": {"memory_used_ratio": 0.5}} if value is None else {"": {"cpu_used_ratio": value}}
        beat = Beat(seq=1, at=at.timestamp(), seconds=seconds, samples=10, numbers=numbers)
        rows.append((number, at.timestamp(), wire.encode(beat)))
    with writing(engine) as db:
        history.add(db, rows)


def every_five_minutes(since: datetime, count: int, value: float = 0.5) -> list[tuple[datetime, float | None]]:
    return [(since + timedelta(minutes=5 * n), value) for n in range(1, count + 1)]


def series(engine: Engine, span: timedelta, *, until: datetime = NOON, number: int = 1) -> Series:
    with reading(engine) as db:
        return history.series(db, number, "", "cpu_used_ratio", since=until - span, until=until)


def test_a_day_shows_every_beat(fleet: Engine):
    add(fleet, *every_five_minutes(NOON - timedelta(days=1), 288, 0.25))

    drawn = series(fleet, timedelta(days=1))

    assert drawn.step_s == 0
    assert len(drawn.at) == 288
    assert set(drawn.values) == set(drawn.mins) == set(drawn.maxs) == {0.25}
    assert drawn.at[-1] == NOON.timestamp()


def test_a_silent_device_leaves_a_gap_and_never_zeros(fleet: Engine):
    before, after = NOON - timedelta(hours=2), NOON - timedelta(hours=1)
    add(fleet, *every_five_minutes(before, 3), *every_five_minutes(after, 3))

    drawn = series(fleet, timedelta(days=1))

    assert drawn.values == [0.5, 0.5, 0.5, None, 0.5, 0.5, 0.5]
    assert drawn.at == sorted(drawn.at)
    assert drawn.at[2] < drawn.at[3] <= after.timestamp()
    assert drawn.mins[3] is drawn.maxs[3] is None


def test_a_beat_without_that_number_is_a_gap_too(fleet: Engine):
    add(fleet, (NOON - timedelta(minutes=10), 0.5), (NOON - timedelta(minutes=5), None), (NOON, 0.5))

    assert series(fleet, timedelta(days=1)).values == [0.5, None, 0.5]


def test_beats_of_an_uneven_pace_are_no_gap(fleet: Engine):
    add(fleet, (NOON - timedelta(minutes=5, seconds=20), 0.5), (NOON, 0.5))

    assert series(fleet, timedelta(days=1)).values == [0.5, 0.5]


@pytest.mark.parametrize("metric", ["temperature_celsius", "memory_used_ratio"])
def test_nothing_known_gives_empty_lists(fleet: Engine, metric: str):
    add(fleet, (NOON, 0.5))

    with reading(fleet) as db:
        drawn = history.series(db, 1, "net:eth0", metric, since=NOON - timedelta(days=1), until=NOON)

    assert (drawn.at, drawn.values, drawn.mins, drawn.maxs) == ([], [], [], [])


def test_a_week_shows_quarters_of_an_hour_with_their_extremes(fleet: Engine):
    add(fleet, (NOON - timedelta(minutes=10), 0.1), (NOON - timedelta(minutes=5), 0.9), (NOON, 0.2))

    drawn = series(fleet, timedelta(days=7))

    assert drawn.step_s == 900
    assert drawn.at == [NOON.timestamp()]
    assert drawn.values == [pytest.approx(0.4)]
    assert (drawn.mins, drawn.maxs) == ([0.1], [0.9])


def test_another_devices_beats_are_not_mixed_in(fleet: Engine):
    add(fleet, (NOON, 0.9), number=2)

    assert series(fleet, timedelta(days=1)).at == []


def test_old_beats_become_hours_and_the_chart_stays_the_same(fleet: Engine):
    add(
        fleet,
        *every_five_minutes(NOON - timedelta(days=10), 12 * 24, 0.25),
        *every_five_minutes(NOON - timedelta(hours=1), 12),
    )
    before = series(fleet, timedelta(days=90))

    with writing(fleet) as db:
        folded = history.fold(db, 1, of=0, into=HOUR, until=NOON - timedelta(days=7), at_most=10_000)

    assert folded == 12 * 24
    with reading(fleet) as db:
        kept = db.execute(select(History.resolution_s, History.at).order_by(History.at)).all()
    assert [r for r, _ in kept].count(HOUR) == 24
    assert [r for r, _ in kept].count(0) == 12
    assert series(fleet, timedelta(days=90)) == before


def test_a_beat_that_comes_after_its_hour_was_folded_joins_it(fleet: Engine):
    hour = NOON - timedelta(days=10)
    add(fleet, *every_five_minutes(hour, 11, 0.0))
    with writing(fleet) as db:
        history.fold(db, 1, of=0, into=HOUR, until=NOON - timedelta(days=7), at_most=100)

    add(fleet, (hour + timedelta(hours=1), 1.2))
    with writing(fleet) as db:
        assert history.fold(db, 1, of=0, into=HOUR, until=NOON - timedelta(days=7), at_most=100) == 1

    with reading(fleet) as db:
        (row,) = db.scalars(select(History))
    folded = wire.decode_up("beat", row.payload)
    assert folded.numbers[""]["cpu_used_ratio"] == Summary(1.2, 0, pytest.approx(0.1), 1.2)
    assert folded.seconds == 3600


def test_folding_in_chunks_that_cut_an_hour_gives_the_same_hour(fleet: Engine):
    hour = NOON - timedelta(days=10)
    add(fleet, *((hour + timedelta(minutes=5 * n), n / 10) for n in range(1, 13)))

    for expected in (5, 5, 2, 0):
        with writing(fleet) as db:
            assert history.fold(db, 1, of=0, into=HOUR, until=NOON - timedelta(days=7), at_most=5) == expected

    with reading(fleet) as db:
        (row,) = db.scalars(select(History))
    summary = wire.decode_up("beat", row.payload).numbers[""]["cpu_used_ratio"]
    assert summary == Summary(1.2, 0.1, pytest.approx(0.65), 1.2)


def test_hours_become_days(fleet: Engine):
    day = datetime(2025, 1, 1, tzinfo=UTC)
    add(fleet, *every_five_minutes(day, 288, 0.25))
    with writing(fleet) as db:
        history.fold(db, 1, of=0, into=HOUR, until=NOON, at_most=1000)
        assert history.fold(db, 1, of=HOUR, into=DAY, until=NOON, at_most=1000) == 24

    with reading(fleet) as db:
        (row,) = db.scalars(select(History))
    assert (row.resolution_s, row.at) == (DAY, day + timedelta(days=1))
    assert wire.decode_up("beat", row.payload).seconds == 86_400


def test_only_devices_that_have_something_old_are_named(fleet: Engine):
    add(fleet, (NOON - timedelta(days=10), 0.5), number=2)
    add(fleet, (NOON, 0.5), number=1)

    with reading(fleet) as db:
        assert history.devices_with(db, 0, until=NOON - timedelta(days=7), after=0, at_most=9) == [2]
        assert history.devices_with(db, 0, until=NOON - timedelta(days=7), after=2, at_most=9) == []
