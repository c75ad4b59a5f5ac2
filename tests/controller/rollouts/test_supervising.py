"""Runs outlive whoever started them, and are taken up where their process died."""

import os
import signal
from datetime import UTC, datetime, timedelta

from tests.controller.rollouts.stage import AMINA, Stage

from annexfleet_controller.rollouts import ordering, supervising
from annexfleet_controller.rollouts.supervising import Supervisor
from annexfleet_controller.store import run_queue, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress
from annexfleet_controller.store.tables.runs import RunRow

WAITS = """
- name: Begin
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/begun
- name: Wait
  ansible.builtin.shell: |
    echo {{ inventory_hostname }} >> {{ test_world }}/waits
    while [ ! -e {{ test_world }}/go ]; do sleep 0.1; done
- name: End
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/ended
"""


def waiting(stage: Stage) -> int:
    """A run whose devices all wait in a task."""
    stage.playbook("waits", WAITS, options="{test_world: {type: path, required: true}}")
    run_id = stage.order("waits", variables={"test_world": str(stage.world)})
    stage.look_until(lambda: len(stage.traces("waits")) == 3, "the wait")
    return run_id


def test_a_run_goes_on_without_the_worker_that_started_it(stage: Stage):
    run_id = waiting(stage)

    stage.supervisor = Supervisor(stage.home, stage.engine, start=stage.start)  # the other one died
    stage.supervisor.look()
    (stage.world / "go").touch()

    run = stage.finish(run_id)
    assert (run.outcome, run.attempts) == ("ok", 1)
    assert sorted(stage.traces("ended")) == stage.ids
    assert len(stage.processes) == 1


def test_a_process_that_is_killed_in_a_task_is_followed_by_another(stage: Stage):
    run_id = waiting(stage)
    with writing(stage.engine) as db:  # one has its outcome already
        run_results.write(
            db,
            run_id,
            Batch(hosts=[Progress(device_number=2, state="ended", outcome="changed")]),
            now=datetime.now(UTC),
        )

    os.kill(stage.processes[0].pid, signal.SIGKILL)
    stage.look_until(lambda: len(stage.traces("waits")) == 5, "the second attempt")
    assert len(stage.left(run_id)) < 20
    (stage.world / "go").touch()

    run = stage.finish(run_id)
    assert (run.outcome, run.attempts) == ("ok", 2), stage.log
    assert sorted(stage.traces("begun")) == sorted([*stage.ids, stage.ids[0], stage.ids[2]])
    # What the first attempt had left running was ended before the second one began.
    assert sorted(stage.traces("ended")) == [stage.ids[0], stage.ids[2]]
    with reading(stage.engine) as db:
        assert [task.name for task in run_results.tasks(db, run_id)][1:] == ["Begin", "Wait", "End"]


def test_a_process_that_dies_again_and_again_leaves_the_unknown(stage: Stage):
    run_id = waiting(stage)
    for attempt in (1, 2, 3):
        stage.look_until(lambda attempt=attempt: len(stage.traces("waits")) == 3 * attempt, f"attempt {attempt}")
        os.kill(stage.processes[-1].pid, signal.SIGKILL)

    run = stage.finish(run_id)

    assert (run.outcome, run.problem, run.attempts) == ("unknown", "process_lost", 3)
    assert {host.outcome for host in stage.hosts(run_id)} == {"unknown"}
    assert stage.left(run_id) == set()
    assert not stage.ground(run_id).directory.exists()
    with reading(stage.engine) as db:
        assert runs.owner_of(db, 1) is None


def test_a_process_that_is_killed_before_ansible_began_does_no_harm(stage: Stage):
    stage.playbook("waits", WAITS, options="{test_world: {type: path, required: true}}")
    (stage.world / "go").touch()
    run_id = stage.order("waits", variables={"test_world": str(stage.world)})
    stage.supervisor.look()
    stage.look_until(lambda: stage.ground(run_id).is_held(), "the lock")
    os.kill(stage.processes[0].pid, signal.SIGKILL)

    run = stage.finish(run_id)

    assert (run.outcome, run.attempts) == ("ok", 2)
    assert sorted(set(stage.traces("ended"))) == stage.ids


def test_a_run_that_was_cancelled_while_its_process_was_dead_ends(stage: Stage):
    run_id = waiting(stage)
    os.kill(stage.processes[0].pid, signal.SIGKILL)
    with writing(stage.engine) as db:
        ordering.cancel(db, run_id, AMINA, now=datetime.now(UTC))

    run = stage.finish(run_id)

    assert (run.outcome, run.attempts) == ("cancelled", 1)
    assert {host.outcome for host in stage.hosts(run_id)} == {"unknown"}
    assert stage.left(run_id) == set()


def test_a_process_that_is_told_to_end_leaves_the_run_to_the_next(stage: Stage):
    run_id = waiting(stage)

    os.kill(stage.processes[0].pid, signal.SIGTERM)
    stage.processes[0].wait(20)
    assert stage.left(run_id) == set()
    assert stage.run(run_id).state == "running"
    (stage.world / "go").touch()

    assert stage.finish(run_id).outcome == "ok"
    assert stage.run(run_id).attempts == 2


def test_a_second_process_for_one_run_does_nothing(stage: Stage):
    run_id = waiting(stage)

    second = stage.start(stage.home, run_id, 1)

    assert second.wait(30) == 4
    (stage.world / "go").touch()
    assert stage.finish(run_id).outcome == "ok"
    assert sorted(stage.traces("ended")) == stage.ids


def test_a_process_elsewhere_counts_as_alive_while_it_says_so(stage: Stage):
    stage.playbook("waits", WAITS, options="{test_world: {type: path, required: true}}")
    run_id = stage.order("waits", variables={"test_world": str(stage.world)})
    now = datetime.now(UTC)
    with writing(stage.engine) as db:
        run_queue.take(db, now=now)
    stage.supervisor.look()
    assert stage.processes == []

    with writing(stage.engine) as db:
        db.get_one(RunRow, run_id).seen_at = now - supervising.SILENT_AFTER - timedelta(seconds=1)
    stage.supervisor.look()
    assert len(stage.processes) == 1


def test_what_is_left_of_runs_is_tidied_away(stage: Stage):
    stage.playbook("waits", WAITS, options="{test_world: {type: path, required: true}}")
    run_id = stage.order("waits", variables={"test_world": str(stage.world)})
    never, ended = stage.ground(999), stage.ground(run_id)
    for ground in (never, ended):
        ground.keep_secrets({"a": "b"})

    stage.supervisor.tidy()
    assert never.directory.exists()  # its row may be about to come
    assert ended.directory.exists()
    with writing(stage.engine) as db:
        ordering.cancel(db, run_id, AMINA, now=datetime.now(UTC))
    hour_ago = datetime.now(UTC).timestamp() - 4000
    os.utime(never.directory, (hour_ago, hour_ago))
    stage.supervisor.tidy()

    assert not never.directory.exists()
    assert not ended.directory.exists()
