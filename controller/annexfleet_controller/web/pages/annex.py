"""/annexes/<id>: what one annex can provide, what stands where in it, who waits, what is planned, whom to call."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.notify import book
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.state import Known
from annexfleet_controller.store import alerts, annexes, calendars, contacts, fleet, maintenance, readiness, rollouts
from annexfleet_controller.store import rooms as rooms_store
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.things import Thing
from annexfleet_controller.web import condition, queue_day, rooms, trouble
from annexfleet_controller.web.pages import hours, maintained, province
from annexfleet_controller.web.pages.queue import service_names
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import standing

router = APIRouter(include_in_schema=False)

_PLANNED = 3
_MOST_ALERTS = 500
_BLOCKS = ("state", "queues_today")


class Called(Struct, frozen=True):
    """Somebody who is told of trouble here.  How they are reached is theirs: only the way is shown."""

    name: str
    kind: str
    audiences: tuple[str, ...]
    level: int


@router.get("/annexes/{annex_id}")
def show(
    *,
    annex_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only its state, or only how its queues went today."""
    place = annexes.get(db, person.scope, annex_id)
    rows = fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    known = fleet.known(db, rows, collectors=["printers", "queues", "portal"])
    queues = fleet.queues(rows, known)
    found: dict[str, Any] = {"events": f"/api/v1/events?annex={place.id}", "place": place, "queues": queues}
    found["service_names"] = service_names(db, language)
    calendar = calendars.of(db, place.id)
    if block != "state":
        found["days"] = queue_day.days(db, queues, calendar, now=now)
    if block != "queues_today":
        found |= _state(db, person, place, (rows, known), language=language, now=now)
    if block not in _BLOCKS:
        found |= {
            "week": hours.week(calendar, now, language),
            "opening": hours.state(calendar, now, language),
            "unusual": hours.unusual(calendar, now)[:2],
            "planned": _planned(db, person, place, now, language),
            "rollouts": _rollouts(db, person.scope, place.id),
            "called": _called(db, place.id),
        }
    return page("annex.html", block=block if block in _BLOCKS else "", **found)


def _state(
    db: Session,
    person: Person,
    place: Annex,
    told: tuple[list[fleet.DeviceRow], dict[int, Known]],
    *,
    language: Language,
    now: datetime,
) -> dict[str, Any]:
    """What moves."""
    rows, known = told
    stands = standing(
        readiness.now_of(db, place.id),
        services=catalogue(readiness.own_services(db)),
        language=language,
        annex_name=province.name_of(place, language.code),
        now=now,
        watched_until=readiness.watched_until(db),
        portals=_portals(rows, known, now),
        spans=readiness.current(db, person.scope, [place.id]).get(place.id),
    )
    devices = sorted(
        ((row, row.presence(now)) for row in rows), key=lambda pair: province.by_urgency(pair[1], pair[0].name)
    )
    printers = fleet.printers(rows, known, now=now)
    return {
        "card": province.card(place, rows, known, stands, now=now, language_code=language.code),
        "standing": stands,
        "trouble": trouble.of_annexes(db, person, language, annex_id=place.id).get(place.id, []),
        "edit_services_href": f"/annexes/{place.id}/services" if person.may("edit_services") else "",
        "devices": devices,
        "printers": printers,
        "rooms": rooms.rooms(
            devices, printers, of_devices=rooms_store.of_devices(db, place.id),
            of_printers=rooms_store.of_printers(db, place.id), now=now,
            troubles=_troubles(db, person, place.id, language),
        ),
        "maintained": maintained.on_annex(db, place.id, now=now),
        "may_enrol": person.may("manage_tokens"),
    }  # fmt: skip


def _troubles(db: Session, person: Person, annex_id: str, language: Language) -> dict[Thing, condition.Condition]:
    """The worst of what is open about each thing here."""
    found = alerts.listing(db, person.scope, annex_id=annex_id, limit=_MOST_ALERTS)
    return condition.of_things(found, words.read(db, language)) if found else {}


def _portals(rows: Sequence[fleet.DeviceRow], known: Mapping[int, Known], now: datetime) -> dict[str, str]:
    """A device that tells of each portal, by the portal's name: one that can be heard where there is one."""
    found: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row.presence(now) != "online"):
        for subject in known[row.number].subjects("portal:"):
            found.setdefault(subject.removeprefix("portal:"), row.id)
    return found


def _planned(db: Session, person: Person, place: Annex, now: datetime, language: Language) -> list[maintained.Line]:
    """The next maintenance here."""
    found = maintenance.to_come(db, person.scope, now=now, annex_id=place.id, limit=_PLANNED)
    return maintained.lines(db, person, found, now=now, language=language) if found else []


def _rollouts(db: Session, scope: Scope, annex_id: str) -> list[rollouts.Summary]:
    """What is being rolled out here, and what may begin at any moment."""
    under_way = rollouts.listing(db, scope, state="open", annex_id=annex_id, limit=_PLANNED)
    approved = rollouts.listing(db, scope, state="approved", annex_id=annex_id, limit=_PLANNED)
    return [*under_way, *approved]


def _called(db: Session, annex_id: str) -> list[Called]:
    """Who is told of trouble in this annex, those first who are told at once."""
    routes = contacts.routes(db)
    found = []
    for contact in contacts.listening(db):
        here = [
            route for route in map(book.route, routes.get(contact.id, ()))
            if route.annexes is None or annex_id in route.annexes
        ]  # fmt: skip
        if here:
            audiences = dict.fromkeys(audience for route in here for audience in route.audiences)
            found.append(Called(contact.name, contact.kind, tuple(audiences), min(route.level for route in here)))
    return sorted(found, key=lambda one: (one.level, one.name))
