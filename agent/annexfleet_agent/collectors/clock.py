"""Whether the machine's clock follows a time server."""

import importlib
import os
from typing import Any

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree, on_android

_PERIOD_S = 300.0
_TIMESYNC = "/run/systemd/timesync/synchronized"
_FRESH_S = 2.5 * 3600
"""systemd-timesyncd asks at least every 34 minutes (PollIntervalMaxSec) and touches its file each time."""
_UNSYNCHRONISED = 0x40
"""STA_UNSYNC of adjtimex(2)."""


def collector(tree: Tree, clock: Clock) -> Collector:
    """1 or 0, or why nobody can say.

    Source: the file that systemd-timesyncd touches, which costs nothing; if that is not fresh, the kernel's own word,
    which holds for chrony and ntpd too.
    """

    def collect() -> Report:
        report = Report()
        with report.trying("", "clock_synchronised"):
            report.put("", "clock_synchronised", int(_touched_lately(tree, clock.now()) or kernel_says(tree)))
        return report

    return Collector(name="clock", collect=collect, period_s=_PERIOD_S, kept_fresh=False)


def _touched_lately(tree: Tree, now: float) -> bool:
    try:
        return abs(now - os.stat(tree.path(_TIMESYNC)).st_mtime) < _FRESH_S  # noqa: PTH116
    except OSError:
        return False


def kernel_says(tree: Tree) -> bool:
    """Whether the kernel takes its clock for disciplined.  Raises NotImplementedError where it cannot be asked."""
    if tree.root:
        raise NotImplementedError("a simulated tree has no kernel")
    if on_android():
        raise NotImplementedError("Android ends a process that calls adjtimex")
    return not _status() & _UNSYNCHRONISED


def _status() -> int:
    """Status bits of adjtimex(2), asked without changing anything.  Raises AttributeError where there is none."""
    ctypes: Any = importlib.import_module("ctypes")  # 0.7 MiB, and not needed where systemd-timesyncd runs
    # struct timex begins: unsigned modes; long offset, freq, maxerror, esterror; int status.  The rest is padding.
    word = ctypes.sizeof(ctypes.c_long)
    timex = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    status: int = ctypes.c_int.from_buffer(timex, 5 * word).value
    return status
