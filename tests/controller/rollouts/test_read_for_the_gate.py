"""What the database knows reaches the gate and the budget: key readings, growth, devices left in a bad state."""

from datetime import timedelta
from pathlib import Path

import pytest
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


def test_what_a_rollout_left_failed_holds_up_others_of_its_annex_until_it_is_heard(province: Province):
    """The annex needs both of its counters for "ready"; one was left failed, and has said nothing since."""
    numbers = province.annex("berkane-1", 3)
    id_ = province.started()
    for _ in range(3):
        province.turn(20)
        province.play("failed")
    (failed,) = (number for number, state in province.states(id_).items() if state == "failed")
    id_ = province.started(playbook="shift", variables={"shift_version": "3.0"})
    province.turn(2, heard=False)

    def harmed() -> set[str]:
        province.pass_time(2, heard=False)
        return {of for annex in read(province, id_).seen.annexes.values() for of in annex.harmed}

    for _ in range(2):
        province.turn(2, heard=False)
    row = province.targets(id_)[failed]
    assert harmed() == {row.device_id}
    province.hear([number for number in numbers if number != failed])
    assert harmed() == {row.device_id}
    province.hear([failed])
    assert harmed() == set()
