"""Whether the programs that agent.toml names are running, and how much memory they take."""

from collections.abc import Sequence
from typing import NamedTuple

import psutil

from annexfleet_agent.collectors.report import Collector, Report

_PERIOD_S = 60.0
_COMM_CHARACTERS = 15
"""The kernel keeps no more of a name; psutil finds the rest in the command line, where it may."""
_FORGET_PASSES = 60
_RUNNING, _MEMORY = "process_running", "process_memory_bytes"


def collector(names: Sequence[str]) -> Collector:
    """One subject `process:<name>` for each name; no names, no work.  A zombie does not run.

    Source: psutil.Process.
    """
    known = _Names()

    def collect() -> Report:
        report = Report()
        if not names:
            return report
        with report.trying("", _RUNNING, _MEMORY):
            of_pid = known.now()
            # With hidepid, or on Android, a process that is not seen may run all the same.
            all_seen = psutil.WINDOWS or bool(of_pid.get(1))
            for name in names:
                known_as = {name, name[:_COMM_CHARACTERS], f"{name}.exe"}
                running = [found for pid, of in of_pid.items() if of in known_as and (found := _look(pid))]
                subject = f"process:{name}"
                if not running and not all_seen:
                    report.miss(subject, _RUNNING, "denied", "processes of others are hidden from the agent")
                    continue
                report.put(subject, _RUNNING, int(bool(running)))
                if told := [found.memory_bytes for found in running if found.memory_bytes is not None]:
                    report.put(subject, _MEMORY, sum(told))
        return report

    return Collector(name="processes", collect=collect, period_s=_PERIOD_S, kept_fresh=False)


class _Found(NamedTuple):
    memory_bytes: int | None
    """None where it is denied."""


def _look(pid: int) -> _Found | None:
    """A process that runs; None if it has ended meanwhile or is a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        try:
            return _Found(process.memory_info().rss)
        except psutil.AccessDenied:
            return _Found(None)
    except psutil.NoSuchProcess:
        return None


class _Names:
    """The names of all processes, most of them from memory: to ask 250 anew costs 15 ms, to list them 0.3 ms.

    A process may take another name shortly after it began (it is forked, then becomes its program), so a name is asked
    in two passes before it is believed; and all are asked again now and then, for a number may be given anew.
    """

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._believed: set[int] = set()
        self._passes = 0

    def now(self) -> dict[int, str]:
        """Name by number; an empty name where it is denied."""
        if self._passes % _FORGET_PASSES == 0:
            self._names, self._believed = {}, set()
        self._passes += 1
        names = {}
        believed = self._believed.intersection(self._names)
        for pid in psutil.pids():
            if pid in believed:
                names[pid] = self._names[pid]
                continue
            try:
                names[pid] = psutil.Process(pid).name()
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                names[pid] = ""
            if self._names.get(pid) == names[pid]:
                believed.add(pid)
        self._names, self._believed = names, believed
        return names
