"""The month of one annex, from what is remembered of it.

All of it is worked out anew each time: a late report of a device changes what was, and nothing is counted twice.
Availability is `readiness.availability.of_month`, told of the time in which nothing is to be judged: maintenance of the
whole annex, and the time before the annex was there and after it was closed for good.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise

from msgspec import Struct, field

from annexfleet_controller import zones
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.readiness import availability
from annexfleet_controller.readiness.availability import Availability, Span
from annexfleet_controller.reports import troubles
from annexfleet_controller.reports.figures import (
    WAIT_EDGES_S,
    Cell,
    Changes,
    Figures,
    Opening,
    PrinterFigures,
    Printing,
    Queues,
)
from annexfleet_controller.reports.merging import newest
from annexfleet_controller.reports.troubles import TroubleTold
from annexfleet_controller.things import SupplyDay

SETTLED_AFTER = timedelta(days=3)
"""After a month's end reports that devices held back still come; from then on it is worked out once more and kept."""
COUNTER_GAP_DAYS = 7
"""A printer's counter of so many days before the month is where its pages begin."""
_MOST_PAGES_A_DAY = 20_000
"""No office printer prints more; a counter that jumps further was changed for another."""

Stretch = tuple[datetime, datetime]


class Waiting(Struct, frozen=True):
    """One service queue for some minutes or an hour."""

    device_number: int
    service: str
    until: datetime
    width_s: float
    """From when on it is about, back from `until`."""
    seconds: float
    """Of these, how long it was really observed."""
    people: float | None
    longest_wait_s: float | None


class Told(Struct, frozen=True, kw_only=True):
    """All that is remembered of one annex for one month."""

    annex_id: str
    created_at: datetime
    retired_at: datetime | None
    calendar: Calendar
    spans: Sequence[Span]
    watched_until: datetime | None
    maintenance: Sequence[Stretch] = ()
    """Of the whole annex, in any order."""
    troubles: Sequence[TroubleTold] = ()
    jams: dict[str, int] = {}
    """By printer."""
    supply_days: Sequence[SupplyDay] = ()
    """By printer and day, from COUNTER_GAP_DAYS before the month on."""
    waiting: Sequence[Waiting] = ()
    changes: Changes = field(default_factory=Changes)


class _Judged(Struct, frozen=True):
    """The opening hours of an annex without some stretches; as much of a calendar as availability asks for."""

    calendar: Calendar
    without: tuple[Stretch, ...]
    """Ascending and apart."""

    @property
    def time_zone(self) -> str:
        return self.calendar.time_zone

    def open_seconds(self, since: datetime, until: datetime) -> float:
        total = self.calendar.open_seconds(since, until)
        for start, end in self.without:
            if start < until and end > since:
                total -= self.calendar.open_seconds(max(start, since), min(end, until))
        return total


def made(told: Told, month: str, *, now: datetime) -> Figures:
    """The month, up to now.  Raises ValueError for what is no month."""
    calendar = told.calendar
    since, end = availability.bounds(month, calendar.time_zone)
    until = max(since, min(end, now))
    away = _away(told, since, until)
    planned = _joined([*away, *told.maintenance])
    judged = _Judged(calendar, tuple(planned))
    found = availability.of_month(told.spans, judged, month, now=now, watched_until=told.watched_until)
    there = _Judged(calendar, tuple(away))
    maintained_s = there.open_seconds(since, until) - judged.open_seconds(since, until)
    whole = _opening(found.annex, maintained_s)
    incidents, blocked = troubles.counted(told.troubles, calendar, since=since, until=until)
    return Figures(
        month=month,
        as_of=now,
        annexes=1,
        since=max([since, *(stop for start, stop in away if start <= since)]),
        until=min([until, *(start for start, stop in away if stop >= until)]),
        whole=whole,
        services={name: _opening(of, maintained_s) for name, of in found.services.items()},
        incidents=incidents,
        printing=_printing(told, blocked, month),
        queues=_queues(told.waiting, there, since=since, until=until),
        changes=Changes(
            newest(told.changes.rollouts), newest(told.changes.runs), newest(told.changes.maintenance)
        ),
    )  # fmt: skip


def is_settled(figures_as_of: datetime, month: str, time_zone: str) -> bool:
    """Whether what was worked out then is kept for good."""
    return figures_as_of >= availability.bounds(month, time_zone)[1] + SETTLED_AFTER


def month_of(at: datetime, time_zone: str) -> str:
    """The month that a moment lies in there, such as 2026-11."""
    return f"{at.astimezone(zones.zone(time_zone)):%Y-%m}"


def before(month: str) -> str:
    """The month before this one."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02}"


def months_back(first: datetime, now: datetime, time_zone: str, *, at_most: int) -> list[str]:
    """The month that `now` lies in and those before it down to the one of `first`, but at most so many."""
    found = [month_of(now, time_zone)]
    while len(found) < at_most and found[-1] > month_of(first, time_zone):
        found.append(before(found[-1]))
    return found


def _away(told: Told, since: datetime, until: datetime) -> list[Stretch]:
    """When the annex was not there.  Who told of it before it was entered was there all the same."""
    first = min([told.created_at, *(span.since for span in told.spans)])
    away = []
    if first > since:
        away.append((since, min(first, until)))
    if told.retired_at is not None and told.retired_at < until:
        away.append((max(told.retired_at, since), until))
    return _joined(away)


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for start, end in sorted(stretches):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _opening(of: Availability, maintained_s: float) -> Opening:
    return Opening(of.ready_s, of.degraded_s, of.blocked_s, of.unknown_s, max(0.0, maintained_s))


# -- printing


def _printing(told: Told, blocked: dict[str, float], month: str) -> Printing:
    found = Printing(by_day={}, listed=[])
    counters: dict[str, dict[date, float]] = {}
    about: dict[str, SupplyDay] = {}
    for row in told.supply_days:
        if row.printer_id not in about or row.day >= about[row.printer_id].day:
            about[row.printer_id] = row
        days = counters.setdefault(row.printer_id, {})
        if row.pages_count is not None:
            days[row.day] = max(row.pages_count, days.get(row.day, 0.0))
    for id_ in sorted({*counters, *told.jams, *blocked}):
        known = about.get(id_)
        one = PrinterFigures(
            id_, known.printer_name if known else "", known.printer_model if known else "", told.annex_id,
            jams=told.jams.get(id_, 0), blocked_s=blocked.get(id_, 0.0),
        )  # fmt: skip
        days = counters.get(id_, {})
        if (known is None or f"{known.day:%Y-%m}" < month) and not one.jams and not one.blocked_s:
            continue  # gone before the month began
        one.days = sum(f"{day:%Y-%m}" == month for day in days)
        for day, pages in _pages(days, month).items():
            one.pages = (one.pages or 0) + pages
            found.by_day[day] = found.by_day.get(day, 0) + pages
        found.printers += 1
        found.counted += one.pages is not None
        found.pages += one.pages or 0
        found.jams += one.jams
        found.blocked_s += one.blocked_s
        found.listed.append(one)
    found.by_day = dict(sorted(found.by_day.items()))
    found.listed.sort(key=lambda one: (-one.blocked_s, -one.jams, -(one.pages or 0), one.id))
    return found


def _pages(counters: dict[date, float], month: str) -> dict[str, int]:
    """Pages by day of the month; those of days that nobody knows stand on the next one that is known."""
    found = {}
    for (day, count), (next_day, next_count) in pairwise(sorted(counters.items())):
        printed = next_count - count
        if f"{next_day:%Y-%m}" == month and 0 <= printed <= _MOST_PAGES_A_DAY * (next_day - day).days:
            found[next_day.isoformat()] = round(printed)
    return found


# -- queues


def _queues(points: Sequence[Waiting], hours: _Judged, *, since: datetime, until: datetime) -> Queues:
    if not points:
        return Queues()
    found = Queues(annexes=1, open_s=hours.open_seconds(since, until), cells={}, waits=[])
    zone = zones.zone(hours.time_zone)
    by_service: dict[str, dict[str, Cell]] = {}
    for point in _one_device_each(points):
        middle = point.until - timedelta(seconds=point.width_s / 2)
        if point.people is None or not since <= middle < until or not hours.calendar.is_open(middle):
            continue
        local = middle.astimezone(zone)
        cell = by_service.setdefault(point.service, {}).setdefault(f"{local.weekday()}-{local.hour}", Cell())
        cell.seconds += point.seconds
        cell.person_seconds += point.people * point.seconds
        if point.longest_wait_s is not None:
            found.waits = found.waits or [0.0] * (len(WAIT_EDGES_S) + 1)
            found.waits[_step(point.longest_wait_s)] += point.seconds
            found.wait_total_s += point.longest_wait_s * point.seconds
    for cells in by_service.values():
        for place, cell in cells.items():
            into = found.cells.setdefault(place, Cell())
            into.seconds = max(into.seconds, cell.seconds)
    for place, into in found.cells.items():
        # People of all services at once: the mean of each, over the longest time that any was counted.
        means = [cells[place].mean or 0.0 for cells in by_service.values() if place in cells]
        into.person_seconds = math.fsum(means) * into.seconds
    return found


def _one_device_each(points: Sequence[Waiting]) -> list[Waiting]:
    """Of a queue that several devices count, what the one told that told most."""
    told: dict[str, dict[int, float]] = {}
    for point in points:
        of = told.setdefault(point.service, {})
        of[point.device_number] = of.get(point.device_number, 0.0) + point.seconds
    best = {service: max(of, key=lambda number: (of[number], -number)) for service, of in told.items()}
    return [point for point in points if best[point.service] == point.device_number]


def _step(wait_s: float) -> int:
    return next((place for place, edge in enumerate(WAIT_EDGES_S) if wait_s <= edge), len(WAIT_EDGES_S))
