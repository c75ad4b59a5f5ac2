"""Runs with real Ansible: what becomes of devices, and that nothing is done but what was approved."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.controller.rollouts.stage import AMINA, Stage

from annexfleet_controller.rollouts import ordering
from annexfleet_controller.rollouts.events import BROKEN_OFF
from annexfleet_controller.store import run_queue, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.runs import RunRow

TOUCH = """
- name: Leave a trace
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/traces
- name: Fail on one
  ansible.builtin.fail:
    msg: this one is broken
  when: inventory_hostname == test_broken | default('')
- name: Change nothing
  ansible.builtin.stat:
    path: /
"""
OPTIONS = "{test_world: {type: path, required: true}, test_broken: {type: str}}"


def test_a_run_tells_what_became_of_each_device(stage: Stage):
    stage.playbook("touch", TOUCH, options=OPTIONS)

    run = stage.go("touch", variables={"test_world": str(stage.world), "test_broken": stage.ids[1]})

    assert (run.state, run.outcome, run.problem) == ("ended", "failed", ""), (stage.hosts(run.id)[0].message, stage.log)
    hosts = stage.hosts(run.id)
    assert [host.outcome for host in hosts] == ["changed", "failed", "changed"]
    assert hosts[1].message == "this one is broken"
    assert hosts[1].task == "Fail on one"
    assert (hosts[0].ok_count, hosts[0].changed_count, hosts[0].skipped_count, hosts[0].failed_count) == (3, 1, 1, 0)
    assert sorted(stage.traces("traces")) == stage.ids
    with reading(stage.engine) as db:
        assert [task.name for task in run_results.tasks(db, run.id)][1:] == [
            "Leave a trace", "Fail on one", "Change nothing",
        ]  # fmt: skip
        states = [result.state for result in run_results.of_host(db, run.id, hosts[0].device_number)]
    assert states == ["ok", "changed", "skipped", "ok"]  # what comes first is that the arguments fit
    assert not stage.ground(run.id).directory.exists()


FILES = """
- name: Write a file
  ansible.builtin.copy:
    dest: "{{ test_world }}/{{ inventory_hostname }}"
    content: "{{ 'special' if inventory_hostname == test_special else 'usual' }}\\nI am {{ annexfleet_device_id }}\\n"
    mode: "0600"
- name: Do who knows what
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/traces
- name: Skip by a condition
  ansible.builtin.command: /bin/true
  when: false
"""


def test_a_dry_run_changes_nothing_and_groups_what_would_change(stage: Stage):
    stage.playbook(
        "files", FILES, options="{test_world: {type: path, required: true}, test_special: {type: str, required: true}}"
    )

    run = stage.go("files", variables={"test_world": str(stage.world), "test_special": stage.ids[2]}, check=True)

    assert (run.outcome, run.check) == ("ok", True), stage.hosts(run.id)
    assert list(stage.world.iterdir()) == []
    with reading(stage.engine) as db:
        groups = run_results.diff_groups(db, WHOLE, run.id)
        assert [[id_ for id_, _ in group.devices] for group in groups] == [stage.ids[:2], stage.ids[2:]]
        (part,) = run_results.diff_parts(db, run.id, stage.ids[0])
        assert part.task == "Write a file"
        assert "+usual" in part.text
        assert "+I am {device}" in part.text
        assert stage.ids[0] not in part.text
        assert [task.name for task in run_results.unpredictable(db, run.id)] == ["Do who knows what"]


SLOW = """
- name: Begin
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/begun
- name: Take long
  ansible.builtin.shell: echo $$ >> {{ test_world }}/pids; sleep 300 & sleep 300
  when: test_long | default(true)
- name: End
  ansible.builtin.shell: echo {{ inventory_hostname }} >> {{ test_world }}/ended
"""
SLOW_OPTIONS = "{test_world: {type: path, required: true}, test_long: {type: bool}}"


def test_a_cancel_leaves_no_process_within_seconds(stage: Stage):
    stage.playbook("slow", SLOW, options=SLOW_OPTIONS)
    run_id = stage.order("slow", variables={"test_world": str(stage.world)})
    stage.look_until(lambda: len(stage.traces("pids")) == 3, "three long tasks")
    assert stage.left(run_id)

    with writing(stage.engine) as db:
        ordering.cancel(db, run_id, AMINA, now=datetime.now(UTC))
    asked_at = time.monotonic()
    stage.look_until(lambda: not stage.left(run_id), "the end of every process")

    assert time.monotonic() - asked_at < 8  # some seconds on a machine that does many other things
    run = stage.finish(run_id)
    assert run.outcome == "cancelled"
    assert {host.outcome for host in stage.hosts(run_id)} == {"cancelled"}
    assert stage.traces("ended") == []
    with reading(stage.engine) as db:
        assert runs.owner_of(db, 1) is None


def test_a_run_that_takes_too_long_is_ended(stage: Stage):
    stage.playbook("slow", SLOW, options=SLOW_OPTIONS)
    run_id = stage.order("slow", variables={"test_world": str(stage.world)})
    with writing(stage.engine) as db:
        db.get_one(RunRow, run_id).timeout_s = 12.0  # less than anybody may ask for

    run = stage.finish(run_id)

    assert run.outcome == "timed_out"
    assert {host.outcome for host in stage.hosts(run_id)} == {"cancelled"}
    assert stage.left(run_id) == set()


def test_a_playbook_that_cannot_be_read_says_why(stage: Stage):
    stage.playbook("broken", "- name: No module\n  ansible.builtin.no_such_module:\n")

    run = stage.go("broken")

    assert (run.outcome, run.problem) == ("failed", "playbook_unreadable")
    assert {host.outcome for host in stage.hosts(run.id)} == {"unknown"}
    assert "no_such_module" in stage.hosts(run.id)[0].message


def test_ansible_that_dies_leaves_the_unknown(stage: Stage):
    stage.playbook("slow", SLOW, options=SLOW_OPTIONS)
    run_id = stage.order("slow", variables={"test_world": str(stage.world)})
    stage.look_until(lambda: len(stage.traces("pids")) == 3, "three long tasks")
    ansible = min(stage.left(run_id))  # the first that was started

    os.kill(ansible, signal.SIGKILL)

    run = stage.finish(run_id)
    assert (run.outcome, run.problem) == ("unknown", "no_statistics")
    assert {host.outcome for host in stage.hosts(run_id)} == {"unknown"}
    assert stage.left(run_id) == set()


def test_a_library_that_changed_since_is_refused(stage: Stage):
    stage.playbook("touch", TOUCH, options=OPTIONS)
    run_id = stage.order("touch", variables={"test_world": str(stage.world)})
    (stage.library / "roles" / "touch" / "tasks" / "main.yml").write_text("- ansible.builtin.debug:\n")

    run = stage.finish(run_id)

    assert (run.outcome, run.problem) == ("failed", "bundle_changed")
    assert {host.outcome for host in stage.hosts(run_id)} == {"skipped"}
    assert stage.traces("traces") == []


def test_an_edit_while_a_run_lasts_changes_nothing_of_it(stage: Stage):
    wait = SLOW.replace("sleep 300 & sleep 300", "while [ ! -e {{ test_world }}/go ]; do sleep 0.1; done")
    stage.playbook("slow", wait, options=SLOW_OPTIONS)
    run_id = stage.order("slow", variables={"test_world": str(stage.world)})
    stage.look_until(lambda: len(stage.traces("pids")) == 3, "the wait")
    for file in stage.library.rglob("*.yml"):
        file.write_text("- nonsense")
    (stage.world / "go").touch()

    assert stage.finish(run_id).outcome == "ok"
    assert sorted(stage.traces("ended")) == stage.ids


def test_secrets_that_were_lost_stop_a_run(stage: Stage):
    stage.playbook("touch", TOUCH, options="{test_world: {type: str, no_log: true}}")
    run_id = stage.order("touch", secrets={"test_world": str(stage.world)})
    (stage.ground(run_id).directory / "secrets.json").unlink()

    run = stage.finish(run_id)

    assert (run.outcome, run.problem) == ("failed", "secrets_lost")


BROKEN = """
- name: Play
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Fail on one
      ansible.builtin.fail:
        msg: this one is broken
      when: inventory_hostname == groups['all'][1]
    - name: Do what matters
      ansible.builtin.command: /bin/true
"""


def test_devices_with_whom_a_play_was_broken_off_are_not_called_good(stage: Stage):
    stage.playbook("broken", "[]")
    (stage.library / "broken.yml").write_text(BROKEN)

    run = stage.go("broken")

    assert run.outcome == "failed"
    hosts = stage.hosts(run.id)
    assert [host.outcome for host in hosts] == ["failed"] * 3
    assert [host.task for host in hosts] == ["Fail on one"] * 3
    assert [host.message for host in hosts] == [BROKEN_OFF, "this one is broken", BROKEN_OFF]


AWAY = """
- name: Play
  hosts: all
  gather_facts: false
  tasks:
    - name: Reach for what is away
      ansible.builtin.ping:
      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
      ignore_unreachable: true
      when: inventory_hostname == groups['all'][0]
    - name: Do what matters
      ansible.builtin.command: /bin/true
"""


def test_a_device_that_was_away_and_may_be_goes_on(stage: Stage):
    stage.playbook("away", "[]")
    (stage.library / "away.yml").write_text(AWAY)

    run = stage.go("away")

    assert run.outcome == "ok"
    assert [host.outcome for host in stage.hosts(run.id)] == ["changed"] * 3
    with reading(stage.engine) as db:
        states = [result.state for result in run_results.of_host(db, run.id, 1)]
    assert states == ["ignored", "changed"]


def test_where_no_relay_comes_up_nothing_is_begun(stage: Stage):
    stage.playbook("touch", TOUCH, options=OPTIONS)
    run_id = stage.order("touch", variables={"test_world": str(stage.world)})
    with writing(stage.engine) as db:
        run_queue.take(db, now=datetime.now(UTC))

    with subprocess.Popen(
        [sys.executable, "-c", PLAYED_WITHOUT_RELAY, str(stage.home.path), str(run_id)], cwd=Path(__file__).parents[3]
    ) as process:  # it ends everything below itself, so not here
        assert process.wait(60) == 0

    run = stage.run(run_id)
    assert (run.state, run.outcome, run.problem) == ("ended", "failed", "relay_down")
    assert {host.outcome for host in stage.hosts(run_id)} == {"skipped"}
    assert not stage.ground(run_id).directory.exists()


PLAYED_WITHOUT_RELAY = """
import sys
from pathlib import Path
from annexfleet_controller import settings
from annexfleet_controller.rollouts import play

home, run_id = sys.argv[1:]
falls = play.Link(relay=lambda home, run_id: ["/bin/sh", "-c", "sleep 0.3; exit 1"])
sys.exit(play.carry_out(settings.load(Path(home)), int(run_id), 1, link=falls))
"""
