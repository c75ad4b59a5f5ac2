"""Memory and swap."""

from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, ask_psutil


def collector(tree: Tree) -> Collector:
    """A machine without swap says nothing about it.

    Source: /proc/meminfo, read once for both; elsewhere psutil.virtual_memory and psutil.swap_memory.
    """

    def collect() -> Report:
        return _from_psutil() if tree.foreign else _from_proc(tree)

    return Collector(name="memory", collect=collect)


def _from_proc(tree: Tree) -> Report:
    report = Report()
    with report.trying("", "memory_used_ratio", "memory_total_bytes", "swap_used_ratio"):
        of = parse(tree.text("/proc/meminfo"))
        with report.trying("", "memory_used_ratio", "memory_total_bytes"):
            total = of["MemTotal"]
            report.put("", "memory_used_ratio", 1 - min(total, available(of)) / total)
            report.put("", "memory_total_bytes", total)
        if of.get("SwapTotal"):
            with report.trying("", "swap_used_ratio"):
                report.put("", "swap_used_ratio", 1 - of["SwapFree"] / of["SwapTotal"])
    return report


def _from_psutil() -> Report:
    report = Report()
    with report.trying("", "memory_used_ratio", "memory_total_bytes"):
        memory = ask_psutil().virtual_memory()
        report.put("", "memory_used_ratio", 1 - memory.available / memory.total)
        report.put("", "memory_total_bytes", memory.total)
    with report.trying("", "swap_used_ratio"):
        swap = ask_psutil().swap_memory()
        if swap.total:
            report.put("", "swap_used_ratio", swap.used / swap.total)
    return report


def parse(meminfo: str) -> dict[str, int]:
    """Bytes by the names of /proc/meminfo.  Lines that are not counted in kB are left out."""
    figures = {}
    for line in meminfo.splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB" and words[1].isdigit():
            figures[words[0].rstrip(":")] = int(words[1]) * 1024
    return figures


def available(of: dict[str, int]) -> int:
    """What a new program could get.  Raises KeyError if not even the free memory is told."""
    if "MemAvailable" in of:
        return of["MemAvailable"]
    # Kernels before 3.14, which some tablets still run, leave the estimate to the reader.
    return of["MemFree"] + of.get("Buffers", 0) + of.get("Cached", 0)
