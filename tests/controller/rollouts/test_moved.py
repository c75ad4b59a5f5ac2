"""A device that is moved to another annex while a rollout is about to change it is not changed there."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from tests.controller.rollouts.rolling import AMINA, Province

from annexfleet_controller.store import runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    """Two annexes; the rollout is of the first one's devices, and of one of the second's."""
    found = Province(tmp_path, engine)
    found.annex("berkane-1", 2)
    found.annex("berkane-2", 1)
    return found


def move(province: Province, number: int, to: str) -> None:
    with writing(province.engine) as db:
        db.execute(update(Device).where(Device.number == number).values(annex_id=to))


def turn_until_begun(province: Province) -> None:
    for _ in range(30):
        if province.waiting_runs():
            return
        province.turn()
    raise AssertionError("nothing is begun")


def test_a_move_since_the_fleet_was_read_keeps_it_from_being_begun(province: Province):
    id_ = province.started()
    province.turn()  # the fleet is read
    for number in (1, 2, 3):
        move(province, number, "berkane-1" if number == 3 else "berkane-2")

    for _ in range(3):
        province.turn()

    assert province.waiting_runs() == []
    assert set(province.states(id_).values()) == {"waiting"}


def test_a_run_that_waits_is_given_back_when_one_of_its_devices_was_moved(province: Province):
    id_ = province.started()
    turn_until_begun(province)
    (run_id,) = province.waiting_runs()
    of = [number for number, row in province.targets(id_).items() if row.run_id == run_id]
    home = province.targets(id_)[of[0]].annex_id
    move(province, of[0], "berkane-2" if home == "berkane-1" else "berkane-1")

    province.take()

    assert province.taken == []
    with reading(province.engine) as db:
        run = runs.find(db, AMINA.scope, run_id)
    assert (run.state, run.problem) == ("ended", "rollout_moved")
    # taken back at once, it goes on as if nothing had been
    move(province, of[0], home)
    for _ in range(10):
        province.turn(30)
    assert "skipped" not in province.states(id_).values()
    assert province.roll(id_).state == "done"
    assert province.states(id_)[of[0]] == "succeeded"


def test_a_move_that_stays_leaves_the_device_out(province: Province):
    id_ = province.started()
    move(province, 1, "berkane-2")
    assert province.roll(id_).state == "done"
    assert (province.states(id_)[1], province.targets(id_)[1].reason) == ("skipped", "moved")
    assert {province.states(id_)[number] for number in (2, 3)} == {"succeeded"}
