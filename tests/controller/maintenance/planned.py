"""Maintenances for tests, short to write."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from annexfleet_controller.maintenance import Area, Maintenance, Weekly

CASABLANCA = ZoneInfo("Africa/Casablanca")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
"""A Tuesday."""


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of November 2026."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def once(start: datetime, end: datetime, *, area: Area | None = None, id_: int = 1) -> Maintenance:
    return Maintenance(
        id=id_, area=area or Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=start, ends_at=end,
        reason="New switch", author="tech", created_at=start,
    )  # fmt: skip


def weekly(
    *days: int,
    begins: time,
    minutes: int,
    starts_at: datetime = NOW,
    until: date = date(2027, 6, 30),
    zone: str = "Africa/Casablanca",
) -> Maintenance:
    return Maintenance(
        id=2, area=Area(annexes=("berkane-1",)), touches=("berkane-1",), starts_at=starts_at,
        weekly=Weekly(weekdays=days, at=begins, minutes=minutes, until=until), time_zone=zone, reason="Backup",
        author="tech", created_at=starts_at,
    )  # fmt: skip
