"""A maintenance, and when it lasts.

One that comes back every week is told in local time: 22:00 on Tuesdays stays 22:00 on the annex's wall when the clocks
move for Ramadan.  It lasts so many real minutes.  A time that the clock skips counts as if it had not, and one that it
shows twice is taken the first time.

Every moment given must be aware; every moment returned is aware UTC.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from msgspec import Struct, structs

from annexfleet_controller import zones
from annexfleet_controller.things import Thing

Condition = Literal["active", "planned", "past"]

LOOK_AHEAD = timedelta(days=8)
"""The next day of a weekly one is never farther away."""


class Area(Struct, frozen=True, kw_only=True):
    """What is worked on: the whole province, or whole annexes, or single devices and printers; exactly one of these."""

    province: bool = False
    annexes: tuple[str, ...] = ()
    things: tuple[Thing, ...] = ()
    """Of kind `device` or `printer`."""
    roles: tuple[str, ...] = ()
    """Of the province or the annexes only the devices of these roles, and nothing else."""


class Weekly(Struct, frozen=True, kw_only=True):
    """On some days of each week, from `at` for `minutes`."""

    weekdays: tuple[int, ...]
    """0 is Monday."""
    at: time
    """On the annex's wall."""
    minutes: int
    """At most a day."""
    until: date
    """The last day on which it may begin."""


class Maintenance(Struct, frozen=True, kw_only=True):
    """Planned work that keeps alerts quiet.  Either `ends_at` or `weekly` is given."""

    id: int = 0
    """0 until it is stored."""
    area: Area
    touches: tuple[str, ...] = ()
    """The annexes it has to do with: those of the area, and those in which its things stand; empty for the province."""
    starts_at: datetime
    """A weekly one does not begin before."""
    ends_at: datetime | None = None
    weekly: Weekly | None = None
    time_zone: str = "Africa/Casablanca"
    """Of the annexes it touches."""
    reason: str
    author: str
    created_at: datetime
    cancelled_at: datetime | None = None
    """From then on there is none."""
    cancelled_by: str = ""
    skip_from: datetime | None = None
    skip_until: datetime | None = None
    """The occurrence of a weekly one that was ended early, from that moment to the end it would have had."""
    version: int = 1


class Span(Struct, frozen=True, order=True):
    """From a moment up to another, which is no longer in it."""

    start: datetime
    end: datetime


def spans(m: Maintenance, since: datetime, until: datetime) -> Iterator[Span]:
    """When it lasts, whole, as far as that touches [since, until]; ascending and apart.

    Occurrences that meet are one: nobody leaves a maintenance to enter the same one.
    """
    held: Span | None = None
    for span in _cut(m, _occurrences(m, since, until)):
        if held is not None and span.start <= held.end:
            held = Span(held.start, max(held.end, span.end))
            continue
        if held is not None and _touches(held, since, until):
            yield held
        held = span
    if held is not None and _touches(held, since, until):
        yield held


def span_at(m: Maintenance, at: datetime) -> Span | None:
    """The span that this moment lies in."""
    return next((span for span in spans(m, at, at) if span.start <= at < span.end), None)


def next_span(m: Maintenance, after: datetime) -> Span | None:
    """The first span that begins after this moment; None if none will."""
    begin = max(after, m.starts_at)
    return next((span for span in spans(m, after, begin + LOOK_AHEAD) if span.start > after), None)


def condition(m: Maintenance, now: datetime) -> Condition:
    """Whether it lasts now, will, or is over for good."""
    if span_at(m, now) is not None:
        return "active"
    return "planned" if next_span(m, now) is not None else "past"


def ended_between(maintenances: Iterable[Maintenance], since: datetime, until: datetime) -> list[Maintenance]:
    """Those that were left after `since` and not after `until`, by their plan or by hand, and do not last at `until`.

    What they covered is to be evaluated at once: only what fails now is told.
    """
    return [
        m
        for m in maintenances
        if any(since < span.end <= until for span in spans(m, since, until)) and span_at(m, until) is None
    ]


def last_moment(m: Maintenance) -> datetime:
    """From when on it can never last again."""
    if m.ends_at is not None:
        planned = m.ends_at
    else:
        assert m.weekly is not None, "a maintenance has an end or a week"
        planned = _occurrence(m, m.weekly, m.weekly.until).end
    return planned if m.cancelled_at is None else min(planned, m.cancelled_at)


def stopped(m: Maintenance, *, by: str, now: datetime, wholly: bool = False) -> Maintenance:
    """The maintenance, ended now: of a weekly one only the occurrence that lasts, unless `wholly` or none does.

    One that is over stays as it was.
    """
    if condition(m, now) == "past":
        return m
    span = span_at(m, now)
    if m.weekly is not None and span is not None and not wholly:
        return structs.replace(m, skip_from=now, skip_until=span.end)
    return structs.replace(m, cancelled_at=now, cancelled_by=by)


def _occurrences(m: Maintenance, since: datetime, until: datetime) -> Iterator[Span]:
    """As planned; those before and after are given too where they may meet one that touches [since, until]."""
    if m.weekly is None:
        assert m.ends_at is not None, "a maintenance has an end or a week"
        yield Span(m.starts_at.astimezone(UTC), m.ends_at.astimezone(UTC))
        return
    zone = zones.zone(m.time_zone)
    first = m.starts_at.astimezone(zone).date() - timedelta(days=1)
    # Only one that lasts the whole week can reach farther, and it is looked at from its first day.
    if len(m.weekly.weekdays) * m.weekly.minutes < 7 * 24 * 60:
        first = max(first, since.astimezone(zone).date() - timedelta(days=8))
        last = min(m.weekly.until, until.astimezone(zone).date() + timedelta(days=8))
    else:
        last = m.weekly.until
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day.weekday() in m.weekly.weekdays:
            span = _occurrence(m, m.weekly, day)
            if span.start >= m.starts_at:
                yield span


def _occurrence(m: Maintenance, weekly: Weekly, day: date) -> Span:
    start = datetime.combine(day, weekly.at, zones.zone(m.time_zone)).astimezone(UTC)
    return Span(start, start + timedelta(minutes=weekly.minutes))


def _cut(m: Maintenance, planned: Iterable[Span]) -> Iterator[Span]:
    """Without what was cancelled, and without the occurrence that was ended early."""
    for span in planned:
        kept = span if m.cancelled_at is None else Span(span.start, min(span.end, m.cancelled_at))
        pieces = [kept]
        if m.skip_from is not None and m.skip_until is not None and _touches(kept, m.skip_from, m.skip_until):
            pieces = [Span(kept.start, min(kept.end, m.skip_from)), Span(max(kept.start, m.skip_until), kept.end)]
        yield from (piece for piece in pieces if piece.start < piece.end)


def _touches(span: Span, since: datetime, until: datetime) -> bool:
    return span.start <= until and span.end >= since
