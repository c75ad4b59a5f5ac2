"""What the database knows reaches the gate and the budget: key readings, growth, devices left in a bad state."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.rollouts.rolling import NIGHT, QUICK, Province
from tests.controller.web import places

from annexfleet_controller.rollouts.evidence import Read, Reader
from annexfleet_controller.rollouts.eyes import Eyes
from annexfleet_controller.store import rollout_leases
from annexfleet_controller.store.database import reading, writing


@pytest.fixture
def province(sqlite_engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, sqlite_engine)


def read(province: Province, id_: int) -> Read:
    """What a conductor that has just come up is told."""
    eyes, now = Eyes(), province.clock.at
    with reading(province.engine) as db:
        eyes.look(db, now=now, watched_since=now - timedelta(days=2))
        detail = rollout_leases.of_conductor(db, province.conductor.held[id_])
        return Reader().read(db, eyes, detail, now=now)


def remembered(province: Province, number: int, used: float, *, minutes: float) -> None:
    with writing(province.engine) as db:
        at = NIGHT + timedelta(minutes=minutes)
        places.beat(db, number, {"": {"memory_used_ratio": used}}, at=at, newest=False)


def test_key_readings_of_the_database_reach_the_gate(province: Province):
    numbers = province.annex("berkane-1", 3)
    for number in numbers:
        for minutes in (-60, -30, -5):
            remembered(province, number, 0.4, minutes=minutes)
    id_ = province.started(policy=QUICK)
    for _ in range(3):
        province.turn(20)
        province.play()
    (changed,) = (number for number, row in province.targets(id_).items() if row.run_ended_at is not None)
    for minutes in range(5, 65, 5):
        for number in numbers:
            remembered(province, number, 0.6 + minutes / 600 if number == changed else 0.4, minutes=minutes)
    province.pass_time(3600)

    found = {one.number: one for one in read(province, id_).seen.health}

    assert found[changed].is_changed
    before, after = found[changed].readings["memory_used_ratio"]
    assert (before, round(after, 3)) == (pytest.approx(0.4), 0.654)
    assert found[changed].slopes["memory_used_ratio"] == pytest.approx(0.1)
    beside = [of for number, of in found.items() if number != changed]
    assert len(beside) == 2
    assert all(of.readings["memory_used_ratio"] == pytest.approx((0.4, 0.4)) for of in beside)


def test_what_a_rollout_left_failed_counts_as_harmed_until_it_is_heard(province: Province):
    numbers = province.annex("berkane-1", 6)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=6, most_bad_count=9))
    for _ in range(40):
        province.turn(20, heard=False)
        if any(of == "running" for of in province.states(id_).values()):
            break
    province.play("failed")
    province.turn(2, heard=False)
    failed = {row.device_id: n for n, row in province.targets(id_).items() if row.state == "failed"}

    def harmed() -> set[str]:
        province.pass_time(2, heard=False)
        found = read(province, id_).seen.annexes
        assert list(found) == ["berkane-1"]
        return set(found["berkane-1"].harmed)

    assert failed
    assert harmed() == failed.keys()
    province.hear([number for number in numbers if number not in failed.values()])
    assert harmed() == failed.keys()
    province.clock.at += timedelta(seconds=2)
    province.hear(list(failed.values()))
    assert harmed() == set()
