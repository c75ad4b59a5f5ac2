"""/api/v1/supplies: when toner is empty, what to order, whom to visit with which parts; and what is on the shelf."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, EngineOf, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems, spreadsheet
from annexfleet_controller.errors import SupplyUnknown
from annexfleet_controller.i18n import guidance
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import annexes, supplies, supply_plan
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.supplies import forecast, levels, plan
from annexfleet_controller.supplies.plan import Plan
from annexfleet_controller.trend import Forecast

router = APIRouter(prefix="/api/v1/supplies", tags=["supplies"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
OfAnnex = Annotated[str, Query(alias="annex", max_length=63, description="Only this annex")]
Accept = Annotated[str, Header(description="`text/csv` for a table")]


class PartOut(BaseModel):
    """What one orders; `number` is empty where the printer names none, and then the model says what fits."""

    key: str
    number: str
    model: str
    kind: str
    colour: str


class DaysLeftOut(BaseModel):
    """In opening days from now; `latest` is null where it may be never."""

    estimate: float
    earliest: float
    latest: float | None
    confidence: float
    points: int
    span: float


class SupplyOut(BaseModel):
    annex: str
    printer: str
    printer_name: str
    name: str
    part: PartOut
    level_ratio: float | None
    level_of: date
    state: forecast.State
    why: forecast.Why
    days_left: DaysLeftOut | None
    empty_on: date | None
    pages_per_day: float | None

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "annex": "berkane-1", "printer": "3f0c9a3b1d5e7f90aa11bb22", "printer_name": "guichet-hp",
                    "name": "Black Cartridge HP CF259A",
                    "part": {
                        "key": "cf259a", "number": "CF259A", "model": "HP LaserJet Pro M404dn", "kind": "toner",
                        "colour": "black",
                    },
                    "level_ratio": 0.12, "level_of": "2026-11-25", "state": "soon", "why": "",
                    "days_left": {
                        "estimate": 11.8, "earliest": 9.2, "latest": 15.1, "confidence": 0.9, "points": 41, "span": 44,
                    },
                    "empty_on": "2026-12-11", "pages_per_day": 84,
                }
            ]
        }
    }  # fmt: skip


class SupplyPage(BaseModel):
    items: list[SupplyOut]
    next: str | None = None


class PlaceOut(BaseModel):
    annex: str
    printer_name: str
    count: int


class OrderOut(BaseModel):
    """One line of the order list.  `stock` is null for who does not see the province's shelf."""

    part: PartOut
    models: list[str]
    needed: int
    stock: int | None
    quantity: int
    first_in: float
    places: list[PlaceOut]


class OrderList(BaseModel):
    horizon_opening_days: float
    items: list[OrderOut]


class TroubleOut(BaseModel):
    incident: int
    thing: str
    cause: str
    severity: str
    since: datetime


class CarryOut(BaseModel):
    part: PartOut
    count: int
    printers: list[str]


class VisitOut(BaseModel):
    annex: str
    troubles: list[TroubleOut]
    parts: list[CarryOut]


class VisitList(BaseModel):
    """The annexes that need a visit, the one that needs it most first."""

    horizon_opening_days: float
    items: list[VisitOut]


class StockIn(BaseModel):
    quantity: Annotated[int, Field(ge=0, le=supplies.MOST_IN_STOCK)]

    model_config = {"json_schema_extra": {"examples": [{"quantity": 4}]}}


class StockOut(BaseModel):
    key: str
    quantity: int
    updated_at: datetime
    by: str


@router.get("")
def list_supplies(
    *,
    person: Looking,
    db: Db,
    now: Now,
    home: HomeOf,
    annex: OfAnnex = "",
    state: Annotated[forecast.State | None, Query(description="Only those in this state")] = None,
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> SupplyPage:
    """Every supply in your sight with when it will be empty, by printer and name."""
    after = paging.keys(cursor, 2)
    found = _plan(person, db, now, home.settings, annex).supplies
    wanted = sorted(
        (
            of
            for of in found
            if (state is None or of.state == state)
            and (after is None or [of.newest.printer_id, of.newest.supply] > after)
        ),
        key=lambda of: (of.newest.printer_id, of.newest.supply),
    )
    last = wanted[limit - 1].newest if len(wanted) > limit else None
    return SupplyPage(
        items=[_supply(of) for of in wanted[:limit]],
        next=paging.cursor(last.printer_id, last.supply) if last is not None else None,
    )


@router.get("/orders", response_model=OrderList)
def list_orders(
    *,
    person: Looking,
    db: Db,
    now: Now,
    home: HomeOf,
    language: LanguageOf,
    annex: OfAnnex = "",
    accept: Accept = "",
) -> OrderList | Response:
    """What to order: one line a part, without what is on the shelf."""
    found = _plan(person, db, now, home.settings, annex)
    if spreadsheet.wanted(accept):
        return _orders_table(found, person, language, _names(person, db, language), now)
    return OrderList(
        horizon_opening_days=home.settings.supply_horizon_opening_days,
        items=[_order(order, sees_stock=_sees_stock(person)) for order in found.orders],
    )


@router.get("/orders.csv", response_class=Response, responses={200: {"content": {spreadsheet.MEDIA_TYPE: {}}}})
def orders_table(
    *, person: Looking, db: Db, now: Now, home: HomeOf, language: LanguageOf, annex: OfAnnex = ""
) -> Response:
    """The order list for a spreadsheet, in your language."""
    found = _plan(person, db, now, home.settings, annex)
    return _orders_table(found, person, language, _names(person, db, language), now)


@router.get("/visits", response_model=VisitList)
def list_visits(
    *,
    person: Looking,
    db: Db,
    now: Now,
    home: HomeOf,
    language: LanguageOf,
    annex: OfAnnex = "",
    accept: Accept = "",
) -> VisitList | Response:
    """Which annexes need a technician, for what, with which parts."""
    found = _plan(person, db, now, home.settings, annex)
    if spreadsheet.wanted(accept):
        return _visits_table(found, language, _names(person, db, language), now)
    return VisitList(
        horizon_opening_days=home.settings.supply_horizon_opening_days,
        items=[_visit(visit) for visit in found.visits],
    )


@router.get("/visits.csv", response_class=Response, responses={200: {"content": {spreadsheet.MEDIA_TYPE: {}}}})
def visits_table(
    *, person: Looking, db: Db, now: Now, home: HomeOf, language: LanguageOf, annex: OfAnnex = ""
) -> Response:
    """The visit list for a spreadsheet, in your language."""
    found = _plan(person, db, now, home.settings, annex)
    return _visits_table(found, language, _names(person, db, language), now)


@router.put("/stock/{order_key}")
def put_stock(
    order_key: Annotated[str, Path(max_length=200)],
    counted: StockIn,
    person: Annotated[Person, Depends(Needs("edit_stock"))],
    engine: EngineOf,
    now: Now,
) -> StockOut:
    """Write down how many of a part are on the province's shelf."""
    with reading(engine) as db:
        known = supplies.latest(db, WHOLE, since=(now - forecast.GONE_AFTER).date())
        if order_key not in {levels.part(row).key for row in known} and order_key not in supplies.stock(db):
            raise SupplyUnknown(f"no part {order_key!r}")
    with writing(engine) as db:
        kept = supplies.put_stock(db, order_key, counted.quantity, by=person.name, now=now)
    return StockOut(key=order_key, quantity=kept.quantity, updated_at=kept.updated_at, by=kept.by)


def _plan(person: Person, db: Session, now: datetime, settings: Settings, annex_id: str) -> Plan:
    return supply_plan.made(
        db, person.scope, now=now, goes=lambda incident: guidance.is_for_technician(incident.cause),
        lead_days=settings.supply_lead_opening_days, horizon_days=settings.supply_horizon_opening_days,
        annex_id=annex_id,
    )  # fmt: skip


def _sees_stock(person: Person) -> bool:
    """The shelf is the province's."""
    return person.scope.annexes is None


# -- as JSON ----------------------------------------------------------------------------------------------------------


def _part(part: levels.Part) -> PartOut:
    return PartOut(key=part.key, number=part.number, model=part.model, kind=part.kind, colour=part.colour)


def _days_left(of: Forecast) -> DaysLeftOut:
    return DaysLeftOut(
        estimate=round(of.reaches_in, 2), earliest=round(of.earliest, 2),
        latest=None if of.latest is None else round(of.latest, 2), confidence=of.confidence, points=of.points,
        span=round(of.span, 2),
    )  # fmt: skip


def _supply(of: forecast.SupplyForecast) -> SupplyOut:
    newest = of.newest
    return SupplyOut(
        annex=newest.annex_id, printer=newest.printer_id, printer_name=newest.printer_name, name=newest.supply,
        part=_part(of.part), level_ratio=newest.level_ratio, level_of=newest.day, state=of.state, why=of.why,
        days_left=None if of.days_left is None else _days_left(of.days_left), empty_on=of.empty_on,
        pages_per_day=None if of.pages_per_day is None else round(of.pages_per_day, 1),
    )  # fmt: skip


def _order(order: plan.Order, *, sees_stock: bool) -> OrderOut:
    return OrderOut(
        part=_part(order.part), models=list(order.models), needed=order.needed,
        stock=order.stock if sees_stock else None, quantity=order.quantity, first_in=round(order.first_in, 2),
        places=[PlaceOut(annex=p.annex_id, printer_name=p.printer_name, count=p.count) for p in order.places],
    )  # fmt: skip


def _visit(visit: plan.Visit) -> VisitOut:
    return VisitOut(
        annex=visit.annex_id,
        troubles=[
            TroubleOut(incident=t.incident_id, thing=t.thing, cause=t.cause, severity=t.severity, since=t.since)
            for t in visit.troubles
        ],
        parts=[CarryOut(part=_part(c.part), count=c.count, printers=list(c.printers)) for c in visit.parts],
    )


# -- as tables --------------------------------------------------------------------------------------------------------


def _names(person: Person, db: Session, language: Language) -> dict[str, str]:
    """The annexes in sight by id, as the reader writes them; French stands in for English."""
    places = annexes.listing(db, person.scope)
    return {place.id: place.name_ar if language.code == "ar" else place.name_fr for place in places}


def _orders_table(found: Plan, person: Person, language: Language, names: dict[str, str], now: datetime) -> Response:
    _ = language.gettext
    header = [
        _("Part"),
        _("Supply"),
        _("For printers"),
        _("Quantity needed"),
        _("On the shelf"),
        _("To order"),
        _("Annexes"),
    ]
    rows: Sequence[Sequence[spreadsheet.Cell]] = [
        [
            order.part.number,
            _supply_words(order.part, language),
            _(", ").join(order.models),
            order.needed,
            order.stock if _sees_stock(person) else None,
            order.quantity,
            _(", ").join(
                f"{names.get(place.annex_id, place.annex_id)} ({place.printer_name}) × {place.count}"
                for place in order.places
            ),
        ]
        for order in found.orders
    ]
    return spreadsheet.table(header, rows, file_name=f"orders-{now:%Y-%m-%d}")


def _visits_table(found: Plan, language: Language, names: dict[str, str], now: datetime) -> Response:
    _ = language.gettext
    header = [_("Order of visits"), _("Annex"), _("What is wrong"), _("Where"), _("Part to carry"), _("How many")]
    rows: list[list[spreadsheet.Cell]] = []
    for place, visit in enumerate(found.visits, 1):
        at: list[spreadsheet.Cell] = [place, names.get(visit.annex_id, visit.annex_id)]
        rows += [[*at, _title(t.cause, language), t.thing, None, None] for t in visit.troubles]
        rows += [
            [*at, None, _(", ").join(c.printers), c.part.number or _fits(c.part, language), c.count]
            for c in visit.parts
        ]
    return spreadsheet.table(header, rows, file_name=f"visits-{now:%Y-%m-%d}")


def _title(cause: str, language: Language) -> str:
    return guidance.guidance(language, cause).title if guidance.has_guidance(cause) else language.name("cause", cause)


def _supply_words(part: levels.Part, language: Language) -> str:
    return " ".join(language.name("word", word) for word in (part.kind, part.colour) if word)


def _fits(part: levels.Part, language: Language) -> str:
    """A part without a number: what it is, and the printer it fits."""
    return " – ".join(filter(None, (_supply_words(part, language), part.model)))
