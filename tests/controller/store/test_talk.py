"""Watches, settings, pulses, figures, leases: what processes tell each other through the database."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices, device_id

from annexfleet_agent.protocol.messages import DesiredSettings
from annexfleet_controller.store import configs, figures, jobs, pulses, states, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.talk import Pulse

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
D1 = device_id(1)


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    add_annex(engine)
    add_devices(engine, 3)
    with writing(engine) as db:
        states.begin(db, [1, 2, 3])
    return engine


# -- watches


def orders(engine: Engine, now: datetime) -> list[tuple[str, datetime]]:
    with writing(engine) as db:
        any_due = watches.any_due(db, now=now)
        due = watches.claim_orders(db, now=now)
        assert due or not any_due
        return due


def push(engine: Engine, until: datetime) -> None:
    with writing(engine) as db:
        watches.push(db, 1, until=until)


def test_a_watch_is_ordered_once_then_renewed_before_it_ends_and_stopped_at_the_end(fleet: Engine):
    push(fleet, s(60))
    assert orders(fleet, s(0)) == [(D1, s(60))]
    assert orders(fleet, s(1)) == []

    push(fleet, s(90))
    assert orders(fleet, s(30)) == []
    assert orders(fleet, s(45)) == [(D1, s(90))]

    with writing(fleet) as db:
        watches.stop(db, 1, now=s(50))
    assert orders(fleet, s(51)) == [(D1, s(50))]
    assert orders(fleet, s(52)) == []


def test_a_watch_that_ends_by_itself_needs_no_word(fleet: Engine):
    push(fleet, s(60))
    orders(fleet, s(0))

    assert orders(fleet, s(61)) == []


def test_a_second_looker_never_pulls_the_end_nearer(fleet: Engine):
    push(fleet, s(60))
    push(fleet, s(30))

    with reading(fleet) as db:
        assert watches.of(db, 1, now=NOW) == s(60)


def test_a_device_that_forgot_is_ordered_again(fleet: Engine):
    push(fleet, s(60))
    orders(fleet, s(0))

    with writing(fleet) as db:
        watches.order_again(db, watches.watched(db, [D1, device_id(2)], now=s(5)))

    assert orders(fleet, s(5)) == [(D1, s(60))]


# -- settings


def test_settings_get_a_new_version_only_when_they_change(fleet: Engine):
    wish = DesiredSettings(sample_period_s=60)
    with writing(fleet) as db:
        assert configs.put(db, 1, wish, now=NOW) == 1
        assert configs.put(db, 1, wish, now=NOW) == 1
        assert configs.put(db, 1, DesiredSettings(), now=NOW) == 2

    with reading(fleet) as db:
        assert configs.not_in_force(db, device_ids=[D1]) == [configs.Desired(D1, 2, DesiredSettings())]
        assert configs.not_in_force(db, device_ids=[device_id(2)]) == []


def test_settings_are_pressed_upon_connected_devices_only(fleet: Engine):
    with writing(fleet) as db:
        configs.put(db, 1, DesiredSettings(beat_period_s=60), now=NOW)
        assert configs.not_in_force(db, since=s(-1)) == []

        known = states.lock(db, [D1])[D1]
        states.write_connections(db, [known._replace(connected=True)])

        assert [wish.version for wish in configs.not_in_force(db, since=s(-1))] == [1]
        assert configs.not_in_force(db, since=s(1)) == []


def test_a_version_is_never_below_what_the_device_has(fleet: Engine):
    with writing(fleet) as db:
        known = states.lock(db, [D1])[D1]
        states.write_connections(db, [known._replace(config_version=9)])

        assert configs.put(db, 1, DesiredSettings(beat_period_s=60), now=NOW) == 10


# -- pulses


def pulse(engine: Engine, at: datetime, **more: object) -> None:
    with writing(engine) as db:
        db.add(Pulse(at=at, devices='{"1":"b"}', origin="test", **more))


def ids(follower: pulses.Follower, engine: Engine) -> list[int]:
    with reading(engine) as db:
        return [p.id for p in follower.poll(db)]


def test_each_pulse_is_handed_out_once_and_none_from_before(fleet: Engine):
    follower = pulses.Follower()
    pulse(fleet, s(0), id=1)
    assert ids(follower, fleet) == []

    pulse(fleet, s(1), id=2)
    pulse(fleet, s(1), id=3)

    assert ids(follower, fleet) == [2, 3]
    assert ids(follower, fleet) == []


def test_a_pulse_that_becomes_visible_late_is_not_missed(fleet: Engine):
    follower = pulses.Follower()
    ids(follower, fleet)
    pulse(fleet, s(1), id=11)
    assert ids(follower, fleet) == [11]

    pulse(fleet, s(1), id=10)
    pulse(fleet, s(60), id=12)
    pulse(fleet, s(61), id=13)

    assert ids(follower, fleet) == [10, 12, 13]
    assert ids(follower, fleet) == []


def test_old_pulses_are_pruned(fleet: Engine):
    pulse(fleet, s(0), id=1)
    pulse(fleet, s(100), id=2)
    follower = pulses.Follower()
    follower._after = 0

    with writing(fleet) as db:
        pulses.prune(db, before=s(50))

    assert ids(follower, fleet) == [2]


# -- figures


def test_figures_add_up_and_are_put(fleet: Engine):
    for _ in range(2):
        with writing(fleet) as db:
            figures.add(db, {"ingest_messages": 5, "ingest_batches": 1}, now=NOW)
            figures.put(db, {"ingest_listening": 1}, now=NOW)

    with reading(fleet) as db:
        assert {name: value for name, (value, _) in figures.read(db).items()} == {
            "ingest_batches": 2,
            "ingest_listening": 1,
            "ingest_messages": 10,
        }


# -- leases


LEASE = timedelta(seconds=60)


def claim(engine: Engine, owner: str, now: datetime) -> bool:
    with writing(engine) as db:
        free = jobs.is_free(db, "sweep", now=now)
        taken = jobs.claim(db, "sweep", owner, now=now, lease=LEASE)
    assert free is taken
    return taken


def test_a_job_is_done_by_one_worker_at_a_time(fleet: Engine):
    assert claim(fleet, "a", s(0))
    assert not claim(fleet, "b", s(1))

    with writing(fleet) as db:
        jobs.release(db, "sweep", "a", now=s(2), due_at=s(100))

    assert not claim(fleet, "b", s(99))
    assert claim(fleet, "b", s(100))


def test_a_job_whose_worker_died_is_taken_over_and_the_dead_one_notices(fleet: Engine):
    claim(fleet, "a", s(0))

    assert claim(fleet, "b", s(61))
    with writing(fleet) as db:
        assert not jobs.keep(db, "sweep", "a", now=s(62), lease=LEASE)
        assert jobs.keep(db, "sweep", "b", now=s(62), lease=LEASE)
    assert not claim(fleet, "c", s(100))


@pytest.mark.parametrize("had", [9, 2**40, configs.MOST_VERSION])
def test_settings_reach_a_device_that_says_it_has_a_higher_version(fleet: Engine, had: int):
    """Its last ones came from a database that was restored from an older copy since; or it lies, to its own harm."""
    had = min(had, configs.MOST_VERSION)
    with writing(fleet) as db:
        configs.put(db, 1, DesiredSettings(beat_period_s=60), now=NOW)
        known = states.lock(db, [D1])[D1]
        states.write_connections(db, [known._replace(connected=True, config_version=had)])

        assert [wish.version for wish in configs.not_in_force(db, device_ids=[D1])] == [1]
        assert configs.put(db, 1, DesiredSettings(beat_period_s=90), now=NOW) == min(had + 1, configs.MOST_VERSION)


def test_a_pulse_that_was_still_on_its_way_when_a_follower_began_is_handed_out(engine: Engine):
    with writing(engine) as db:
        db.add_all(Pulse(id=number, at=s(number), devices=f'{{"{number}": "c"}}') for number in (1, 18, 20))
    follower = pulses.Follower()
    with reading(engine) as db:
        assert follower.poll(db) == []
    with writing(engine) as db:
        db.add_all([Pulse(id=19, at=s(19), devices='{"19": "c"}'), Pulse(id=21, at=s(21), devices='{"21": "c"}')])

    with reading(engine) as db:
        assert [pulse.id for pulse in follower.poll(db)] == [19, 21]
        assert follower.poll(db) == []


def test_a_lease_of_a_clock_that_was_far_ahead_holds_nothing_up(engine: Engine):
    lease = timedelta(minutes=1)
    with writing(engine) as db:
        assert jobs.claim(db, "sweep", "a", now=s(86_400), lease=lease)
    with writing(engine) as db:
        assert jobs.is_free(db, "sweep", now=s(0))
        assert jobs.claim(db, "sweep", "b", now=s(0), lease=lease)
        assert not jobs.claim(db, "sweep", "c", now=s(1), lease=lease)
        jobs.release(db, "sweep", "b", now=s(2), due_at=s(2 + 86_400))
        assert jobs.claim(db, "sweep", "c", now=s(3), lease=lease)
