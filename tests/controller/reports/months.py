"""One annex's November, as it may be remembered."""

from datetime import UTC, date, datetime

from msgspec import structs

from annexfleet_controller.calendars.calendar import DEFAULT
from annexfleet_controller.readiness.availability import Span
from annexfleet_controller.reports.making import Told
from annexfleet_controller.reports.troubles import TroubleTold
from annexfleet_controller.things import SupplyDay

MONTH = "2026-09"
"""Twenty-two working days of eight hours, no holiday, no change of the clock."""
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
AFTER = datetime(2026, 10, 20, tzinfo=UTC)
HOURS_S = 22 * 8 * 3600.0


def at(day: int, hour: float = 0.0) -> datetime:
    """A moment of that September on the annex's wall, one hour before UTC."""
    minutes = round(hour * 60)
    return datetime(2026, 9, day, minutes // 60, minutes % 60, tzinfo=DEFAULT.zone).astimezone(UTC)


def told(**other: object) -> Told:
    """An annex that was ready all month, with `other` instead of what it would have."""
    ready = Told(
        annex_id="berkane-1", created_at=LONG_AGO, retired_at=None, calendar=DEFAULT,
        spans=[Span("residence", "ready", LONG_AGO)], watched_until=AFTER,
    )  # fmt: skip
    return structs.replace(ready, **other)


def trouble(id_: int, day: int, hour: float, hours: float | None, **other: object) -> TroubleTold:
    """A jam of the printer at counter 1 for so many hours; None: it lasts."""
    began = at(day, hour)
    base = TroubleTold(
        id=id_, cause="paper_jam", kind="printer", thing_kind="printer", thing_id="a" * 24, thing_name="guichet-hp",
        annex_id="berkane-1", annexes=1, severity="critical", began_at=began, opened_at=began,
        ended_at=None if hours is None else at(day, hour + hours), acknowledged_at=None, people=4.0,
        people_estimated=False, muted=False,
    )  # fmt: skip
    return structs.replace(base, **other)


def counter(day: date, pages: float | None, printer: str = "a" * 24) -> SupplyDay:
    return SupplyDay(
        annex_id="berkane-1", printer_id=printer, supply="black", day=day, kind="toner", colour="black",
        level_ratio=0.5, pages_count=pages, printer_name="guichet-hp", printer_model="HP LaserJet",
    )  # fmt: skip
