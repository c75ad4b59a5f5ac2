"""/api/v1/reports: months in figures, and their tables for a spreadsheet."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems, report_tables, spreadsheet
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.reports.figures import Opening
from annexfleet_controller.store import readiness, reporting, reports
from annexfleet_controller.store.reporting import Report
from annexfleet_controller.store.reports import Line
from annexfleet_controller.store.scope import Scope

router = APIRouter(prefix="/api/v1/reports", tags=["reports"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Month = Annotated[str, Path(max_length=7, description="Such as 2026-11")]
OfAnnex = Annotated[str, Query(alias="annex", max_length=63, description="Only this annex")]
OfDistrict = Annotated[str, Query(alias="district", max_length=63, description="Only this district")]
Name = Literal["annexes", "services", "incidents", "repeated", "printers", "pages", "queues", "changes"]


class MonthsOut(BaseModel):
    items: Annotated[list[str], Field(description="Months of which anything is kept, the newest first")]


class OpeningOut(BaseModel):
    """Opening time in seconds, by how it stood; maintenance is in no other part."""

    ready_seconds: float
    degraded_seconds: float
    blocked_seconds: float
    unknown_seconds: float
    maintenance_seconds: float
    served_ratio: Annotated[float | None, Field(description="Of what is known; null: nothing is")]
    known_ratio: float | None


class ComparedOut(BaseModel):
    measure: str
    value: Annotated[float | None, Field(description="A ratio, a count, seconds or people; null: not known")]
    before: Annotated[float | None, Field(description="The same of the month before")]
    judgement: str
    change: Annotated[float | None, Field(description="Of ratios the difference, else the part, by opening hour")]


class AnnexLine(BaseModel):
    annex: str
    district: str
    served_ratio: float | None
    known_ratio: float | None
    open_seconds: float
    blocked_seconds: float
    incidents: int
    incident_seconds: float
    pages: int | None
    jams: int


class ReportOut(BaseModel):
    month: str
    annex: str
    district: str
    since: datetime
    until: datetime
    as_of: Annotated[datetime, Field(description="When the oldest part of it was worked out")]
    annexes: int
    whole: Annotated[OpeningOut, Field(description="Each annex, at each moment as its worst service stood")]
    services: dict[str, OpeningOut]
    compared: list[ComparedOut]
    incidents: dict[str, Any]
    printing: dict[str, Any]
    queues: dict[str, Any]
    changes: dict[str, Any]
    worst: Annotated[list[AnnexLine], Field(description="At most 50; the table `annexes` has all")]


@router.get("")
def list_months(person: Looking, db: Db) -> MonthsOut:
    """The months of which anything is kept."""
    return MonthsOut(items=reports.months(db))


@router.get("/{month}")
def show_month(
    *, month: Month, person: Looking, db: Db, now: Now, annex: OfAnnex = "", district: OfDistrict = ""
) -> ReportOut:
    """A month of an annex, a district, or all that is in your sight.  Seconds are of opening time."""
    report = reporting.read(db, person.scope, month, annex_id=annex, district_id=district or None, now=now)
    of = reporting.figures_of(report)
    worst = reports.lines(db, person.scope, month, annex_id=annex, district_id=report.district_id, limit=50)
    return ReportOut(
        month=month, annex=report.annex_id, district=report.district_id or "", since=of.since, until=of.until,
        as_of=of.as_of, annexes=of.annexes, whole=_opening(of.whole),
        services={code: _opening(opening) for code, opening in of.services.items()},
        compared=[
            ComparedOut(
                measure=one.measure, value=one.value, before=one.before, judgement=one.judgement, change=one.change
            )
            for one in report.compared
        ],
        incidents={
            "count": of.incidents.count, "open_seconds": of.incidents.open_s, "people": of.incidents.people,
            "muted": of.incidents.muted, "acknowledged_mean_seconds": of.incidents.mean_acknowledged_s(),
            "repaired_mean_seconds": of.incidents.mean_repaired_s(),
            "causes": msgspec.to_builtins(of.incidents.by_cause()),
            "repeated": msgspec.to_builtins(of.incidents.repeaters),
        },
        printing=msgspec.to_builtins(of.printing),
        queues=msgspec.to_builtins(of.queues) | {
            "mean_waiting": of.queues.mean_waiting, "longest_wait_mean_seconds": of.queues.mean_wait_s,
            "longest_wait_p90_seconds": of.queues.wait_quantile_s(0.9),
        },
        changes=msgspec.to_builtins(of.changes, str_keys=True),
        worst=[_line(line) for line in worst.lines],
    )  # fmt: skip


@router.get("/{month}/{table}.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def show_table(
    *,
    month: Month,
    table: Annotated[Name, Path()],
    person: Looking,
    db: Db,
    now: Now,
    language: LanguageOf,
    annex: OfAnnex = "",
    district: OfDistrict = "",
) -> Response:
    """One table of a month for a spreadsheet, in your language: in French and Arabic with `;` and a decimal comma."""
    report = reporting.read(db, person.scope, month, annex_id=annex, district_id=district or None, now=now)
    header, rows = report_tables.TABLES[table](asked(db, person.scope, report, language))
    place = annex or district or "province"
    return spreadsheet.table(
        header, rows, file_name=f"{month}-{place}-{table}", habits=spreadsheet.habits(language.code)
    )


def asked(db: Db, scope: Scope, report: Report, language: Language) -> report_tables.Asked:
    """What tables are made from.  Raises ReportMissing where nothing is kept."""
    figures = reporting.figures_of(report)
    lines = reports.lines(db, scope, report.month, annex_id=report.annex_id, district_id=report.district_id)
    services = catalogue(readiness.own_services(db))
    return report_tables.Asked(
        figures=figures, annexes=lines.lines, language=language,
        services={code: service.name(language.code) for code, service in services.items()},
    )  # fmt: skip


def _opening(of: Opening) -> OpeningOut:
    return OpeningOut(
        ready_seconds=of.ready_s, degraded_seconds=of.degraded_s, blocked_seconds=of.blocked_s,
        unknown_seconds=of.unknown_s, maintenance_seconds=of.maintenance_s, served_ratio=of.served_ratio,
        known_ratio=of.known_ratio,
    )  # fmt: skip


def _line(of: Line) -> AnnexLine:
    return AnnexLine(
        annex=of.id, district=of.district_id, served_ratio=of.served_ratio, known_ratio=of.known_ratio,
        open_seconds=of.open_s, blocked_seconds=of.blocked_s, incidents=of.incidents,
        incident_seconds=of.incidents_s, pages=of.pages, jams=of.jams,
    )  # fmt: skip
