"""What a report's page and its PDF show, beside the figures: words, places in charts, steps of heat."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.i18n import formats, guidance
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.reports.comparing import Compared
from annexfleet_controller.reports.figures import Figures, Opening
from annexfleet_controller.store import readiness, reports
from annexfleet_controller.store.reporting import Report
from annexfleet_controller.store.scope import Scope

LINES_ON_PAGE = 50
_PARTS = ("ready", "degraded", "blocked", "unknown", "maintenance")
_STEPS = 5
"""Of a heat table's colours."""


class Piece(Struct, frozen=True):
    """Of a bar: where it begins and how long it is, in parts of a hundred from where the bar begins."""

    part: str
    start: float
    width: float


class HeatCell(Struct, frozen=True):
    mean: float | None
    """People waiting; None: nobody counted."""
    step: int
    """0 to 5."""


class HeatRow(Struct, frozen=True):
    day: str
    cells: list[HeatCell]


class Heat(Struct, frozen=True):
    hours: list[int]
    rows: list[HeatRow]


class Column(Struct, frozen=True):
    """A day of the chart of pages."""

    day: date
    pages: int | None
    height: float
    """0 to 100."""


def context(
    db: Session, scope: Scope, report: Report, language: Language, *, order: reports.Order = "worst", page: int = 1,
    search: str = "",
) -> dict[str, Any]:  # fmt: skip
    """All that both templates ask for."""
    found = reports.lines(
        db, scope, report.month, annex_id=report.annex_id, district_id=report.district_id, search=search, order=order,
        offset=(page - 1) * LINES_ON_PAGE, limit=LINES_ON_PAGE,
    )  # fmt: skip
    figures = report.figures
    wide = not report.annex_id and report.district_id is None
    services = catalogue(readiness.own_services(db))
    causes = figures.incidents.by_cause() if figures is not None else {}
    return {
        "report": report,
        "figures": figures,
        "month_name": formats.month(language, date.fromisoformat(f"{report.month}-01")),
        "place_name": _of(report.names, language),
        "lines": found.lines,
        "lines_count": found.count,
        "page_number": page,
        "pages_count": max(1, -(-found.count // LINES_ON_PAGE)),
        "order": order,
        "search": search,
        "districts": [line for line in reports.districts(db, scope, report.month) if line.id] if wide else [],
        "district_names": {id_: _of(names, language) for id_, names in reports.district_names(db, scope).items()},
        "months": reports.months(db),
        "service_names": {code: of.name(language.code) for code, of in services.items()},
        "causes": causes,
        "titles": {cause: _title(language, cause) for cause in causes},
        "bar": bar,
        "heat": heat(figures, language) if figures is not None else None,
        "columns": columns(figures) if figures is not None else [],
        "annex_names": annex_names(found.lines, language),
        "local_name": lambda line: line.name_ar if language.code == "ar" else line.name_fr,
        "change_text": lambda one: change_text(one, language),
        "month_label": lambda month: formats.month(language, date.fromisoformat(f"{month}-01")),
        "day_label": lambda day: formats.date_of(language, day),
    }


def bar(of: Opening) -> list[Piece]:
    """Opening time as a bar; nothing where there was none."""
    total, start = of.open_s, 0.0
    pieces = []
    for part in _PARTS if total else ():
        width = 100 * getattr(of, f"{part}_s") / total
        if width > 0:
            pieces.append(Piece(part, round(start, 2), round(width, 2)))
        start += width
    return pieces


def heat(of: Figures, language: Language) -> Heat | None:
    """People waiting by weekday and hour; None where nobody counted."""
    cells = {tuple(int(part) for part in place.split("-")): cell.mean for place, cell in of.queues.cells.items()}
    if not cells:
        return None
    hours = list(range(min(hour for _, hour in cells), max(hour for _, hour in cells) + 1))
    most = max((mean for mean in cells.values() if mean is not None), default=0.0)
    rows = []
    for weekday in sorted({day for day, _ in cells}):
        means = [cells.get((weekday, hour)) for hour in hours]
        row = [HeatCell(mean, round(_STEPS * mean / most) if mean and most else 0) for mean in means]
        rows.append(HeatRow(formats.weekday(language, weekday), row))
    return Heat(hours, rows)


def columns(of: Figures) -> list[Column]:
    """Pages by day of the month, also of days of which nothing is known; empty where nothing is known at all."""
    days = of.printing.by_day
    most = max(days.values(), default=0)
    if not most:
        return []
    first = date.fromisoformat(f"{of.month}-01")
    found = []
    for number in range(31):
        day = date.fromordinal(first.toordinal() + number)
        if day.month == first.month:
            pages = days.get(day.isoformat())
            found.append(Column(day, pages, round(100 * (pages or 0) / most, 1)))
    return found


def change_text(one: Compared, language: Language) -> str:
    """What became of a figure since the month before, in words; nothing where there was none."""
    if one.judgement == "same":
        return language.name("report_change", "same")
    if one.judgement == "unknown" or one.change is None:
        return "" if one.before is None else language.name("report_change", "incomparable")
    way = "more" if one.change > 0 else "less"
    if one.kind == "ratio":
        amount, way = formats.number(language, abs(one.change) * 100), f"points_{way}"
    else:
        amount = formats.percent(language, abs(one.change))
    return language.name("report_change", way) % {"amount": amount}


def annex_names(lines: Sequence[reports.Line], language: Language) -> Mapping[str, str]:
    return {line.id: line.name_ar if language.code == "ar" else line.name_fr for line in lines}


def _of(names: tuple[str, str] | None, language: Language) -> str:
    if names is None:
        return ""
    return names[1] if language.code == "ar" else names[0]


def _title(language: Language, cause: str) -> str:
    return guidance.guidance(language, cause).title if guidance.has_guidance(cause) else cause
