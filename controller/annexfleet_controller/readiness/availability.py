"""For which part of its opening hours a service could be provided.

Counted is opening time only, by the annex's calendar, in months by the clock on its wall.  What nobody knows is a
part of its own and never counts as available: that is what was found unknown, and time in which nobody watched.  While
the annex was watched and a service had no state it was not offered, and that time is not the service's.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Protocol, get_args

from msgspec import Struct

from annexfleet_controller import zones
from annexfleet_controller.readiness.model import State

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_YEARS = range(1971, 9000)
_STATES: tuple[State, ...] = get_args(State)
_WORST: tuple[State, ...] = ("blocked", "unknown", "degraded", "ready")


class Span(Struct, frozen=True):
    """From when to when a service stood so; `until` None while it does."""

    service: str
    state: State
    since: datetime
    until: datetime | None = None


class Hours(Protocol):
    """When an annex is open, as a calendar says it; or a part of that, where some of it is not to be judged."""

    @property
    def time_zone(self) -> str: ...

    def open_seconds(self, since: datetime, until: datetime) -> float: ...


class Availability(Struct, frozen=True, kw_only=True):
    """Opening time in seconds, by how the service stood."""

    ready_s: float = 0.0
    degraded_s: float = 0.0
    blocked_s: float = 0.0
    unknown_s: float = 0.0

    @property
    def open_s(self) -> float:
        return self.ready_s + self.degraded_s + self.blocked_s + self.unknown_s

    @property
    def serving_s(self) -> float:
        """In which citizens could be served, with full means or with fewer."""
        return self.ready_s + self.degraded_s

    def ratio(self, seconds: float) -> float | None:
        """Of the opening time; None if there was none."""
        return seconds / self.open_s if self.open_s else None

    @property
    def known_ratio(self) -> float | None:
        """Serving as a part of what is known; None where nothing is."""
        known_s = self.open_s - self.unknown_s
        return self.serving_s / known_s if known_s else None


class Month(Struct, frozen=True):
    """A month of an annex, as far as it has passed."""

    since: datetime
    until: datetime
    annex: Availability
    """At each moment as its worst service stood."""
    services: dict[str, Availability]


def bounds(month: str, time_zone: str) -> tuple[datetime, datetime]:
    """The beginning and the end of a month such as 2026-11, there, in UTC.

    Raises ValueError for what is no month and no time zone.
    """
    found = _MONTH.fullmatch(month)
    if not found or int(found[1]) not in _YEARS:
        raise ValueError(f"{month[:20]!r} is no month")
    year, number = int(found[1]), int(found[2])
    zone = zones.zone(time_zone)
    after = (year + number // 12, number % 12 + 1)
    return datetime(year, number, 1, tzinfo=zone).astimezone(UTC), datetime(*after, 1, tzinfo=zone).astimezone(UTC)


def of_month(
    spans: Iterable[Span], calendar: Hours, month: str, *, now: datetime, watched_until: datetime | None = None
) -> Month:
    """Availability of a month, up to now.

    `watched_until` is when somebody looked last: spans that are still open count no further.  Raises ValueError for
    what is no month.
    """
    since, end = bounds(month, calendar.time_zone)
    until = max(since, min(end, now))
    known = [span for span in _clipped(spans, since, until, watched_until) if span[1] < span[2]]
    services = {span[0].service for span in known}
    moments = sorted({since, until, *(m for _, start, stop in known for m in (start, stop))})
    totals: dict[str, dict[State, float]] = {service: dict.fromkeys(_STATES, 0.0) for service in services}
    annex: dict[State, float] = dict.fromkeys(_STATES, 0.0)
    known.sort(key=lambda span: span[1])
    standing: list[tuple[Span, datetime, datetime]] = []
    place = 0
    for start, stop in pairwise(moments):
        while place < len(known) and known[place][1] <= start:
            standing.append(known[place])
            place += 1
        standing = [span for span in standing if span[2] > start]
        seconds = calendar.open_seconds(start, stop)
        if not seconds:
            continue
        states = {span.service: span.state for span, _, _ in standing}
        for service, state in (states or dict.fromkeys(services, _UNKNOWN)).items():
            totals[service][state] += seconds
        annex[_worst(list(states.values()))] += seconds
    return Month(since, until, _availability(annex), {name: _availability(totals[name]) for name in sorted(totals)})


_UNKNOWN: State = "unknown"


def _clipped(
    spans: Iterable[Span], since: datetime, until: datetime, watched_until: datetime | None
) -> list[tuple[Span, datetime, datetime]]:
    last = until if watched_until is None else min(until, watched_until)
    return [(span, max(span.since, since), min(last if span.until is None else span.until, until)) for span in spans]


def _worst(states: Sequence[State]) -> State:
    return next((state for state in _WORST if state in states), _UNKNOWN)


def _availability(of: dict[State, float]) -> Availability:
    return Availability(
        ready_s=of["ready"], degraded_s=of["degraded"], blocked_s=of["blocked"], unknown_s=of["unknown"]
    )
