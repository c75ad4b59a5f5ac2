"""How busy the processors are."""

import psutil

from annexfleet_agent.collectors.report import Collector, Report


def collector() -> Collector:
    """The share is that of the time since the pass before, so the first pass has none.

    Source: psutil.cpu_count and cpu_times; its cpu_percent keeps the pass before for a whole process, not for each
    device in it, and would tell the first pass as 0.
    """
    before: tuple[float, float] | None = None

    def collect() -> Report:
        nonlocal before
        report = Report()
        report.put("", "cpu_count", count())
        with report.trying("", "cpu_used_ratio"):
            now = _busy_and_total()
            if before is not None and now[1] > before[1]:
                busy = (now[0] - before[0]) / (now[1] - before[1])
                # The kernel's count of waiting for a disk may run backwards a little.
                report.put("", "cpu_used_ratio", min(1.0, max(0.0, busy)))
            before = now
        return report

    return Collector(name="cpu", collect=collect)


def count() -> int:
    """Logical processors that are on."""
    return psutil.cpu_count() or 1


def _busy_and_total() -> tuple[float, float]:
    """Seconds since the start, of all processors; waiting for a disk is idle time."""
    times = psutil.cpu_times()
    # Linux counts what guests of a virtual machine use as time of the user already.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total
