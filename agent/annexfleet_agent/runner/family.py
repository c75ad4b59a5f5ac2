"""Which processes descend from which, read from /proc, and how to end all of them.

A process may leave its parent, its group and its session.  While the runner is the "child subreaper", whoever loses
its parent becomes a child of the runner, so nobody gets out of sight.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_ROUNDS = 20
"""Of looking again for who was born while others were killed."""


class Process(Struct, frozen=True):
    pid: int
    parent: int
    session: int
    state: str
    """One letter, as in /proc; Z: it ended and nobody asked how."""
    started: int
    """Clock ticks since the machine started; with the pid it names a process for good."""


def become_subreaper() -> bool:
    """Whether orphans come to this process from now on."""
    with suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


def table() -> dict[int, Process]:
    """Every process there is."""
    found = {}
    for name in os.listdir(_PROC):  # noqa: PTH208  # a Path for each of hundreds would be thrown away
        if name.isdigit() and (process := _read(int(name))) is not None:
            found[process.pid] = process
    return found


def _read(pid: int) -> Process | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:  # it ended meanwhile
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold anything
    return Process(pid, int(fields[1]), int(fields[3]), fields[0], int(fields[19]))


def children(processes: dict[int, Process], of: int) -> list[Process]:
    return [process for process in processes.values() if process.parent == of]


def descendants(processes: dict[int, Process], roots: Iterable[int]) -> set[int]:
    """The roots that exist, and all below them."""
    below: dict[int, list[int]] = {}
    for process in processes.values():
        below.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += below.get(pid, ())
    return found


class Work:
    """What one piece of work has set going: its first process, all that descend from it, and orphans of theirs.

    Only one piece of work runs at a time, so an orphan that appears meanwhile is its own.  What was there before (a
    background job that an earlier piece of work was meant to leave) is not touched, nor what descends from it.
    """

    def __init__(self, kept: Callable[[], Iterable[int]] = tuple) -> None:
        """Before the first process starts.  `kept` tells children of this process that stay, whatever is killed."""
        self._kept = kept
        processes = table()
        before = (one.pid for one in children(processes, os.getpid()) if one.pid not in set(kept()))
        self._before = {(pid, processes[pid].started) for pid in descendants(processes, before)}
        self._session = 0

    def began(self, pid: int) -> None:
        """Its first process, which leads a session of its own."""
        self._session = pid

    def members(self) -> set[int]:
        """Who lives of it."""
        processes = table()
        kept = {*self._kept(), os.getpid()}
        before = {pid for pid, started in self._before if pid in processes and processes[pid].started == started}
        roots = {one.pid for one in children(processes, os.getpid())} - before - kept
        roots |= {one.pid for one in processes.values() if one.session == self._session and self._session}
        found = descendants(processes, roots) - descendants(processes, before) - kept
        return {pid for pid in found if processes[pid].state != "Z"}

    def kill(self) -> bool:
        """End everybody; whether nobody is left."""
        for _ in range(_ROUNDS):
            living = self.members()
            if not living:
                return True
            # Who is stopped cannot fork away while the others are being killed.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in living:
                    with suppress(OSError):
                        os.kill(pid, number)
        return not self.members()


def reap(known: Iterable[int]) -> int:
    """Let go of orphans that ended; how many.  `known`: children for whom somebody else waits."""
    known = set(known)
    count = 0
    for one in children(table(), os.getpid()):
        if one.state == "Z" and one.pid not in known:
            with suppress(ChildProcessError):
                os.waitpid(one.pid, os.WNOHANG)
                count += 1
    return count
