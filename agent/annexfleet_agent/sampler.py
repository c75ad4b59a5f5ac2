"""Asks each collector in its period, with a deadline; one that fails spoils only its own readings."""

import logging
import math
from collections.abc import Callable, Sequence

from annexfleet_agent.collectors.report import Collector, Report, code_for
from annexfleet_agent.loop import Loop, Outcome, TimedOut, Timer, TurnedAway

log = logging.getLogger(__name__)

WATCH_PERIOD_S = 2.0
_FIRST_PASS_GAP_S = 0.1
"""Between the first passes of two collectors, so that a start does not take a slow device's whole attention."""
_TOGETHER_RATIO = 0.1
"""What is due within this share of its period is done in one go: one wake-up instead of several."""


class Sampler:
    """The timetable of one device's collectors."""

    def __init__(
        self,
        loop: Loop,
        collectors: Sequence[Collector],
        on_report: Callable[[Collector, Report], object],
        *,
        period_s: float,
        on_pass: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_report` hears each collector's report; `on_pass` is called when those of one moment are done."""
        self._loop = loop
        self._on_report = on_report
        self._on_pass = on_pass
        self._period_s = period_s
        self._watched_until = -1.0
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._asked: set[str] = set()
        self._collectors: dict[str, Collector] = {}
        self._timer: Timer | None = None
        self._began = now = loop.clock.mono()
        for number, collector in enumerate(collectors):
            self._collectors[collector.name] = collector
            self._due[collector.name] = now + number * _FIRST_PASS_GAP_S
        self._set_timer()

    def set_period(self, period_s: float) -> None:
        """Another sampling period, for the collectors that have none of their own."""
        self._period_s = period_s
        self._hasten()

    def watch(self, seconds: float) -> None:
        """Sample at once and then every 2 s for so long; 0 ends it."""
        now = self._loop.clock.mono()
        if seconds > 0 and not self.watched:  # who begins to watch wants to see something
            self._due.update((name, now) for name, collector in self._collectors.items() if collector.kept_fresh)
        self._watched_until = now + seconds
        self._hasten()

    def _hasten(self) -> None:
        """Nobody waits longer than the period now says."""
        now = self._loop.clock.mono()
        for name, collector in self._collectors.items():
            self._due[name] = min(self._due[name], now + self._period_of(collector))
        self._set_timer()

    @property
    def watched(self) -> bool:
        return self._loop.clock.mono() < self._watched_until

    def stop(self) -> None:
        self._collectors = {}
        self._due = {}
        self._set_timer()

    def _period_of(self, collector: Collector) -> float:
        period_s = collector.period_s or self._period_s
        return min(period_s, WATCH_PERIOD_S) if collector.kept_fresh and self.watched else period_s

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._loop.after(min(self._due.values()) - self._loop.clock.mono(), self._pass)

    def _pass(self) -> None:
        self._timer = None
        now = self._loop.clock.mono()
        try:
            for name, due in sorted(self._due.items(), key=lambda entry: entry[1]):
                collector = self._collectors[name]
                period_s = self._period_of(collector)
                if due > now + (_TOGETHER_RATIO * period_s if name in self._asked else 0):
                    continue
                self._asked.add(name)
                self._due[name] = self._after(now, period_s)
                self._ask(collector)
            self._on_pass()
        finally:
            self._set_timer()

    def _after(self, now: float, period_s: float) -> float:
        """When a collector is due again: a period from now, or up to half of one more or less.

        All dues are multiples of their periods since the start, so that those of different collectors meet and the
        device wakes up once for all of them.  What was slept through is not made up for.
        """
        return self._began + period_s * (math.floor((now - self._began) / period_s + 0.5) + 1)

    def _ask(self, collector: Collector) -> None:
        if collector.name in self._busy:
            return  # the last pass is not over, or hangs for ever, and that was told
        if not collector.blocking:
            self._on_report(collector, _safely(collector))
            return
        self._busy.add(collector.name)
        self._loop.in_worker(
            collector.collect,
            lambda outcome: self._answered(collector, outcome),
            deadline_s=collector.deadline_s,
            late=lambda _outcome: self._busy.discard(collector.name),
        )

    def _answered(self, collector: Collector, outcome: Outcome) -> None:
        if not isinstance(outcome.error, TimedOut) or isinstance(outcome.error, TurnedAway):
            self._busy.discard(collector.name)
        if not self._collectors:
            return  # stopped while it ran
        report = outcome.value
        if outcome.error is not None:
            report = _failed(collector, outcome.error)
        self._on_report(collector, report)


def _safely(collector: Collector) -> Report:
    try:
        return collector.collect()
    except Exception as error:  # the fence: it spoils only its own readings
        return _failed(collector, error)


def _failed(collector: Collector, error: BaseException) -> Report:
    log.warning("collector failed collector=%s error=%r", collector.name, error)
    report = Report()
    code = "timed_out" if isinstance(error, TimedOut) else code_for(error)
    report.miss("", "*", code, f"{type(error).__name__}: {error}")
    return report
