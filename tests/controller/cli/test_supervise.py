"""The supervisor keeps real child processes running and stops them all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from annexfleet_controller.cli import exits, supervise

_SUPERVISOR = """
import sys
from pathlib import Path
from annexfleet_controller.cli import supervise
supervise.FIRST_PAUSE_S = 0.05
parts = [supervise.Part(f"part-{n}", [sys.executable, "-c", code]) for n, code in enumerate(sys.argv[1:])]
sys.exit(supervise.run(parts))
"""
_FOREVER = "import signal; signal.pause()"
_NOTES = "open({path!r}, 'a').write('x')"


def start(*codes: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SUPERVISOR, *codes], stderr=subprocess.DEVNULL)


def wait_until(happened: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)  # a real process is waited for


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def test_all_parts_end_with_it():
    supervisor = start(_FOREVER, _FOREVER)
    wait_until(lambda: len(children(supervisor)) == 2)
    parts = children(supervisor)

    supervisor.send_signal(signal.SIGTERM)
    code = supervisor.wait(20)

    assert code == exits.DONE
    assert not any(part.is_running() for part in parts)


def test_a_part_that_falls_is_started_again(tmp_path: Path):
    notes = tmp_path / "notes"
    supervisor = start(_NOTES.format(path=str(notes)))

    wait_until(lambda: notes.exists() and notes.stat().st_size >= 3)

    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(20) == exits.DONE


def test_parts_do_not_outlive_a_killed_supervisor():
    supervisor = start(_FOREVER)
    wait_until(lambda: len(children(supervisor)) == 1)
    (part,) = children(supervisor)

    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait(20)

    wait_until(lambda: not part.is_running() or part.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("code", [exits.SETTINGS, exits.TAKEN])
def test_what_would_fail_again_stops_everything(code: int):
    supervisor = start(_FOREVER, f"import sys; sys.exit({code})")

    assert supervisor.wait(20) == code


@pytest.mark.parametrize(("falls", "pause_s"), [(1, 0.5), (2, 1.0), (4, 4.0), (7, 30.0), (1000, 30.0)])
def test_pauses_grow_and_stay_bounded(falls: int, pause_s: float):
    assert supervise.pause_after(falls) == pause_s
