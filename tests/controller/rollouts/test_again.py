"""A rollout's run whose process died meets, before it is begun again, what its first attempt met."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from tests.controller.rollouts.rolling import AMINA, NIGHT, Province

from annexfleet_controller.rollouts import again, proposing
from annexfleet_controller.rollouts.supervising import Supervisor
from annexfleet_controller.store import rollout_targets, run_hosts, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.waves import budget
from annexfleet_controller.waves.budget import AnnexNow


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


class Dead:
    """A run that was taken before the annexes open, with no process; `begun` are the attempts that follow."""

    def __init__(self, province: Province) -> None:
        province.clock.at = NIGHT + timedelta(hours=12, minutes=15)
        province.annex("berkane-1", 4)
        province.annex("berkane-2", 4)
        self.province, self.id = province, province.started()
        while not province.taken:
            province.turn()
            province.take()
        self.run_id = province.taken.pop()
        with reading(province.engine) as db:
            self.numbers = [host.device_number for host in run_hosts.hosts(db, WHOLE, self.run_id)]
        self.begun: list[int] = []
        self.supervisor = Supervisor(
            province.home, province.engine, clock=province.clock,
            start=lambda home, id_, attempt: self.begun.append(attempt),  # type: ignore[arg-type, func-returns-value]
        )  # fmt: skip

    def run(self) -> runs.Run:
        with reading(self.province.engine) as db:
            return runs.find(db, WHOLE, self.run_id)


def test_within_its_window_it_is_begun_again(province: Province):
    dead = Dead(province)
    province.pass_time(60)
    dead.supervisor.look()
    assert dead.begun == [2]


def test_in_opening_hours_it_is_not_and_the_conductor_thinks_it_out_anew(province: Province):
    dead = Dead(province)
    province.pass_time(3000)
    dead.supervisor.look()

    assert (dead.begun, dead.run().state, dead.run().problem) == ([], "ended", "not_begun_again")
    for _ in range(5):
        province.turn(30)
    assert {province.states(dead.id)[number] for number in dead.numbers} == {"waiting"}
    assert province.waiting_runs() == []
    province.clock.at += timedelta(hours=10)
    province.listen()
    province.hear(list(range(1, province.count + 1)))
    assert province.roll(dead.id).state == "done"


def test_what_it_had_come_to_is_unknown(province: Province):
    dead = Dead(province)
    first = dead.numbers[0]
    with writing(province.engine) as db:
        run_results.write(
            db, dead.run_id, Batch(hosts=[Progress(device_number=first, state="running")]), now=province.clock.at
        )  # fmt: skip
    province.pass_time(3000)
    dead.supervisor.look()
    province.turn(30)
    assert province.states(dead.id)[first] == "unknown"


def test_while_nobody_can_be_heard_it_waits(province: Province):
    dead = Dead(province)
    province.clock.at += timedelta(minutes=5)  # ingest gave no sign of life
    dead.supervisor.look()
    assert (dead.begun, dead.run().state) == ([], "running")
    province.listen()
    dead.supervisor.look()
    assert dead.begun == [2]


def test_people_who_wait_and_services_that_would_stand_worse_hold_it_up(
    province: Province, monkeypatch: pytest.MonkeyPatch
):
    dead = Dead(province)
    asked: list[AnnexNow] = []

    def refuses(devices: list, *, annex: AnnexNow, **_: object) -> tuple[tuple[int, ...], tuple]:
        asked.append(annex)
        return (), tuple((device.number, "people_waiting") for device in devices)

    monkeypatch.setattr(budget, "allowed", refuses)
    province.pass_time(60)
    with reading(province.engine) as db:
        assert again.answer(db, dead.run_id, now=province.clock.at) == "no"
    # What it changes itself is what is asked about, so it does not count as gone already.
    assert [annex.changing for annex in asked] == [frozenset()]


def test_it_is_not_begun_where_one_of_its_devices_was_moved(province: Province):
    dead = Dead(province)
    with writing(province.engine) as db:
        place = province.targets(dead.id)[dead.numbers[0]].annex_id
        other = "berkane-2" if place == "berkane-1" else "berkane-1"
        db.execute(update(Device).where(Device.number == dead.numbers[0]).values(annex_id=other))
    province.pass_time(60)
    dead.supervisor.look()
    assert (dead.begun, dead.run().problem) == ([], "not_begun_again")


def test_what_was_away_until_the_deadline_is_caught_another_time(province: Province):
    numbers = province.annex("berkane-1", 3)
    id_ = province.started(deadline_s=6 * 3600.0)
    away = numbers[-1]
    province.go([away])
    province.roll(id_, minutes=7 * 60)

    row = province.targets(id_)[away]
    assert (province.detail(id_).state, row.state, row.reason) == ("done", "unknown", "deadline")
    with reading(province.engine) as db:
        # It was never begun: it holds nothing up, and is no ground for going back.
        assert rollout_targets.disturbed(db, [away]).harmed == {}
        assert rollout_targets.missed(db, WHOLE, id_) == {row.wave: 1}
    with writing(province.engine) as db:
        again_id = proposing.retry_failed(db, province.home, id_, AMINA, now=province.clock.at)
    assert set(province.targets(again_id)) == {away}
