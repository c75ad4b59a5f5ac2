"""A queue today against the same weekday of the weeks before: a drawing, and the same as a table."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.store import waiting
from annexfleet_controller.store.fleet import SeenQueue
from annexfleet_controller.store.waiting import Waited
from annexfleet_controller.web.sparklines import Curve, curve, nice_top

WEEKS = 4
HEIGHT = 90
_MOST_QUEUES = 6


class Hour(Struct, frozen=True):
    """People who waited on average in one hour of the day."""

    clock: str
    today: float | None
    usual: float | None


class Day(Struct, frozen=True):
    service: str
    today: Curve | None
    usual: Curve | None
    top: float
    hours: list[Hour]
    first: str
    last: str
    """The ends of the drawing, as a clock on the wall shows them."""
    weeks: int
    """Of how many earlier weeks anything is known."""


def days(db: Session, queues: Sequence[SeenQueue], calendar: Calendar, *, now: datetime) -> list[Day]:
    """Of each queue; one of which nothing is known yet is left out.  Each device's past is read once."""
    services_of: dict[int, list[str]] = {}
    for seen in queues[:_MOST_QUEUES]:
        services_of.setdefault(seen.device.number, []).append(seen.queue.service)
    midnight = _midnight(now, calendar, 0)
    found = []
    for number, services in services_of.items():
        today = waiting.waited(db, number, services, since=midnight, until=now)
        before = [
            (start, waiting.waited(db, number, services, since=start, until=start + timedelta(days=1)))
            for start in (_midnight(now, calendar, week) for week in range(1, WEEKS + 1))
        ]
        for service in services:
            past = [(start, of[service]) for start, of in before if of[service]]
            if today[service] or past:
                found.append(_day(service, today[service], past, calendar, midnight))
    return found


def _day(
    service: str,
    today: Sequence[Waited],
    past: Sequence[tuple[datetime, Sequence[Waited]]],
    calendar: Calendar,
    midnight: datetime,
) -> Day:
    first, last = _span(calendar, midnight)
    usual = [
        _mean([mean for start, of in past if (mean := _in_hour(of, start, hour)) is not None]) for hour in range(24)
    ]
    known = [_in_hour(today, midnight, hour) for hour in range(24)]
    since, until = midnight.timestamp() + first * 3600, midnight.timestamp() + last * 3600
    values = [one for one in (*usual, *(w.people for w in today)) if one is not None]
    top = nice_top(max(values, default=0.0))
    return Day(
        service=service,
        today=curve(
            [((w.until - timedelta(seconds=w.seconds / 2)).timestamp(), w.people) for w in today], since=since,
            until=until, top=top, gap_s=1800, height=HEIGHT,
        ),
        usual=curve(
            [(midnight.timestamp() + hour * 3600 + 1800, value) for hour, value in enumerate(usual)], since=since,
            until=until, top=top, gap_s=3600 * 1.5, height=HEIGHT,
        ),
        top=top,
        hours=[
            Hour(f"{hour:02}:00", known[hour], usual[hour]) for hour in range(first, last)
            if known[hour] is not None or usual[hour] is not None
        ],
        first=f"{first:02}:00", last=f"{last:02}:00", weeks=len(past),
    )  # fmt: skip


def _span(calendar: Calendar, midnight: datetime) -> tuple[int, int]:
    """The hours of the day that are drawn: an hour more than it is open, or the usual day where it is closed."""
    opened = calendar.spans(midnight, midnight + timedelta(days=1))
    if not opened:
        return 7, 19
    first = int((opened[0][0] - midnight).total_seconds() // 3600) - 1
    last = -int(-(opened[-1][1] - midnight).total_seconds() // 3600) + 1
    return max(0, first), min(24, max(last, first + 2))


def _in_hour(of: Sequence[Waited], midnight: datetime, hour: int) -> float | None:
    start = midnight + timedelta(hours=hour)
    end = start + timedelta(hours=1)
    return _mean([w.people for w in of if start < w.until <= end])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _midnight(now: datetime, calendar: Calendar, weeks_ago: int) -> datetime:
    day = now.astimezone(calendar.zone).date() - timedelta(weeks=weeks_ago)
    return datetime.combine(day, time(0), calendar.zone).astimezone(now.tzinfo)
