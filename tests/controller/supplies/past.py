"""Days of supplies that tests begin with."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from annexfleet_controller.calendars import DEFAULT
from annexfleet_controller.things import SupplyDay

NOW = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)
"""A Wednesday, when the counters close: today is a whole opening day."""
TODAY = date(2026, 11, 25)


def supply_day(day: date = TODAY, level: float | None = 0.4, **other: object) -> SupplyDay:
    fields: dict[str, object] = {
        "annex_id": "berkane-1", "printer_id": "a" * 24, "supply": "Black Cartridge HP CF259A", "day": day,
        "kind": "toner", "colour": "black", "level_ratio": level, "pages_count": 81_234.0,
        "printer_name": "guichet-hp", "printer_model": "HP LaserJet Pro M404dn",
    }  # fmt: skip
    return SupplyDay(**(fields | other))  # type: ignore[arg-type]


def opening_days(count: int, *, until: date = TODAY) -> list[date]:
    """The last so many days on which counters were open."""
    found: list[date] = []
    day = until
    while len(found) < count:
        if DEFAULT.hours(day):
            found.append(day)
        day -= timedelta(days=1)
    return found[::-1]


def series(
    levels: Iterable[float | None], *, until: date = TODAY, pages_per_day: float = 80, **other: object
) -> list[SupplyDay]:
    """One level an opening day, the last one today."""
    told = list(levels)
    return [
        supply_day(day, level, **({"pages_count": 80_000 + pages_per_day * place} | other))
        for place, (day, level) in enumerate(zip(opening_days(len(told), until=until), told, strict=True))
    ]


def falling(left: float, *, days: int = 30, per_day: float = 0.01, **other: object) -> list[SupplyDay]:
    """A cartridge that has so many opening days left."""
    return series([per_day * (left + ago) for ago in reversed(range(days))], **other)  # type: ignore[arg-type]
