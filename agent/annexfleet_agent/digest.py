"""Readings become beats and changes.  It only thinks: it is told the time and returns messages without numbers.

A beat sums up the numbers of some minutes.  A change carries one collector's whole state and is made when a word
flips, a slow number moves by its dead-band, a number crosses a level, or a reading comes, goes or fails differently.
"""

import logging
import math
from collections.abc import Iterator

from msgspec import Struct

from annexfleet_agent.collectors.report import Report
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol.messages import MOST, Beat, Change, Numbers, Problems, Readings, Summary, Value
from annexfleet_agent.protocol.metrics import CATALOGUE, Metric

log = logging.getLogger(__name__)

_LONGEST_WORD = 512
_MOST_WORDS = 64
_MOST_REASONS = 40
"""More than these moves in one pass are a storm, and naming each helps nobody."""

_GAUGES = frozenset(name for name, metric in CATALOGUE.items() if metric.kind == "gauge")
_NEVER_TOLD_AT_ONCE = frozenset(name for name in _GAUGES if not CATALOGUE[name].levels)

_Key = tuple[str, str]


class _Course(Struct):
    """How one number went since the last beat."""

    last: float
    min: float
    max: float
    sum: float
    count: int

    def take(self, value: float) -> None:
        self.last = value
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        self.sum += value
        self.count += 1


class _Told(Struct):
    """What the controller was last told of one collector."""

    readings: Readings
    problems: Problems
    zones: dict[_Key, int]
    """For each number with levels, how many of them it has reached."""


class Digest:
    """The memory between readings and messages, of one device."""

    def __init__(self) -> None:
        self._courses: dict[_Key, _Course] = {}
        self._now: dict[str, tuple[Readings, Problems]] = {}
        self._told: dict[str, _Told] = {}
        self._beat_began: float | None = None
        self._unknown: set[str] = set()

    def take(self, collector: str, report: Report, *, at: float, mono: float) -> Change | None:
        """Take in one pass of one collector; the change that has to be told, if any."""
        readings = self._cleaned(collector, report.readings)
        problems = report.codes() if report.problems else {}
        self._now[collector] = (readings, problems)
        if self._beat_began is None:
            self._beat_began = mono
        for subject, of in readings.items():
            for name, value in of.items():
                if name in _GAUGES:
                    self._add_to_course((subject, name), value)  # type: ignore[arg-type]  # `_fit` saw to it
        return self._tell(collector, at)

    def beat(self, *, at: float, mono: float) -> Beat | None:
        """Sum up what was taken since the last beat and begin the next; None if there were no numbers."""
        began, self._beat_began = self._beat_began, mono
        courses, self._courses = self._courses, {}
        if not courses or began is None:
            return None
        numbers: Numbers = {}
        for (subject, name), course in courses.items():
            numbers.setdefault(subject, {})[name] = _summed(course, CATALOGUE[name])
        samples = max(course.count for course in courses.values())
        return Beat(seq=UNNUMBERED, at=round(at), seconds=round(mono - began), samples=samples, numbers=numbers)

    def whole(self, collector: str, *, at: float) -> Change | None:
        """The whole state of one collector, as after a start; None if it was never asked."""
        self._told.pop(collector, None)
        return self._tell(collector, at) if collector in self._now else None

    @property
    def collectors(self) -> tuple[str, ...]:
        """Those that were asked so far."""
        return tuple(self._now)

    def live(self, collector: str) -> Readings:
        """What a collector read last, as it goes on the wire."""
        return _rounded(self._now[collector][0])

    def forget(self, collector: str) -> None:
        """The collector is no more: what it measured is told no longer."""
        self._now.pop(collector, None)
        self._told.pop(collector, None)

    # -- what is told

    def _tell(self, collector: str, at: float) -> Change | None:
        readings, problems = self._now[collector]
        told = self._told.get(collector)
        because = [] if told is None else sorted(_moves(told, readings, problems))
        if told is not None and not because:
            return None
        zones = {
            (subject, metric.name): _zone(
                metric, float(value), 0 if told is None else told.zones.get((subject, metric.name), 0)
            )
            for subject, metric, value in _each(readings)
            if metric.levels and isinstance(value, int | float)
        }
        self._told[collector] = _Told(readings=readings, problems=problems, zones=zones)
        return Change(
            seq=UNNUMBERED,
            at=round(at, 1),
            collector=collector,
            readings=_rounded(readings),
            problems=problems,
            because=because[:_MOST_REASONS],
        )

    def _add_to_course(self, key: _Key, value: float) -> None:
        course = self._courses.get(key)
        if course is None:
            self._courses[key] = _Course(last=value, min=value, max=value, sum=value, count=1)
        else:
            course.take(value)

    def _cleaned(self, collector: str, readings: Readings) -> Readings:
        """Only what the catalogue knows of this collector, finite and not too long."""
        clean: Readings = {}
        for subject, of in readings.items():
            for name, value in of.items():
                metric = CATALOGUE.get(name)
                if metric is None or metric.collector != collector:
                    if name not in self._unknown:
                        self._unknown.add(name)
                        log.error(
                            "a reading that is not in the catalogue is dropped collector=%s metric=%s", collector, name
                        )
                    continue
                fit = _fit(metric, value)
                if fit is not None:
                    clean.setdefault(subject[:160], {})[name] = fit
        return clean


def _fit(metric: Metric, value: Value) -> Value | None:
    """The value as it may be sent; None for what says nothing (NaN, infinity and the like, a word for a number)."""
    if metric.kind == "states":
        return sorted({str(word)[:_LONGEST_WORD] for word in value})[:_MOST_WORDS] if isinstance(value, list) else None
    if metric.kind == "state":
        return value[:_LONGEST_WORD] if isinstance(value, str) else None
    if isinstance(value, bool):
        return int(value)
    # So written that NaN does not pass.
    return value if isinstance(value, int | float) and -MOST <= value <= MOST else None


def _each(readings: Readings) -> Iterator[tuple[str, Metric, Value]]:
    for subject, of in readings.items():
        for name, value in of.items():
            yield subject, CATALOGUE[name], value


def _moves(told: _Told, readings: Readings, problems: Problems) -> set[str]:
    """What differs from what was told, as `subject metric`.  It runs for every reading of every pass."""
    moved: set[str] = set()
    for subject, of in readings.items():
        told_of = told.readings.get(subject, {})
        for name, value in of.items():
            before = told_of.get(name)
            if before is None:
                moved.add(f"{subject} {name}")
            elif value != before and name not in _NEVER_TOLD_AT_ONCE:
                metric = CATALOGUE[name]
                if _has_moved(metric, before, value) or _has_crossed(metric, told, subject, value):
                    moved.add(f"{subject} {name}")
    for subject, told_of in told.readings.items():
        if gone := told_of.keys() - readings.get(subject, {}).keys():
            moved.update(f"{subject} {name}" for name in gone)
    for subject in {*problems, *told.problems} if problems or told.problems else ():
        now, before_of = problems.get(subject, {}), told.problems.get(subject, {})
        moved.update(f"{subject} {name}" for name in {*now, *before_of} if now.get(name) != before_of.get(name))
    return moved


def _has_moved(metric: Metric, before: Value, value: Value) -> bool:
    if metric.kind == "gauge":
        return False
    if metric.kind == "fact" and isinstance(before, int | float) and isinstance(value, int | float):
        return abs(value - before) >= metric.dead_band if metric.dead_band else value != before
    return value != before


def _has_crossed(metric: Metric, told: _Told, subject: str, value: Value) -> bool:
    if not metric.levels or not isinstance(value, int | float):
        return False
    before = told.zones.get((subject, metric.name), 0)
    return _zone(metric, float(value), before) != before


def _zone(metric: Metric, value: float, before: int) -> int:
    """How many levels a value has reached, given how many it had reached before.

    A level at or below the usual lowest value is reached from above, any other from below.  It is left only
    `level_slack` on the side where all is well.
    """
    falling = metric.usual is not None and metric.levels[-1] <= metric.usual[0]
    # Seen from the side where all is well, the nearest level comes first.
    levels = sorted(-level for level in metric.levels) if falling else sorted(metric.levels)
    height = -value if falling else value
    reached = sum(height >= level for level in levels)
    if reached >= before:
        return reached
    return sum(height > level - metric.level_slack for level in levels[:before])


def _summed(course: _Course, metric: Metric) -> float | Summary:
    mean = course.sum / course.count
    if course.max - course.min <= metric.noise:
        return rounded(mean, metric)
    return Summary(
        last=rounded(course.last, metric),
        min=rounded(course.min, metric),
        mean=rounded(mean, metric),
        max=rounded(course.max, metric),
    )


def _rounded(readings: Readings) -> Readings:
    return {
        subject: {
            name: rounded(value, CATALOGUE[name]) if isinstance(value, int | float) else value
            for name, value in of.items()
        }
        for subject, of in readings.items()
    }


def rounded(value: float, metric: Metric) -> float:
    """A number as precise as it goes on the wire; a whole one as an int, which is shorter there."""
    if value == 0:
        return 0
    fine = round(value, min(metric.decimals, metric.digits - 1 - math.floor(math.log10(abs(value)))))
    return int(fine) if fine == int(fine) else fine
