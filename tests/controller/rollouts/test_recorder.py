"""What the run's process takes in of Ansible's events."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.rollouts.recorder import Recorder
from annexfleet_controller.store.database import open_database

NONCE = 7
ONE, OTHER = "d-" + "a" * 26, "d-" + "b" * 26


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [10, 2000])
def test_a_device_that_answers_what_nobody_can_take_in_leaves_the_run_to_the_others(depth: int):
    story = Story({ONE: (1, (ONE,)), OTHER: (2, (OTHER,))}, nonce=NONCE, check=False)
    recorder = Recorder(
        create_engine("sqlite://"), story, run_id=1, attempt=1, deadline=datetime.now(UTC), clock=SYSTEM,
        end=lambda: None,
    )  # fmt: skip
    for device, before in ((ONE, nested(depth)), (OTHER, "a")):
        res = {"changed": True, "diff": {"before": before, "after": "b"}}
        data = {"host": device, "task_uuid": "t", "task": "Change it", "task_path": "x:1", "res": res}
        recorder.hear({"event": "runner_on_ok", "job_id": NONCE, "event_data": data})
    everybody = {ONE: 1, OTHER: 1}
    recorder.hear(
        {"event": "playbook_on_stats", "job_id": NONCE, "event_data": {"changed": everybody, "processed": everybody}}
    )

    batch = story.take()
    assert [host.outcome for host in batch.hosts] == ["changed", "changed"]
    assert 2 in {result.device_number for result in batch.results}


def test_time_is_up_and_the_relay_is_tended_while_nothing_can_be_written(tmp_path: Path):
    away = open_database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}")
    story = Story({"a": (1, ("a",))}, nonce=1, check=False)
    is_tended, is_ended = threading.Event(), threading.Event()
    recorder = Recorder(
        away, story, run_id=1, attempt=1, clock=SYSTEM, deadline=SYSTEM.now() + timedelta(seconds=1),
        end=is_ended.set, tend=is_tended.set,
    )  # fmt: skip
    recorder.hear({"event": "runner_on_start", "job_id": 1, "event_data": {"host": "a", "task": "Begin"}})

    recorder.start()
    try:
        assert is_tended.wait(10)
        assert is_ended.wait(10)
    finally:
        unwritten = recorder.stop()

    assert recorder.ending == "timed_out"
    assert [batch.hosts[0].task for batch in unwritten] == ["Begin"]
