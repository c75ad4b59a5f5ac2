"""Since when the machine runs."""

import time

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil

_PERIOD_S = 300.0


def collector(tree: Tree, clock: Clock) -> Collector:
    """Uptime and the moment of the start by the machine's own clock; a change of that moment tells that it was set.

    Source: /proc/uptime; where that is denied (Android) CLOCK_BOOTTIME; elsewhere psutil.boot_time.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "uptime_seconds", "booted_at_seconds"):
            now = clock.now()
            seconds = now - ask_psutil().boot_time() if tree.foreign else _seconds_up(tree)
            report.put("", "uptime_seconds", seconds)
            report.put("", "booted_at_seconds", now - seconds)
        return report

    return Collector(name="uptime", collect=collect, period_s=_PERIOD_S, kept_fresh=False)


def _seconds_up(tree: Tree) -> float:
    try:
        return float(tree.text("/proc/uptime").split()[0])
    except PermissionError:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
