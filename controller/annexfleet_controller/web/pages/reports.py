"""/reports: a month in figures, and the same as PDF."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller import paper
from annexfleet_controller.access.asked import Db, EngineOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import reporting
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.reporting import Report
from annexfleet_controller.store.reports import Order
from annexfleet_controller.web import monthly
from annexfleet_controller.web.render import STATIC, Page, environment

router = APIRouter(prefix="/reports", include_in_schema=False)

Looking = Annotated[Person, Depends(Needs("look"))]
Month = Annotated[str, Path(max_length=7)]
OfAnnex = Annotated[str, Query(alias="annex", max_length=63)]
OfDistrict = Annotated[str, Query(alias="district", max_length=63)]


@router.get("")
def choose(
    *, person: Looking, now: Now, month: Annotated[str, Query(max_length=7)] = "", annex: OfAnnex = "",
    district: OfDistrict = "",
) -> RedirectResponse:  # fmt: skip
    """To the month that was chosen, or the current one."""
    month = month or reporting.current(now)
    reporting.check(month, now=now)
    return RedirectResponse(f"/reports/{month}{_query(annex=annex, district=district)}", 303)


@router.get("/{month}.pdf")
def as_pdf(
    *, month: Month, person: Looking, engine: EngineOf, now: Now, language: LanguageOf, annex: OfAnnex = "",
    district: OfDistrict = "",
) -> Response:  # fmt: skip
    """The month on paper.  Nothing of the database is held while it is laid out."""
    with reading(engine) as db:
        report = reporting.read(db, person.scope, month, annex_id=annex, district_id=district or None, now=now)
        reporting.figures_of(report)
        html = sheet(report, monthly.context(db, person.scope, report, language), language)
    pdf = paper.make(html, STATIC)
    name = f"{month}-{annex or district or 'province'}-{language.code}.pdf"
    return Response(
        pdf, media_type="application/pdf", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@router.get("/{month}")
def show(
    *, month: Month, person: Looking, db: Db, now: Now, language: LanguageOf, page: Page, annex: OfAnnex = "",
    district: OfDistrict = "", order: Order = "worst", number: Annotated[int, Query(alias="page", ge=1, le=1000)] = 1,
    search: Annotated[str, Query(alias="q", max_length=60)] = "",
) -> HTMLResponse:  # fmt: skip
    report = reporting.read(db, person.scope, month, annex_id=annex, district_id=district or None, now=now)
    current = reporting.current(now)
    query = _query(annex=annex, district=district)
    shown = monthly.context(db, person.scope, report, language, order=order, page=number, search=search)
    months = sorted({*shown.pop("months"), current, month}, reverse=True)
    return page(
        "report.html",
        **shown,
        months=months,
        current=current,
        query=query,
        missing=paper.missing(),
        link=lambda **other: _query(**{"annex": annex, "district": district, "order": order, "q": search, **other}),
    )


def sheet(report: Report, shown: dict[str, object], language: Language) -> str:
    """The page for paper, as HTML that loads nothing but our own static files."""
    template = environment(language.code).get_template("report_print.html")
    return template.render(shown | {"now": report.figures.as_of if report.figures else None})


def _query(**values: object) -> str:
    wanted = {name: value for name, value in values.items() if value and (name, value) != ("order", "worst")}
    return f"?{urlencode(wanted)}" if wanted else ""
