"""Since when the machine runs."""

import time

import psutil

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector, Report

_PERIOD_S = 300.0


def collector(clock: Clock) -> Collector:
    """Uptime and the moment of the start by the machine's own clock; a change of that moment tells that it was set.

    Source: psutil.boot_time; where /proc/stat is denied (Android) CLOCK_BOOTTIME.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "uptime_seconds", "booted_at_seconds"):
            now = clock.now()
            booted_at = _booted_at(now)
            report.put("", "uptime_seconds", now - booted_at)
            report.put("", "booted_at_seconds", booted_at)
        return report

    return Collector(name="uptime", collect=collect, period_s=_PERIOD_S, kept_fresh=False)


def _booted_at(now: float) -> float:
    try:
        return psutil.boot_time()
    except PermissionError:
        return now - time.clock_gettime(time.CLOCK_BOOTTIME)
