"""How many programs want a processor at the same time."""

import os

from annexfleet_agent.collectors import cpu
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree


def collector(tree: Tree) -> Collector:
    """Load average of one minute per processor.  Windows has none: unsupported.

    Source: /proc/loadavg; elsewhere os.getloadavg.  (psutil imitates one on Windows with a thread of its own, which
    says 0 for the first seconds: worth less than it costs.)
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "load_per_cpu_ratio"):
            one_minute = os.getloadavg()[0] if tree.foreign else float(tree.text("/proc/loadavg").split()[0])
            report.put("", "load_per_cpu_ratio", one_minute / cpu.count(tree))
        return report

    return Collector(name="load", collect=collect)
