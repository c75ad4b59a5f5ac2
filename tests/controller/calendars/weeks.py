"""Weeks and moments that tests of calendars share."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from annexfleet_controller.calendars import Calendar, Spans, Week
from annexfleet_controller.calendars.document import parse_spans


def spans(*pairs: str) -> Spans:
    """Such as spans("08:30-12:00", "14:00-18:30")."""
    return parse_spans([pair.split("-") for pair in pairs], "hours")


def every_day(*pairs: str) -> Week:
    day = spans(*pairs)
    return (day, day, day, day, day, day, day)


def always(zone: str, *pairs: str) -> Calendar:
    """The same hours every day of the year."""
    return Calendar(zone, every_day(*pairs), every_day(*pairs), closed_on_holidays=False)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str = "Africa/Casablanca", fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def shown(found: list[tuple[datetime, datetime]]) -> list[str]:
    """Spans as `2026-02-13 07:30-15:30`, in UTC."""
    return [f"{start:%Y-%m-%d %H:%M}-{end:%H:%M}" for start, end in found]
