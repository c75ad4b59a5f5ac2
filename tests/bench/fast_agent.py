"""A real agent for which time passes quicker, for benchmarks of whole days.

    python -m tests.bench.fast_agent agent.toml FACTOR ORIGIN

Everything is the product's own: collectors, sampler, digest, outbox on disk, uplink, paho, TLS.  Only the clock that
they all ask runs FACTOR times as fast, and the loop sleeps as much shorter.  What waits for something outside keeps its
real time, so its deadlines are lengthened by the same factor.

Three things would tell of the speed and not of the device: every other process of the machine seems to work so much
more between two samples, so processor and load are drawn here, from a quiet day; and the time since the start, which is
told once and never again, does not agree with this clock and is left out.
"""

import logging
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from annexfleet_agent.collectors.report import Collector, Report


class FastClock:
    """The machine's clock, quicker; both begin together at `origin` (Unix time)."""

    def __init__(self, factor: float, origin: float) -> None:
        self._factor = factor
        self._origin = origin
        self._offset = origin - time.time() + time.monotonic()

    def _passed(self) -> float:
        return (time.monotonic() - self._offset) * self._factor

    def now(self) -> float:
        return self._origin + self._passed()

    def mono(self) -> float:
        return self._passed()


class _QuickSelector:
    """Waits as much shorter as the clock is quicker."""

    def __init__(self, selector: Any, factor: float) -> None:
        self._selector = selector
        self._factor = factor

    def select(self, timeout: float) -> Any:
        return self._selector.select(timeout / self._factor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


def _quiet(name: str) -> Collector:
    """Processor and load of a counter's computer: mostly idle, never twice the same."""
    chance = random.Random(7)

    def cpu() -> Report:
        return Report({"": {"cpu_used_ratio": min(0.6, chance.lognormvariate(-2.7, 0.6)), "cpu_count": 2}})

    def load() -> Report:
        return Report({"": {"load_per_cpu_ratio": min(1.0, chance.lognormvariate(-2.2, 0.5))}})

    return Collector(name=name, collect={"cpu": cpu, "load": load}[name])


def main(toml: str, factor_text: str, origin_text: str) -> None:
    """The resident program itself, until SIGTERM."""
    import paho.mqtt.client

    from annexfleet_agent import collectors, program
    from annexfleet_agent import settings as settings_

    logging.basicConfig(level=logging.INFO)
    factor = float(factor_text)
    clock = FastClock(factor, float(origin_text))
    paho.mqtt.client.time_func = clock.mono  # its pings are due by our clock

    class FastLoop(program.Loop):
        def __init__(self) -> None:
            super().__init__(clock)
            self._selector = _QuickSelector(self._selector, factor)  # type: ignore[assignment]

    def patient(*arguments: Any, **options: Any) -> tuple[Collector, ...]:
        found = [each for each in all_of(*arguments, **options) if each.name not in {"cpu", "load", "uptime"}]
        slow = (msgspec.structs.replace(each, deadline_s=each.deadline_s * factor) for each in found)
        return (_quiet("cpu"), _quiet("load"), *slow)

    all_of = collectors.all_of
    collectors.all_of = patient
    program.Loop = FastLoop  # type: ignore[misc]
    path = Path(toml)
    sys.exit(program.run(settings_.load(path), path))


if __name__ == "__main__":
    main(*sys.argv[1:])
