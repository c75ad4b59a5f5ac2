"""What ends a run from outside does so also while the database is away."""

import threading
from datetime import timedelta
from pathlib import Path

from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.rollouts.recorder import Recorder
from annexfleet_controller.store.database import open_database


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
