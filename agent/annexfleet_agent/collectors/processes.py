"""Whether the programs that agent.toml names are running, and how much memory they take."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil

_PERIOD_S = 60.0
_COMM_CHARACTERS = 15
"""The kernel keeps no more of a name."""
_RUNNING, _MEMORY = "process_running", "process_memory_bytes"


class Process(NamedTuple):
    name: str
    memory_bytes: float


def collector(tree: Tree, names: Sequence[str]) -> Collector:
    """One subject `process:<name>` for each name; no names, no work.  Arguments of programs are never read.

    Source: /proc/<pid>/stat, whose name is cut after 15 characters; elsewhere psutil.process_iter.
    """

    def collect() -> Report:
        report = Report()
        if not names:
            return report
        with report.trying("", _RUNNING, _MEMORY):
            running = list(_foreign() if tree.foreign else _from_proc(tree))
            # With hidepid, or on Android, a process that is not seen may run all the same.
            all_seen = tree.foreign or tree.exists("/proc/1/stat")
            for name in names:
                _put(report, name, running, all_seen=all_seen)
        return report

    return Collector(name="processes", collect=collect, period_s=_PERIOD_S, kept_fresh=False)


def _put(report: Report, name: str, running: list[Process], *, all_seen: bool) -> None:
    known_as = {name, name[:_COMM_CHARACTERS], f"{name}.exe"}
    memory = [process.memory_bytes for process in running if process.name in known_as]
    subject = f"process:{name}"
    if not memory and not all_seen:
        report.miss(subject, _RUNNING, "denied", "processes of others are hidden from the agent")
        return
    report.put(subject, _RUNNING, int(bool(memory)))
    if memory:
        report.put(subject, _MEMORY, sum(memory))


def _from_proc(tree: Tree) -> Iterator[Process]:
    page = os.sysconf("SC_PAGE_SIZE")
    for pid in tree.names("/proc"):
        if pid.isdigit() and (process := parse(tree.text_or(f"/proc/{pid}/stat"), page)):
            yield process


def parse(stat: str, page_bytes: int) -> Process | None:
    """A process from the text of /proc/<pid>/stat; None if it has ended meanwhile or is a zombie."""
    # The name stands in brackets and may hold brackets and spaces itself.
    name, bracket, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if not bracket or len(fields) < 22 or fields[0] == "Z":
        return None
    return Process(name, float(fields[21]) * page_bytes)


def _foreign() -> Iterator[Process]:
    for process in ask_psutil().process_iter(["name", "memory_info"]):
        memory = process.info["memory_info"]  # None where it is denied
        yield Process(process.info["name"] or "", memory.rss if memory else 0)
