import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from annexfleet_agent.loop import Loop
from annexfleet_agent.runner import cgroup, family
from annexfleet_agent.runner.execution import Execution
from annexfleet_agent.runner.process import Fence, Limits, Process

LIMITS = Limits(seconds=20, output_bytes=1_000_000, memory_bytes=2_000_000_000)


def groups_of(kind):
    """With control groups where this machine lets us, and without."""
    if kind == "proc":
        return cgroup.Groups(None)
    made = cgroup.found()
    probe = made.make(f"annexfleet-test-{os.getpid()}")
    if probe is None:
        pytest.skip("no control group can be made here")
    made.let_go(probe)
    return made


class Run:
    """One program on a loop of its own."""

    def __init__(self, kind, *argv, limits=LIMITS, takes=True):
        self.loop = Loop()
        self.heard = {"output": b"", "errors": b""}
        self.fed = 0
        self.takes = takes
        self.over = []
        groups = groups_of(kind)
        name = f"annexfleet-test-{os.getpid()}-{time.monotonic_ns()}"
        self.execution = Execution(
            self.loop,
            lambda output, errors: Process(argv, output, errors, fence=Fence(limits, groups, name, tuple)),
            limits=limits,
            heard=self._heard,
            may_hear=lambda: self.takes,
            fed=self._fed,
            ended=self.over.append,
        )

    def _heard(self, stream, data):
        self.heard[stream] += data

    def _fed(self):
        self.fed += 1

    def until(self, happened, seconds=15):
        assert self.loop.run_until(happened, timeout_s=seconds)

    def end(self, seconds=15):
        self.until(lambda: self.over, seconds)
        self.loop.close()
        return self.over[0]


@pytest.fixture(autouse=True)
def subreaper():
    """As the runner is one; nothing that a test started stays."""
    import ctypes

    before = {one.pid for one in family.children(family.table(), os.getpid())}
    assert family.become_subreaper()
    yield
    for one in family.children(family.table(), os.getpid()):
        if one.pid not in before:
            with suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)
                os.waitpid(one.pid, 0)
    cgroup.found()  # removes what is empty
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


both = pytest.mark.parametrize("kind", ["cgroup", "proc"])
DAEMON = (
    "import os,time\n"
    "if os.fork(): os.wait(); open({mark!r},'w').close(); {then}\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "open({pids!r},'w').write(str(os.getpid()))\n"
    "time.sleep(300)\n"
)


def lives(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@both
def test_output_errors_and_exit_code(kind):
    run = Run(kind, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")

    ended = run.end()

    assert (ended.exit_code, ended.error) == (3, "")
    assert run.heard == {"output": b"out\n", "errors": b"err\n"}


@both
def test_a_signal_that_ended_it_is_told(kind):
    assert Run(kind, "/bin/sh", "-c", "kill -TERM $$").end().exit_code == -signal.SIGTERM


def test_input_is_fed_as_fast_as_it_is_read_and_what_is_not_wanted_is_let_go():
    run = Run("proc", "/bin/sh", "-c", "head -c 10; exit 0")
    for _ in range(20):
        run.execution.feed(b"x" * 48_000, last=False)
    run.execution.feed(b"", last=True)

    run.end()

    assert run.heard["output"] == b"x" * 10
    assert run.fed == 21


def test_output_waits_until_the_other_side_takes_it():
    run = Run("proc", "/bin/sh", "-c", "head -c 300000 /dev/zero; echo end >&2", takes=False)
    run.loop.run_until(lambda: False, timeout_s=0.5)
    assert run.heard["output"] == b""
    assert not run.over

    run.takes = True
    run.execution.go_on()
    run.end()

    assert len(run.heard["output"]) == 300_000


def _alive() -> set[int]:
    """The children of this process that run; other tests may have left theirs."""
    return {one.pid for one in family.children(family.table(), os.getpid()) if one.state != "Z"}


@both
def test_a_time_limit_ends_all(kind):
    before = _alive()
    run = Run(kind, "/bin/sh", "-c", "sleep 300 & sleep 300", limits=Limits(
        seconds=0.5, output_bytes=1000, memory_bytes=2_000_000_000
    ))  # fmt: skip

    assert run.end().error == "timed_out"
    assert not _alive() - before


@both
def test_an_output_limit_ends_it(kind):
    run = Run(kind, "/bin/sh", "-c", "yes")

    assert run.end().error == "output_too_big"
    assert len(run.heard["output"]) <= LIMITS.output_bytes


def test_a_processor_limit_ends_it():
    limits = Limits(seconds=10, output_bytes=1000, memory_bytes=2_000_000_000, cpu_ratio=0.1)

    ended = Run("proc", "/bin/sh", "-c", "while :; do :; done", limits=limits).end()

    assert ended.error == "timed_out"


def test_a_memory_limit_ends_it():
    limits = Limits(seconds=20, output_bytes=100_000, memory_bytes=200_000_000)
    run = Run("proc", "/usr/bin/python3", "-c", "x = b'x' * 400_000_000", limits=limits)

    assert run.end().exit_code == 1
    assert b"MemoryError" in run.heard["errors"]


@both
def test_a_cancel_reaches_who_left_group_session_and_parent(kind, tmp_path):
    mark, pids = str(tmp_path / "mark"), tmp_path / "pids"
    run = Run(kind, "/usr/bin/python3", "-c", DAEMON.format(mark=mark, pids=str(pids), then="time.sleep(300)"))
    run.until(lambda: Path(mark).exists() and pids.exists() and pids.read_text())
    daemon = int(pids.read_text())
    assert lives(daemon)

    run.execution.kill("cancelled")

    run.until(lambda: run.over and not lives(daemon), 5)
    assert run.end().error == "cancelled"


@both
def test_a_background_job_that_holds_the_pipes_does_not_hold_the_end(kind, tmp_path):
    mark, pids = str(tmp_path / "mark"), tmp_path / "pids"
    run = Run(
        kind, "/usr/bin/python3", "-c", DAEMON.format(mark=mark, pids=str(pids), then="print('left'); raise SystemExit")
    )

    began = time.monotonic()
    ended = run.end()

    assert (ended.exit_code, run.heard["output"]) == (0, b"left\n")
    assert time.monotonic() - began < 5
    daemon = int(pids.read_text())
    assert lives(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_background_job_that_never_stops_writing_does_not_hold_the_end():
    run = Run("proc", "/bin/sh", "-c", "setsid yes & exec true", limits=Limits(
        seconds=20, output_bytes=100_000_000, memory_bytes=2_000_000_000
    ))  # fmt: skip

    assert run.end().exit_code == 0


@both
def test_what_an_earlier_piece_of_work_left_is_not_ended_with_a_later_one(kind, tmp_path):
    mark, pids = str(tmp_path / "mark"), tmp_path / "pids"
    Run(kind, "/usr/bin/python3", "-c", DAEMON.format(mark=mark, pids=str(pids), then="raise SystemExit")).end()
    left = int(pids.read_text())
    later = Run(kind, "/bin/sleep", "300")

    later.execution.kill("cancelled")
    later.end()

    assert lives(left)
    os.kill(left, signal.SIGKILL)


def test_a_fork_bomb_is_ended_whole():
    before = _alive()
    run = Run(
        "proc", "/bin/sh", "-c", "f() { sleep 300 & setsid sleep 300 & }; for i in 1 2 3 4 5 6 7 8 9; do f; done; wait"
    )
    run.until(lambda: len(family.descendants(family.table(), run.execution.pids)) > 15)

    run.execution.kill("cancelled")
    run.end()

    assert not _alive() - before


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_descriptors():
    loop = Loop()
    before = len(list(Path("/proc/self/fd").iterdir()))
    fence = Fence(LIMITS, cgroup.Groups(None), "", tuple)

    with pytest.raises(FileNotFoundError):
        Execution(
            loop, lambda output, errors: Process(["/no/such/program"], output, errors, fence=fence), limits=LIMITS,
            heard=lambda *_: None, may_hear=lambda: True, fed=lambda: None, ended=lambda _ended: None,
        )  # fmt: skip

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    loop.close()


def test_ended_orphans_are_reaped(tmp_path):
    Run("proc", "/bin/sh", "-c", "(setsid sh -c 'sleep 0.1' &) ; exit 0").end()
    until = time.monotonic() + 5
    while family.reap([]) == 0:
        assert time.monotonic() < until

    assert not [one for one in family.children(family.table(), os.getpid()) if one.state == "Z"]


def test_where_the_kernel_cannot_tell_the_end_it_is_asked(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")

    assert Run("proc", "/bin/sh", "-c", "sleep 0.2; exit 4").end().exit_code == 4
