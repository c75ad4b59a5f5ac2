"""Keeps child processes running: starts them, restarts the fallen with growing pauses, and stops all of them together.

One thread, no polling: signals are blocked and waited for.  A child never outlives its supervisor, even one that was
killed: the kernel is asked to terminate the child then.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from annexfleet_controller.cli import exits

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
"""A child that ran this long starts over with the first pause."""
STOP_WITHIN_S = 10.0

_HEARD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True)


class Part(Struct, frozen=True):
    """A child process that shall be there."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = {}
    log_file: Path | None = None
    """Takes what the child prints; None: where the supervisor's own goes."""


class _Child:
    """A part and what became of it so far."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.process: subprocess.Popen[bytes] | None = None
        self.falls = 0
        self.started = 0.0
        self.due = 0.0
        """When to start it, by the monotonic clock."""

    def start(self, now: float) -> None:
        output = self.part.log_file.open("ab") if self.part.log_file else None
        with output or contextlib.nullcontext():
            self.process = subprocess.Popen(  # noqa: S603  # our own argv, no shell
                list(self.part.argv),
                env={**os.environ, **self.part.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_bind_to_parent,  # noqa: PLW1509  # this process has one thread
            )
        self.started = now
        log.info("started part=%s pid=%s", self.part.name, self.process.pid)


def run(parts: Sequence[Part], *, ready: Callable[[], None] = lambda: None) -> int:
    """Keep the parts running until SIGTERM or SIGINT, then stop them; the exit code for the command.

    A part that says its settings are wrong, or that its port is taken, will say so again: then everything stops with
    that code.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    children = [_Child(part) for part in parts]
    try:
        for child in children:
            child.start(time.monotonic())
        ready()
        return _watch(children)
    finally:
        _stop(children)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(children: Sequence[_Child]) -> int:
    while True:
        waiting = [child.due for child in children if child.process is None]
        timeout = max(0.0, min(waiting) - time.monotonic()) if waiting else 3600.0
        heard = signal.sigtimedwait(_HEARD, timeout)
        if heard is not None and heard.si_signo in (signal.SIGTERM, signal.SIGINT):
            log.info("stopping signal=%s", signal.Signals(heard.si_signo).name)
            return exits.DONE
        now = time.monotonic()
        for child in children:
            code = None if child.process is None else child.process.poll()
            if code in (exits.SETTINGS, exits.TAKEN):
                log.error("a part cannot run; its own message says why part=%s", child.part.name)
                return code
            if code is not None:
                _note_fall(child, code, now)
            if child.process is None and child.due <= now:
                child.start(now)


def _note_fall(child: _Child, code: int, now: float) -> None:
    child.process = None
    child.falls = 1 if now - child.started > STEADY_AFTER_S else child.falls + 1
    pause = pause_after(child.falls)
    child.due = now + pause
    log.warning("a part ended part=%s code=%s restart_in_s=%.1f", child.part.name, code, pause)


def pause_after(falls: int) -> float:
    """Seconds to wait before the next start, after so many falls in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(falls - 1, 10)))


def _stop(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None and child.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_WITHIN_S
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("a part did not stop in time and is killed pid=%s", process.pid)
            process.kill()
            process.wait()


def _bind_to_parent() -> None:
    """In the child, before its program starts: hear signals again, and be terminated when the parent is gone."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
