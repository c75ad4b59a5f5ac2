"""What the agent itself costs, and how full its outbox is."""

import os
from collections.abc import Callable

import psutil

from annexfleet_agent.clock import Clock, SystemClock
from annexfleet_agent.collectors.report import Collector, Report


def collector(
    *,
    outbox_used_ratio: Callable[[], float] | None = None,
    outbox_oldest_age_seconds: Callable[[], float] | None = None,
    config_version: Callable[[], int] | None = None,
    envelopes_refused: Callable[[], float | None] | None = None,
    clock: Clock | None = None,
) -> Collector:
    """The callables come from the running agent; what is not given, or not known yet, is not reported
    (`annexfleet-agent check`).

    Processor time counts that of the programs which the agent ran, such as apt-get.
    Source: os.times; psutil.Process.memory_info.
    """
    told: dict[str, Callable[[], float | None] | None] = {
        "outbox_used_ratio": outbox_used_ratio,
        "outbox_oldest_age_seconds": outbox_oldest_age_seconds,
        "agent_config_version": config_version,
        "envelopes_refused_count": envelopes_refused,
    }
    clock = clock or SystemClock()
    before = (sum(os.times()[:4]), clock.mono())
    own: psutil.Process | None = None

    def collect() -> Report:
        nonlocal before, own
        report = Report()
        with report.trying("", "agent_cpu_ratio"):
            now = (sum(os.times()[:4]), clock.mono())
            if now[1] - before[1] >= 1:  # within less, one tick of 10 ms would look like a burst
                report.put("", "agent_cpu_ratio", max(0.0, now[0] - before[0]) / (now[1] - before[1]))
                before = now
        with report.trying("", "agent_memory_bytes"):
            own = own or psutil.Process()  # asked in here: where /proc is hidden it fails, and only this reading goes
            report.put("", "agent_memory_bytes", own.memory_info().rss)
        for metric, figure in told.items():
            if figure is not None:
                with report.trying("", metric):
                    value = figure()
                    if value is not None:
                        report.put("", metric, value)
        return report

    return Collector(name="agent", collect=collect)
