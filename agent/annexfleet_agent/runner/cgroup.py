"""A control group for each piece of work, where this process may make one: nothing gets out of it.

Version 2 of the interface alone.  Where there is none, or it belongs to somebody else, `family` does the same with
what /proc tells, and resource limits stand in for the group's.
"""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_MOUNTS = Path("/proc/self/mounts")
_OWN = Path("/proc/self/cgroup")
_LEAF = "annexfleet-runner"
_YOUNG_S = 600.0
_WANTED = ("cpu", "memory", "pids")
_PERIOD_US = 100_000


class Group:
    """One group."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def entrance(self) -> Path:
        """A process that writes 0 into this file belongs to the group, and all that it starts."""
        return self._path / "cgroup.procs"

    def limit(self, *, memory_bytes: int, cpu_ratio: float, processes: int) -> bool:
        """Whether the memory is limited from now on.  `cpu_ratio` is of one processor."""
        with suppress(OSError):
            (self._path / "pids.max").write_text(str(processes))
        with suppress(OSError):
            (self._path / "cpu.max").write_text(f"{max(1000, int(cpu_ratio * _PERIOD_US))} {_PERIOD_US}")
        try:
            (self._path / "memory.max").write_text(str(memory_bytes))
        except OSError:
            return False
        with suppress(OSError):
            (self._path / "memory.swap.max").write_text("0")
        with suppress(OSError):
            (self._path / "memory.oom.group").write_text("1")
        return True

    def was_out_of_memory(self) -> bool:
        with suppress(OSError, ValueError):
            events = dict(line.split() for line in (self._path / "memory.events").read_text().splitlines())
            return int(events.get("oom_kill", 0)) > 0
        return False

    def kill(self) -> bool:
        """End everybody in it; False if this kernel (before 5.14) cannot."""
        try:
            (self._path / "cgroup.kill").write_text("1")
        except OSError:
            return False
        return True

    def remove(self) -> bool:
        """Whether it is gone; not while somebody is in it."""
        try:
            self._path.rmdir()
        except OSError:
            return not self._path.exists()
        return True


class Groups:
    """Makes groups; below the one in which this process is."""

    def __init__(self, base: Path | None) -> None:
        self._base = base
        self._left: list[Group] = []

    def make(self, name: str) -> Group | None:
        """None where no groups can be made."""
        self._left = [group for group in self._left if not group.remove()]
        if self._base is None:
            return None
        path = self._base / name
        try:
            path.mkdir()
            if not (path / "cgroup.kill").exists():
                path.rmdir()
                return None
        except OSError as error:
            log.info("no control group can be made: processes are followed instead reason=%s", error.strerror)
            self._base = None
            return None
        return Group(path)

    def let_go(self, group: Group) -> None:
        """Remove it now, or when the background job that it was meant to leave has ended."""
        if not group.remove():
            self._left.append(group)


def found() -> Groups:
    """Groups below this process's own, if it lies in the unified hierarchy and may be written."""
    base = _own_group()
    if base is None or not os.access(base, os.W_OK):
        return Groups(None)
    _hand_on(base)
    for left in base.glob("annexfleet-*"):  # by background jobs of an earlier runner that have ended since
        with suppress(OSError):
            # A young one may be another runner's, that has made it and is about to enter it.
            if time.time() - left.stat().st_ctime > _YOUNG_S:
                left.rmdir()
    return Groups(base)


def _own_group() -> Path | None:
    with suppress(OSError):
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
        root = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
        own = next((line[3:] for line in _OWN.read_text().splitlines() if line.startswith("0::")), None)
        if root is not None and own is not None:
            return root / own.lstrip("/")
    return None


def _hand_on(base: Path) -> None:
    """Let groups below limit memory.  The kernel allows that only where no process lies in the group itself, so this
    one moves into a leaf; if others lie there too (no unit of our own), it is left as it is."""
    with suppress(OSError, ValueError):
        if base.name == _LEAF or {int(pid) for pid in (base / "cgroup.procs").read_text().split()} != {os.getpid()}:
            return
        leaf = base / _LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        there = (base / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in _WANTED if name in there)
        (base / "cgroup.subtree_control").write_text(wanted)
