"""/supplies: what runs out when, what to order, whom to visit; and the same on paper."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller.access.asked import Db, EngineOf, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import SupplyUnknown
from annexfleet_controller.i18n import guidance
from annexfleet_controller.store import supplies, supply_plan
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.supplies import forecast, levels
from annexfleet_controller.supplies.plan import Plan
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/supplies", include_in_schema=False)

Looking = Annotated[Person, Depends(Needs("look"))]
_PAGE = 100
_MOST_VISITS = 60
_MOST_PLACES = 20
"""Of one line of the order; the spreadsheet has all."""

OfAnnex = Annotated[str, Query(alias="annex", max_length=63)]


@router.get("")
def show(
    *, person: Looking, db: Db, now: Now, home: HomeOf, language: LanguageOf, page: Page, annex: OfAnnex = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:  # fmt: skip
    """Of a country, the visits that press most, and a page of what runs out when."""
    shown = _plan(person, db, now=now, home=home, language=language, annex=annex)
    return page("supplies.html", **shown, **_cut(shown["plan"], annex, number))


@router.get("/print")
def on_paper(
    *, person: Looking, db: Db, now: Now, home: HomeOf, language: LanguageOf, page: Page, annex: OfAnnex = ""
) -> HTMLResponse:
    """A sheet with the order list, then one an annex that needs a visit."""
    return page("supplies_print.html", **_plan(person, db, now=now, home=home, language=language, annex=annex))


@router.post("/stock")
def count_stock(
    *,
    person: Annotated[Person, Depends(Needs("edit_stock"))],
    engine: EngineOf,
    now: Now,
    order_key: Annotated[str, Form(max_length=200)],
    quantity: Annotated[int, Form(ge=0, le=supplies.MOST_IN_STOCK)],
) -> Response:
    with reading(engine) as db:
        known = supplies.latest(db, WHOLE, since=(now - forecast.GONE_AFTER).date())
        if order_key not in {levels.part(row).key for row in known} and order_key not in supplies.stock(db):
            raise SupplyUnknown(f"no part {order_key!r}")
    with writing(engine) as db:
        supplies.put_stock(db, order_key, quantity, by=person.name, now=now)
    return RedirectResponse("/supplies#orders", 303)


def _cut(made: Plan, annex: str, number: int) -> dict[str, object]:
    """What of a plan is shown at once."""
    pages = max(1, -(-len(made.supplies) // _PAGE))
    at = min(number, pages)

    def address(page: int) -> str:
        return f"/supplies?{urlencode({'annex': annex, 'page': page} if annex else {'page': page})}#forecast"

    return {
        "shown": made.supplies[(at - 1) * _PAGE : at * _PAGE],
        "visits": made.visits[:_MOST_VISITS],
        "more_visits": max(0, len(made.visits) - _MOST_VISITS),
        "most_places": _MOST_PLACES,
        "at": at,
        "pages": pages,
        "newer": address(at - 1) if at > 1 else "",
        "older": address(at + 1) if at < pages else "",
    }


def _plan(person: Person, db: Db, *, now: Now, home: HomeOf, language: LanguageOf, annex: str) -> dict[str, Any]:
    settings = home.settings
    made = supply_plan.made(
        db, person.scope, now=now, goes=lambda incident: guidance.is_for_technician(incident.cause),
        lead_days=settings.supply_lead_opening_days, horizon_days=settings.supply_horizon_opening_days, annex_id=annex,
    )  # fmt: skip
    return {
        "plan": made,
        "titles": {
            trouble.cause: guidance.guidance(language, trouble.cause).title
            for visit in made.visits
            for trouble in visit.troubles
            if guidance.has_guidance(trouble.cause)
        },
        "counts": [(state, sum(of.state == state for of in made.supplies)) for state in forecast.STATES],
        "names": names_of(db, person.scope, language.code),
        "annex": annex,
        "horizon": settings.supply_horizon_opening_days,
        "confidence": forecast.CONFIDENCE,
        "sees_stock": person.scope.annexes is None,
        "may_count": person.may("edit_stock"),
        "most_in_stock": supplies.MOST_IN_STOCK,
    }
