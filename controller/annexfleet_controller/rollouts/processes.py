"""The processes of a run, found and ended to the last one.

Ansible's workers are sessions of their own, so a process group does not hold them.  Two nets do: the run's process
adopts what loses its parent (`adopt_orphans`), and every process of a run bears the run's mark in its environment, so
that even those whose run's process was killed are found.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

MARK = "ANNEXFLEET_RUN_DIRECTORY"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_PAUSE_S = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """In a child, before its program starts: be asked to end when the parent is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def descendants(of: int) -> set[int]:
    """The living processes below this one."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    wanted = [of]
    while wanted:
        for pid in children.get(wanted.pop(), ()):
            if pid not in found:
                found.add(pid)
                wanted.append(pid)
    return found


def marked(directory: Path) -> set[int]:
    """The living processes that bear the mark of the run with this directory, except ourselves."""
    wanted = f"{MARK}={directory}".encode()
    return {pid for pid, _ in _parents() if pid != os.getpid() and wanted in _environment(pid)}


def kill(find: Callable[[], Collection[int]], *, within_s: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Kill what `find` finds, again and again until it finds nothing; whether that came to pass in time."""
    deadline = clock() + within_s
    while pids := find():
        for pid in pids:
            _kill_one(pid, find)
        if clock() > deadline:
            return not find()
        time.sleep(_PAUSE_S)
    return True


def _kill_one(pid: int, find: Callable[[], Collection[int]]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(pid)
        try:
            # The number may have passed to another process since it was found; the handle cannot.
            if pid in find():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _parents() -> Iterator[tuple[int, int]]:
    """Process and parent, of all that live."""
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                state, parent = (place / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue  # it ended meanwhile
            if state not in (b"Z", b"X"):
                yield int(place.name), int(parent)


def _environment(pid: int) -> Collection[bytes]:
    try:
        return Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return ()
