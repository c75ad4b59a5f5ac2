"""A device that fails while another of its run hangs counts at once, and not only when the run has ended."""

from pathlib import Path

import pytest
from msgspec import structs
from sqlalchemy import Engine
from tests.controller.rollouts.rolling import QUICK, Province

from annexfleet_controller.rollouts import proposing
from annexfleet_controller.store import rollout_evidence, run_results
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress, Result, Task


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def told(province: Province, run_id: int, number: int, *states: str) -> None:
    """What the run's process tells of a device, task after task; it goes on."""
    batch = Batch(
        tasks=[Task(number=n, key=f"task {n}", name=f"task {n}") for n, _ in enumerate(states, start=1)],
        results=[Result(device_number=number, task_number=n, state=of) for n, of in enumerate(states, start=1)],
        hosts=[
            Progress(
                device_number=number, state="running", failed_count=states.count("failed"), task_number=len(states)
            )
        ],
    )  # fmt: skip
    with writing(province.engine) as db:
        run_results.write(db, run_id, batch, now=province.clock.at)


def begun(province: Province, id_: int) -> dict[int, int]:
    """By device, the run that has it."""
    province.take()
    return {n: row.run_id for n, row in province.targets(id_).items() if row.state == "running" and row.run_id}


def test_what_fails_beside_one_that_hangs_stops_it(province: Province):
    province.annex("berkane-1", 12)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=8))
    for _ in range(3):
        province.turn()
    first = begun(province, id_)
    assert len(first) == 2

    for number, run_id in first.items():
        told(province, run_id, number, "ok", "failed")
    for _ in range(6):
        province.turn(10)
    assert province.detail(id_).state == "running"
    assert begun(province, id_).keys() == first.keys()  # nothing is begun meanwhile
    for _ in range(8):
        province.turn(10)

    found = province.detail(id_)
    assert (found.state, found.state_reason) == ("stopped", "gate")
    assert found.gate is not None
    assert [reason.code for reason in found.gate.reasons] == ["bad_results"]
    assert begun(province, id_).keys() == first.keys()


def test_who_lets_it_go_on_while_the_other_still_hangs_is_not_undone(province: Province):
    province.annex("berkane-1", 12)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=8))
    for _ in range(3):
        province.turn()
    first = begun(province, id_)
    for number, run_id in first.items():
        told(province, run_id, number, "ok", "failed")
    for _ in range(15):
        province.turn(10)
    assert province.detail(id_).state == "stopped"

    province.act(proposing.resume, id_, reason="Known: these two have full disks")
    province.conductor.let_go()
    province.conductor = province.new_conductor()  # it goes with the rollout, and not with who conducts it
    for _ in range(20):
        province.turn(10)
    assert province.detail(id_).state == "running"
    # nor is it when the run ends at last
    province.play(lambda number: "failed" if number in first else "changed")
    for _ in range(3):
        province.turn(10)
    assert province.detail(id_).state == "running"
    assert {province.targets(id_)[number].reason for number in first} == {"accepted"}
    assert {province.states(id_)[number] for number in first} == {"failed"}


def test_what_is_rescued_holds_nothing_up(province: Province):
    province.annex("berkane-1", 12)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=8))
    for _ in range(3):
        province.turn()
    first = begun(province, id_)
    for number, run_id in first.items():
        told(province, run_id, number, "failed", "ok")

    for _ in range(20):
        province.turn(10)
    with reading(province.engine) as db:
        assert rollout_evidence.failing(db, set(first.values())) == set()
    assert province.detail(id_).state == "running"
    province.play()
    assert province.roll(id_).state == "done"


def test_why_devices_wait_is_written_down_for_their_page(province: Province):
    province.annex("berkane-1", 6)
    id_ = province.started(policy=structs.replace(QUICK, canary_count=6))
    for _ in range(3):
        province.turn()
    first = begun(province, id_)

    province.turn(20)
    held = province.detail(id_).held
    assert sorted(number for numbers in held.values() for number in numbers) == sorted(set(range(1, 7)) - first.keys())
    assert held.keys() <= {"budget", "most_at_once"}
    for number, run_id in first.items():
        told(province, run_id, number, "failed")
    province.turn(20)
    assert province.detail(id_).held.keys() == {"ailing"}
