"""The one source of time in the agent, so that tests can turn it."""

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Unix time in seconds, as the device believes."""

    def mono(self) -> float:
        """Seconds since some moment; never steps, and goes on while the device sleeps where the system can tell."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def mono(self) -> float:
        boottime = getattr(time, "CLOCK_BOOTTIME", None)  # absent on Windows
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)
