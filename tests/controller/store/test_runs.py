"""Runs in the store: one run a device, the queue, the fencing of lost processes, and who sees what."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices

from annexfleet_controller.errors import AnnexUnknown, DeviceUnknown, Forbidden, RunBusy, RunOver, RunUnknown
from annexfleet_controller.store import run_hosts, run_queue, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress, Result, Task
from annexfleet_controller.store.scope import WHOLE, Scope

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
ONE = Scope(frozenset({"berkane-1"}))
TWO = Scope(frozenset({"berkane-2"}))


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    """Devices 1 and 2 in berkane-1, device 3 in berkane-2."""
    add_annex(engine)
    add_annex(engine, "berkane-2")
    add_devices(engine, 2)
    add_devices(engine, 1, annex_id="berkane-2", first=3)
    return engine


def new(**over: object) -> runs.NewRun:
    return runs.NewRun(**{"playbook": "packages", "author": "amina", **over})  # type: ignore[arg-type]


def queue(engine: Engine, *, annexes: tuple[str, ...] = ("berkane-1",), scope: Scope = WHOLE) -> int:
    with writing(engine) as db:
        return runs.create(db, new(), runs.targets(db, scope, annexes=annexes), now=NOW)


def test_targets_are_those_named_and_those_of_annexes_narrowed_by_role(fleet: Engine):
    with reading(fleet) as db:
        all_ = [target.id for target in runs.targets(db, WHOLE, annexes=["berkane-1", "berkane-2"])]

        assert len(all_) == 3
        assert [t.number for t in runs.targets(db, WHOLE, roles=["counter"])] == [1, 2, 3]
        assert runs.targets(db, WHOLE, annexes=["berkane-1"], roles=["kiosk"]) == []
        named = runs.targets(db, WHOLE, devices=[all_[2]], annexes=["berkane-1"], roles=["kiosk"])
        assert [t.number for t in named] == [3]


def test_targets_out_of_sight_are_not_there(fleet: Engine):
    with reading(fleet) as db:
        (other,) = runs.targets(db, WHOLE, annexes=["berkane-2"])
        with pytest.raises(DeviceUnknown):
            runs.targets(db, ONE, devices=[other.id])
        with pytest.raises(AnnexUnknown):
            runs.targets(db, ONE, annexes=["berkane-2"])
        assert [t.number for t in runs.targets(db, ONE, roles=["counter"])] == [1, 2]


def test_a_device_belongs_to_one_run_until_that_has_ended(fleet: Engine):
    first = queue(fleet)

    with pytest.raises(RunBusy) as refused:
        queue(fleet, annexes=("berkane-1", "berkane-2"))
    assert refused.value.facts["other"] == str(first)
    with reading(fleet) as db:
        assert [run.id for run in runs.listing(db, WHOLE, limit=9)] == [first]
        assert runs.owner_of(db, 3) is None  # nothing was kept of the run that was refused

    with writing(fleet) as db:
        run_queue.take(db, now=NOW)
        run_queue.finish(db, first, 1, outcome="ok", now=NOW)
    assert queue(fleet, annexes=("berkane-1", "berkane-2")) > first


def test_a_run_is_taken_once_the_oldest_first(fleet: Engine):
    first, second = queue(fleet), queue(fleet, annexes=("berkane-2",))

    with writing(fleet) as db:
        assert run_queue.is_any_queued(db)
        assert [run_queue.take(db, now=NOW) for _ in range(3)] == [first, second, None]
        assert not run_queue.is_any_queued(db)
        assert [heart.run_id for heart in run_queue.running(db)] == [first, second]


def test_a_process_that_was_given_up_can_write_no_more(fleet: Engine):
    run_id = queue(fleet)
    with writing(fleet) as db:
        run_queue.take(db, now=NOW)
        (heart,) = run_queue.running(db)
        assert run_queue.take_over(db, heart, now=NOW + timedelta(minutes=1)) == 2
        assert run_queue.take_over(db, heart, now=NOW + timedelta(minutes=1)) is None

        assert run_queue.beat(db, run_id, 1, now=NOW) is None
        assert not run_queue.is_ours(db, run_id, 1)
        assert not run_queue.finish(db, run_id, 1, outcome="ok", now=NOW)
        assert run_queue.beat(db, run_id, 2, now=NOW) is False
        assert run_queue.finish(db, run_id, 2, outcome="ok", now=NOW)


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_is_asked(fleet: Engine):
    queued, running = queue(fleet), queue(fleet, annexes=("berkane-2",))
    with writing(fleet) as db:
        cancelled = runs.cancel(db, WHOLE, queued, by="amina", now=NOW)
        assert (cancelled.state, cancelled.outcome, cancelled.hosts.cancelled) == ("ended", "cancelled", 2)
        assert runs.owner_of(db, 1) is None
        run_queue.take(db, now=NOW)
        assert runs.cancel(db, WHOLE, running, by="amina", now=NOW).state == "running"
        assert runs.cancel(db, WHOLE, running, by="omar", now=NOW).cancelled_by == "amina"
        assert run_queue.beat(db, running, 1, now=NOW) is True
    with writing(fleet) as db, pytest.raises(RunOver):
        runs.cancel(db, WHOLE, queued, by="omar", now=NOW)


def test_who_is_confined_sees_their_devices_of_a_run_and_cannot_stop_it(fleet: Engine):
    run_id, other = queue(fleet, annexes=("berkane-1",)), 0
    with writing(fleet) as db:
        run_queue.take(db, now=NOW)
        run_queue.finish(db, run_id, 1, outcome="ok", now=NOW)
    other = queue(fleet, annexes=("berkane-1", "berkane-2"))

    with writing(fleet) as db:
        assert [run.id for run in runs.listing(db, TWO, limit=9)] == [other]
        assert runs.find(db, TWO, other).hosts.all == 1
        assert [host.device_number for host in run_hosts.hosts(db, TWO, other)] == [3]
        with pytest.raises(RunUnknown):
            runs.find(db, TWO, run_id)
        with pytest.raises(Forbidden):
            runs.cancel(db, TWO, other, by="x", now=NOW)
        assert [run.id for run, _ in run_hosts.of_device(db, WHOLE, 1, limit=9)] == [other, run_id]
        assert run_hosts.of_device(db, TWO, 1, limit=9) == []
        assert [run.id for run in runs.listing(db, WHOLE, annex_id="berkane-2", limit=9)] == [other]


def batch() -> Batch:
    return Batch(
        tasks=[Task(number=1, key="k", name="Install", action="apt")],
        results=[Result(device_number=n, task_number=1, state="changed", diff_digest="d") for n in (1, 2)],
        hosts=[
            Progress(device_number=1, state="ended", outcome="changed", changed_count=1, diff_digest="d"),
            Progress(device_number=2, state="running", task="Install"),
        ],
        diffs={"d": "+ line"},
    )


def test_a_batch_that_is_written_twice_is_kept_once(fleet: Engine):
    run_id = queue(fleet)
    for _ in range(2):
        with writing(fleet) as db:
            run_results.write(db, run_id, batch(), now=NOW)

    with reading(fleet) as db:
        run = runs.find(db, WHOLE, run_id)
        assert (run.task_count, run.hosts.changed, run.hosts.running) == (1, 1, 1)
        (told,) = run_results.of_host(db, run_id, 1)
        assert (told.task, told.state, told.diff) == ("Install", "changed", "+ line")
        assert [host.started_at for host in run_hosts.hosts(db, WHOLE, run_id)] == [NOW, NOW]
        assert len(run_results.unfinished(db, run_id)) == 1


def test_an_outcome_is_final(fleet: Engine):
    run_id = queue(fleet)
    with writing(fleet) as db:
        run_results.write(db, run_id, batch(), now=NOW)
        late = Batch(hosts=[Progress(device_number=1, state="ended", outcome="failed")])
        run_results.write(db, run_id, late, now=NOW)
        run_queue.take(db, now=NOW)
        run_queue.finish(db, run_id, 1, outcome="unknown", now=NOW)

    with reading(fleet) as db:
        assert run_results.outcomes(db, run_id) == {"changed": 1, "unknown": 1}


def test_groups_hold_only_devices_in_sight(fleet: Engine):
    run_id = queue(fleet, annexes=("berkane-1", "berkane-2"))
    ended = [Progress(device_number=n, state="ended", outcome="changed", diff_digest="d") for n in (1, 2, 3)]
    with writing(fleet) as db:
        run_results.write(db, run_id, Batch(hosts=ended), now=NOW)

    with reading(fleet) as db:
        (group,) = run_results.diff_groups(db, WHOLE, run_id)
        assert len(group.devices) == 3
        (group,) = run_results.diff_groups(db, TWO, run_id)
        assert [name for _, name in group.devices] == ["device 3"]


def test_old_runs_are_forgotten_with_all_that_belongs_to_them(fleet: Engine):
    run_id = queue(fleet)
    with writing(fleet) as db:
        run_queue.take(db, now=NOW)
        run_results.write(db, run_id, batch(), now=NOW)
        assert runs.prune(db, before=NOW + timedelta(days=1), at_most=9) == []
        run_queue.finish(db, run_id, 1, outcome="ok", now=NOW)
        assert runs.prune(db, before=NOW, at_most=9) == []
        assert runs.prune(db, before=NOW + timedelta(seconds=1), at_most=9) == [run_id]

    with reading(fleet) as db:
        assert run_results.tasks(db, run_id) == []
        assert run_results.of_host(db, run_id, 1) == []
