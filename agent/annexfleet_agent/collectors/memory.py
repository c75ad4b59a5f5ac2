"""Memory and swap."""

import psutil

from annexfleet_agent.collectors.report import Collector, Report


def collector() -> Collector:
    """A machine without swap says nothing about it.

    Source: psutil.virtual_memory and psutil.swap_memory.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "memory_used_ratio", "memory_total_bytes"):
            memory = psutil.virtual_memory()
            report.put("", "memory_used_ratio", 1 - memory.available / memory.total)
            report.put("", "memory_total_bytes", memory.total)
        with report.trying("", "swap_used_ratio"):
            swap = psutil.swap_memory()
            if swap.total:
                report.put("", "swap_used_ratio", swap.used / swap.total)
        return report

    return Collector(name="memory", collect=collect)
