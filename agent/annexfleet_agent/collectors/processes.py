"""Whether the programs that agent.toml names are running, and how much memory they take."""

from collections.abc import Sequence

import psutil

from annexfleet_agent.collectors.report import Collector, Report

_PERIOD_S = 60.0
_COMM_CHARACTERS = 15
"""The kernel keeps no more of a name; psutil finds the rest in the command line, where it may."""
_RUNNING, _MEMORY = "process_running", "process_memory_bytes"


def collector(names: Sequence[str]) -> Collector:
    """One subject `process:<name>` for each name; no names, no work.  A zombie does not run.

    Source: psutil.process_iter.
    """

    def collect() -> Report:
        report = Report()
        if not names:
            return report
        with report.trying("", _RUNNING, _MEMORY):
            found = [(process.pid, process.info) for process in psutil.process_iter(["name", "status", "memory_info"])]
            # With hidepid, or on Android, a process that is not seen may run all the same.
            all_seen = psutil.WINDOWS or any(pid == 1 and info["name"] for pid, info in found)
            running = [info for _, info in found if info["status"] != psutil.STATUS_ZOMBIE]
            for name in names:
                known_as = {name, name[:_COMM_CHARACTERS], f"{name}.exe"}
                of_it = [info["memory_info"] for info in running if info["name"] in known_as]
                subject = f"process:{name}"
                if not of_it and not all_seen:
                    report.miss(subject, _RUNNING, "denied", "processes of others are hidden from the agent")
                    continue
                report.put(subject, _RUNNING, int(bool(of_it)))
                if told := [memory.rss for memory in of_it if memory is not None]:
                    report.put(subject, _MEMORY, sum(told))
        return report

    return Collector(name="processes", collect=collect, period_s=_PERIOD_S, kept_fresh=False)
