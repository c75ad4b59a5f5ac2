"""A report as a person asks for it: of which month, of what in their sight, beside the month before."""

from datetime import datetime
from typing import Annotated

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.calendars.calendar import DEFAULT_TIME_ZONE
from annexfleet_controller.errors import Invalid, NotFound
from annexfleet_controller.readiness import availability
from annexfleet_controller.reports import Figures, comparing, making
from annexfleet_controller.reports.comparing import Compared
from annexfleet_controller.reports.errors import ReportMissing, ReportOfFuture
from annexfleet_controller.store import annexes, reports
from annexfleet_controller.store.scope import Scope

Names = Annotated[tuple[str, str], "French and Arabic"]


class Report(Struct, frozen=True, kw_only=True):
    """A month of an annex, a district, or all that is in sight."""

    month: str
    annex_id: str = ""
    district_id: str | None = None
    names: Names | None = None
    """Of the annex or the district; None: all that is in sight."""
    figures: Figures | None
    """None: nothing is kept."""
    before: Figures | None = None
    compared: tuple[Compared, ...] = ()
    is_over: bool
    """Whether the month has ended."""


def read(
    db: Session, scope: Scope, month: str, *, annex_id: str = "", district_id: str | None = None, now: datetime
) -> Report:
    """Raises Invalid for what is no month, ReportOfFuture, AnnexUnknown, or NotFound for a district out of sight."""
    is_over = check(month, now=now)
    names: Names | None = None
    if annex_id:
        place = annexes.get(db, scope, annex_id)
        names, district_id = (place.name_fr, place.name_ar), None
    elif district_id is not None:
        known = reports.district_names(db, scope)
        if district_id not in known:
            raise NotFound(f"no district {district_id!r}")
        names = known[district_id]
    figures = reports.figures(db, scope, month, annex_id=annex_id, district_id=district_id)
    before = reports.figures(db, scope, making.before(month), annex_id=annex_id, district_id=district_id)
    return Report(
        month=month, annex_id=annex_id, district_id=district_id, names=names, figures=figures, before=before,
        compared=tuple(comparing.compared(figures, before)) if figures is not None else (), is_over=is_over,
    )  # fmt: skip


def figures_of(report: Report) -> Figures:
    """Raises ReportMissing where nothing is kept."""
    if report.figures is None:
        raise ReportMissing(f"nothing is kept of {report.month}")
    return report.figures


def check(month: str, *, now: datetime) -> bool:
    """Whether a month is over.  Raises Invalid for what is no month, and ReportOfFuture."""
    try:
        since, until = availability.bounds(month, DEFAULT_TIME_ZONE)
    except ValueError:
        raise Invalid("no month such as 2026-11", field="month") from None
    if since > now:
        raise ReportOfFuture(f"{month} has not begun", month=month, field="month")
    return until <= now


def current(now: datetime) -> str:
    """The month that the province's clock shows."""
    return f"{now.astimezone(zones.PROVINCE):%Y-%m}"
