"""/mine: what a technician does today, on a telephone: incidents, visits with their parts, what is planned."""

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, dossier, words
from annexfleet_controller.errors import AlreadyAcknowledged, AlreadyOver
from annexfleet_controller.i18n import guidance
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.settings import Home
from annexfleet_controller.store import incidents, maintenance, places, rollouts, supply_plan
from annexfleet_controller.supplies import plan
from annexfleet_controller.web.pages import maintained
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(prefix="/mine", include_in_schema=False)

Working = Annotated[Person, Depends(Needs("acknowledge"))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Part = Literal["incidents", "visits", "plans"]

MOST_FREE = 20
MOST_OWN = 50
MOST_VISITS = 60
_MOST_ROLLOUTS = 20
_MOST_PLANNED = 5


class Stop(Struct, frozen=True):
    """One annex of the way."""

    annex_id: str
    name: str
    note: str
    telephones: tuple[tuple[str, str], ...]
    """Name and number."""
    visit: plan.Visit


class Leg(Struct, frozen=True):
    """The stops of one district, the one that needs it most first."""

    district: str
    """Empty for annexes of none."""
    stops: list[Stop]


@router.get("")
def show(
    *, person: Working, db: Db, now: Now, home: HomeOf, language: LanguageOf, page: Page, block: WantedBlock,
    part: Annotated[Part, Query(alias="show")] = "incidents", taken: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
) -> HTMLResponse:  # fmt: skip
    """One of three parts, so that each comes quickly over a telephone's line."""
    if part == "visits":
        found = _visits(db, person, language, home, now=now)
    elif part == "plans":
        found = _plans(db, person, language, now=now)
    else:
        found = _incidents(db, person, language)
    return page(
        "mine.html",
        block="state" if block == "state" else "",
        part=part,
        taken_by=_holder(db, person, taken) if taken else "",
        events="/api/v1/events" if part == "incidents" else "",
        **found,
    )


@router.post("/incidents/{incident_id}/take")
def take(incident_id: Id, person: Working, db: WritingDb, now: Now) -> Response:
    """Where somebody was quicker the page says who."""
    try:
        answers.acknowledge(db, person.scope, incident_id, by=person.name, now=now)
    except AlreadyAcknowledged:
        return RedirectResponse(f"/mine?taken={incident_id}", 303)
    except AlreadyOver:
        pass
    return RedirectResponse(f"/mine#incident-{incident_id}", 303)


@router.post("/incidents/{incident_id}/hand-back")
def hand_back(incident_id: Id, person: Working, db: WritingDb, now: Now) -> Response:
    with suppress(AlreadyOver):
        answers.withdraw(db, person.scope, incident_id, by=person.name, now=now)
    return RedirectResponse("/mine", 303)


def _incidents(db: Session, person: Person, language: Language) -> dict[str, object]:
    own = incidents.held_by(db, person.scope, person.name, limit=MOST_OWN)
    free = incidents.listing(db, person.scope, acknowledged=False, limit=MOST_FREE + 1)
    free = [one for one in free if not one.muted]
    say = words.read(db, language)
    of = {line.incident.id: line for line in dossier.lines(db, person.scope, [*own, *free], say)}
    ids = {annex_id for line in of.values() for annex_id in line.incident.annexes[:1]}
    return {
        "own": [of[one.id] for one in own],
        "free": [of[one.id] for one in free[:MOST_FREE]],
        "more_free": len(free) > MOST_FREE,
        "about": places.about(db, person.scope, ids),
    }


def _holder(db: Session, person: Person, incident_id: int) -> str:
    """Who has an incident that somebody else took first."""
    found = incidents.in_sight(db, person.scope, [incident_id])
    return found[0].acknowledged_by if found else ""


def _visits(db: Session, person: Person, language: Language, home: Home, *, now: Now) -> dict[str, object]:
    settings = home.settings
    made = supply_plan.made(
        db, person.scope, now=now, goes=lambda incident: guidance.is_for_technician(incident.cause),
        lead_days=settings.supply_lead_opening_days, horizon_days=settings.supply_horizon_opening_days,
    )  # fmt: skip
    visits = made.visits[:MOST_VISITS]
    about = places.about(db, person.scope, {visit.annex_id for visit in visits})
    return {
        "legs": _legs(visits, about, language),
        "more_visits": len(made.visits) - len(visits),
        "titles": {
            trouble.cause: guidance.guidance(language, trouble.cause).title
            for visit in visits
            for trouble in visit.troubles
        },
        "loads": _load(visits),
    }


def _load(visits: list[plan.Visit]) -> list[tuple[object, int]]:
    """All parts of the way together: what to put into the car."""
    parts: dict[str, tuple[object, int]] = {}
    for visit in visits:
        for carry in visit.parts:
            part, count = parts.get(carry.part.key, (carry.part, 0))
            parts[carry.part.key] = (part, count + carry.count)
    return [parts[key] for key in sorted(parts)]


def _legs(visits: list[plan.Visit], about: "dict[str, places.About]", language: Language) -> list[Leg]:
    """By district, that of the most pressing visit first: nobody drives past an annex to come back tomorrow."""
    of: dict[str, list[Stop]] = {}
    names: dict[str, str] = {}
    for visit in visits:
        place = about.get(visit.annex_id)
        if place is None:
            continue
        names[place.district_id] = place.district(language.code)
        of.setdefault(place.district_id, []).append(
            Stop(visit.annex_id, place.name(language.code), place.note, place.telephones, visit)
        )
    return [Leg(names[district], stops) for district, stops in of.items()]


def _plans(db: Session, person: Person, language: Language, *, now: Now) -> dict[str, object]:
    waiting = []
    if person.may("approve_rollouts"):
        found = rollouts.listing(db, person.scope, state="submitted", limit=_MOST_ROLLOUTS)
        waiting = [one for one in found if one.author != person.name and rollouts.may_change(db, person.scope, one.id)]
    own = rollouts.of_author(db, person.scope, person.name, limit=_MOST_ROLLOUTS)
    to_come = maintenance.to_come(db, person.scope, now=now)
    mine = [one for one in to_come if one.author == person.name][:_MOST_PLANNED]
    return {
        "to_approve": waiting,
        "own_rollouts": own,
        "works": maintained.lines(db, person, mine, now=now, language=language),
        "may_plan": person.may("plan_maintenance"),
    }
