"""How many programs want a processor at the same time."""

import psutil

from annexfleet_agent.collectors import cpu
from annexfleet_agent.collectors.report import Collector, Report


def collector() -> Collector:
    """Load average of one minute per processor.

    Source: psutil.getloadavg, which on Windows keeps an average of its own that begins with 0.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "load_per_cpu_ratio"):
            report.put("", "load_per_cpu_ratio", psutil.getloadavg()[0] / cpu.count())
        return report

    return Collector(name="load", collect=collect)
