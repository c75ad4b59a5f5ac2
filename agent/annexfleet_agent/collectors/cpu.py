"""How busy the processors are."""

import os

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil


def collector(tree: Tree) -> Collector:
    """The share is that of the time since the pass before, so the first pass has none.

    Source: the first line of /proc/stat; elsewhere psutil.cpu_percent.
    """
    before: tuple[float, float] | None = None
    asked = False

    def collect() -> Report:
        nonlocal before, asked
        report = Report()
        report.put("", "cpu_count", count(tree))
        with report.trying("", "cpu_used_ratio"):
            if tree.foreign:
                percent = ask_psutil().cpu_percent(interval=None)
                if asked:  # the first answer is a meaningless 0
                    report.put("", "cpu_used_ratio", percent / 100)
                asked = True
                return report
            now = parse(tree.text("/proc/stat"))
            if before is not None and now[1] > before[1]:
                busy = (now[0] - before[0]) / (now[1] - before[1])
                # The kernel's count of waiting for a disk may run backwards a little.
                report.put("", "cpu_used_ratio", min(1.0, max(0.0, busy)))
            before = now
        return report

    return Collector(name="cpu", collect=collect)


def parse(stat: str) -> tuple[float, float]:
    """Busy and total time since the start, in ticks, from the text of /proc/stat.

    Raises ValueError if it does not begin with the line of all processors.
    """
    words = stat.split("\n", 1)[0].split()
    if not words or words[0] != "cpu" or len(words) < 5:
        raise ValueError("/proc/stat does not begin with the line cpu")
    # user nice system idle iowait irq softirq steal; guest time after these is part of user already
    ticks = [float(word) for word in words[1:9]]
    total = sum(ticks)
    idle = ticks[3] + (ticks[4] if len(ticks) > 4 else 0.0)
    return total - idle, total


def count(tree: Tree) -> int:
    """Logical processors that are on."""
    ranges = tree.text_or("/sys/devices/system/cpu/online") if tree.root else ""
    return count_ranges(ranges) or os.cpu_count() or 1


def count_ranges(ranges: str) -> int:
    """How many numbers `0-3,6` names; 0 for text that is no such list."""
    total = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            return 0
        total += int(last or first) - int(first) + 1
    return total
