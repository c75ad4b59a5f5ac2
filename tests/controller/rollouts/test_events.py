"""Events become rows: outcomes come from Ansible's closing statistics, and what devices write harms nobody."""

import json
import time
from typing import Any

import pytest

from annexfleet_controller.rollouts.events import BROKEN_OFF, LONGEST_MESSAGE, Story
from annexfleet_controller.rollouts.masking import CENSORED, MASK, Mask
from annexfleet_controller.store.run_progress import Batch, Progress

NONCE = 4711
BUSINESS = "/bundle/roles/x/tasks/main.yml"


def event(name: str, host: str = "", *, task: int = 1, nonce: int = NONCE, **data: Any) -> dict[str, Any]:
    about = {"task": f"Task {task}", "task_uuid": f"uuid-{task}", "task_path": f"{BUSINESS}:{task}",
             "task_action": "command", "resolved_action": "ansible.builtin.command", "duration": 0.5}  # fmt: skip
    return {"event": name, "job_id": nonce, "event_data": {**about, **({"host": host} if host else {}), **data}}


def stats(**of: dict[str, int]) -> dict[str, Any]:
    return {"event": "playbook_on_stats", "job_id": NONCE, "event_data": of}


def story(*hosts: str, check: bool = False, mask: Mask | None = None) -> Story:
    known = {id_: (number, (id_, f"name of {id_}")) for number, id_ in enumerate(hosts, 1)}
    return Story(known, nonce=NONCE, check=check, mask=mask or Mask())


def by_number(batch: Batch) -> dict[int, Progress]:
    return {host.device_number: host for host in batch.hosts}


@pytest.mark.parametrize(
    ("of", "outcome"),
    [
        ({"processed": {"a": 1}, "ok": {"a": 3}}, "ok"),
        ({"processed": {"a": 1}, "ok": {"a": 3}, "changed": {"a": 1}}, "changed"),
        ({"processed": {"a": 1}, "failures": {"a": 1}, "changed": {"a": 1}}, "failed"),
        ({"processed": {"a": 1}, "dark": {"a": 1}}, "unreachable"),
        ({"processed": {"a": 1}, "rescued": {"a": 1}, "ok": {"a": 1}}, "ok"),
        ({}, "skipped"),
        ({"processed": "hostile", "failures": ["a"]}, "skipped"),
    ],
)
def test_the_statistics_decide(of: dict[str, Any], outcome: str):
    told = story("a")
    told.take_in(event("runner_on_start", "a"))
    told.take_in(stats(**of))

    assert by_number(told.take())[1].outcome == outcome


def test_a_failure_is_no_outcome_before_the_statistics_and_an_unreachable_device_is():
    told = story("a", "b")
    told.take_in(event("runner_on_failed", "a", res={"msg": "no"}))
    told.take_in(event("runner_on_unreachable", "b", res={"msg": "far"}))

    hosts = by_number(told.take())
    assert (hosts[1].state, hosts[1].outcome, hosts[1].message) == ("running", "", "no")
    assert (hosts[2].state, hosts[2].outcome, hosts[2].message) == ("ended", "unreachable", "far")
    assert told.without_outcome == ["a"]


def test_an_unreachable_device_with_which_ansible_goes_on_is_not_over():
    told = story("a")
    far = event("runner_on_unreachable", "a", res={"msg": "far"})
    told.take_in({**far, "stdout": '{"goes_on": true}'})
    told.take_in(event("runner_on_ok", "a", task=2, res={"changed": True}))

    batch = told.take()
    assert [result.state for result in batch.results] == ["ignored", "changed"]
    assert (batch.hosts[0].state, batch.hosts[0].failed_count, batch.hosts[0].message) == ("running", 0, "")
    told.take_in(stats(processed={"a": 1}, ok={"a": 2}, changed={"a": 1}))
    assert told.take().hosts[0].outcome == "changed"


def test_devices_that_ansible_gave_up_because_of_others_are_not_good():
    told = story("a", "b")
    told.take_in(event("runner_on_ok", "a", task=2, res={"changed": True}))
    told.take_in({**stats(processed={"a": 1, "b": 1}, changed={"a": 1}, ok={"b": 1}), "stdout": '{"given_up": ["a"]}'})

    hosts = by_number(told.take())
    assert (hosts[1].outcome, hosts[1].task, hosts[1].message) == ("failed", "Task 2", BROKEN_OFF)
    assert hosts[2].outcome == "ok"


def test_a_task_that_fails_at_the_very_end_is_named():
    told = story("a")
    told.take_in(event("runner_on_start", "a", task=2))
    told.take()
    told.take_in(event("runner_on_failed", "a", task=3, res={"msg": "no"}))
    told.take_in(stats(processed={"a": 1}, failures={"a": 1}))

    (host,) = told.take().hosts
    assert (host.outcome, host.task, host.message) == ("failed", "Task 3", "no")


def test_an_ignored_failure_is_none():
    told = story("a")
    told.take_in(event("runner_on_failed", "a", res={"msg": "no"}, ignore_errors=True))

    batch = told.take()
    assert batch.results[0].state == "ignored"
    assert batch.hosts[0].failed_count == 0


def test_what_does_not_bear_the_runs_number_is_no_event():
    told = story("a")
    told.take_in({**stats(processed={"a": 1}, ok={"a": 1}), "job_id": NONCE + 1})
    told.take_in(event("runner_on_unreachable", "a", nonce=0))

    assert told.take().is_empty
    assert not told.has_statistics


@pytest.mark.parametrize(
    "hostile",
    [
        {}, {"event": 7}, {"event": "runner_on_ok", "job_id": NONCE},
        {"event": "runner_on_ok", "job_id": NONCE, "event_data": "text"},
        {"event": "runner_on_ok", "job_id": NONCE, "event_data": {"host": ["a"], "res": "x"}},
        {"event": "runner_on_failed", "job_id": NONCE, "event_data": {"host": "a", "res": {"results": [1, None, {}]}}},
        {"event": "runner_on_ok", "job_id": NONCE, "event_data": {"host": "a", "res": {"changed": True, "diff": [7]}}},
        {"event": "runner_on_skipped", "job_id": NONCE, "stdout": "[" * 5000, "event_data": {"host": "a"}},
        {"event": "runner_on_failed", "job_id": NONCE, "event_data": {"host": "a", "task_uuid": {}, "res": {}}},
        {"event": "runner_on_ok", "job_id": NONCE, "event_data": {"host": "nobody", "res": {}}},
        {"event": "verbose", "stdout": None},
    ],
)  # fmt: skip
def test_an_event_of_another_shape_harms_nothing(hostile: dict[str, Any]):
    told = story("a", check=True)
    told.take_in(hostile)
    told.take_in(stats(processed={"a": 1}, ok={"a": 1}))

    assert by_number(told.take())[1].outcome == "ok"


def test_messages_are_short_masked_and_without_control_characters():
    told = story("a", mask=Mask(["hunter2-the-secret"]))
    loud = "\x1b[31mred\x1b[0m \x00nul \ud800half hunter2-the-secret " + "x" * 5_000_000
    told.take_in(event("runner_on_failed", "a", res={"msg": loud, "stderr": "hunter2-the-secret"}))

    (result,) = told.take().results
    assert len(result.message) <= LONGEST_MESSAGE
    assert result.message.startswith(f"red \ufffdnul \ufffdhalf {MASK} xxx")
    assert "hunter2" not in result.message


def test_what_is_not_to_be_logged_is_not_told():
    told = story("a")
    told.take_in(event("runner_on_failed", "a", res={"censored": "…", "msg": "secret"}))
    told.take_in(event("runner_on_failed", "a", task=2, res={"results": [{"censored": "…", "msg": "secret"}]}))

    assert [result.message for result in told.take().results] == [CENSORED, CENSORED]


def test_tasks_are_known_again_in_another_attempt():
    first, second = story("a", "b"), None
    for task in (1, 2):
        first.take_in(event("playbook_on_task_start", task=task))
    tasks = first.take().tasks
    second = Story({"b": (2, ("b",))}, nonce=NONCE, check=False, known=tasks)
    for task in (1, 2, 3):
        second.take_in({**event("runner_on_ok", "b", task=task), "event_data": {
            **event("runner_on_ok", "b", task=task)["event_data"], "task_uuid": f"other-{task}"}})  # fmt: skip

    batch = second.take()
    assert [task.number for task in batch.tasks] == [3]
    assert [result.task_number for result in batch.results] == [1, 2, 3]


def test_a_task_that_a_dry_run_leaves_out_is_unpredictable_unless_a_condition_skips_it():
    told = story("a", "b", check=True)
    told.take_in(event("runner_on_skipped", "a") | {"stdout": json.dumps({"skip_reason": True})})
    assert told.take().tasks[0].predictable
    told.take_in(event("runner_on_skipped", "b") | {"stdout": json.dumps({"msg": "check mode"})})
    assert not told.take().tasks[0].predictable


def test_devices_that_change_alike_have_one_digest_though_their_names_differ():
    told = story("device-a", "device-b", "device-c", check=True)
    for host, extra in (("device-a", ""), ("device-b", ""), ("device-c", "more\n")):
        diff = {
            "before": "",
            "after": f"I am {host}\n{extra}",
            "after_header": f"/tmp/ansible-tmp-{host}/x",
        }
        told.take_in(event("runner_on_ok", host, res={"changed": True, "diff": [diff]}))
    told.take_in(
        stats(**{of: dict.fromkeys(("device-a", "device-b", "device-c"), 1) for of in ("processed", "changed")})
    )

    batch = told.take()
    hosts = by_number(batch)
    assert hosts[1].diff_digest == hosts[2].diff_digest != hosts[3].diff_digest != ""
    assert len(batch.diffs) == 2


def test_what_changes_nothing_has_no_digest():
    told = story("a", check=True)
    told.take_in(event("runner_on_ok", "a", res={"changed": False, "diff": {"before": "x", "after": "x"}}))
    told.take_in(stats(processed={"a": 1}, ok={"a": 1}))

    assert told.take().hosts[0].diff_digest == ""


def test_two_hundred_devices_and_thirty_tasks_are_taken_in_within_seconds():
    ids = [f"d-{number:026}" for number in range(200)]
    told = story(*ids, check=True, mask=Mask(["a-long-secret-of-somebody"]))
    diff = {"before": "a\n" * 40, "after": "b\n" * 40, "before_header": "/etc/x"}
    began = time.process_time()
    for task in range(30):
        for host in ids:
            told.take_in(event("runner_on_start", host, task=task))
            told.take_in(event("runner_on_ok", host, task=task, res={"changed": task % 5 == 0, "diff": diff}))
        told.take()
    told.take_in(stats(processed=dict.fromkeys(ids, 1), changed=dict.fromkeys(ids, 6)))

    assert len(told.take().hosts) == 200
    assert time.process_time() - began < 10  # measured: 0.7 s


def test_the_task_that_failed_is_told_even_when_all_comes_in_one_batch():
    told = story("a")
    told.take_in(event("runner_on_start", "a", task=1))
    told.take_in(event("runner_on_ok", "a", task=1, res={}))
    told.take_in(event("runner_on_start", "a", task=2))
    told.take_in(event("runner_on_failed", "a", task=2, res={"msg": "no"}))
    told.take_in(stats(processed={"a": 1}, failures={"a": 1}))

    assert by_number(told.take())[1].task == "Task 2"


def test_of_a_loop_the_items_words_come_first():
    told = story("a")
    items = [{"msg": "fine"}, {"failed": True, "msg": "there is no such file"}]
    told.take_in(event("runner_on_failed", "a", res={"msg": "One or more items failed", "results": items}))

    assert told.take().results[0].message.splitlines() == ["there is no such file", "One or more items failed"]
