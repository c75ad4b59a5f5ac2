"""/: how ready every annex is, what presses most, and what changed: one page for one annex and for two thousand."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, rank, words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.model import STATES
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import annexes, calendars, fleet, incidents, readiness
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.things import SEVERITIES
from annexfleet_controller.web import happened, overview, trouble
from annexfleet_controller.web.overview import Asked
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import Standing, standing

router = APIRouter(include_in_schema=False)


class Tile(Struct, frozen=True):
    """One device, small."""

    id: str
    name: str
    presence: state.Presence


class Lately(Struct, frozen=True):
    """How many people waited when that was known last."""

    since: datetime
    waiting: float | None


class AnnexCard(Struct, frozen=True):
    """One annex at a glance."""

    id: str
    name: str
    tiles: list[Tile]
    online: int
    silent: int
    never: int
    printers: int
    troubled: list[fleet.SeenPrinter]
    waiting: float | None
    """People waiting in all queues that are known; None where none is."""
    longest_wait_s: float | None
    stale: bool
    """True if a queue's figures are too old to be believed."""
    waited: Lately | None
    """Where nobody can tell now who waits, when and what was told last."""
    unseen: int
    """Printers that nobody who can be heard sees: of these nothing is known."""
    unseen_since: datetime | None
    """When the last of them was seen; None where there is none."""
    unseen_troubled: int
    """Of those printers, how many were in trouble when they were seen last."""
    standing: Standing

    @property
    def is_blocked(self) -> bool:
        """Whether a service cannot be provided, by what is known now."""
        return self.standing.state == "blocked" and not self.standing.is_old

    @property
    def calm(self) -> bool:
        return not (self.silent or self.troubled or self.unseen or self.is_blocked)

    @property
    def hurt(self) -> bool:
        """Whether something does not work, and not only runs low."""
        return self.is_blocked or bool(self.silent) or any(seen.printer.blocked for seen in self.troubled)


_CARDS = 24
"""So many annexes have room for a card each, with their devices; more are tiles and a list."""
_INCIDENTS = 6
_LONGEST_SEARCH = 80


def asked(
    *,
    q: Annotated[str, Query(max_length=_LONGEST_SEARCH)] = "",
    state: Annotated[str, Query(max_length=16)] = "",
    district: Annotated[str, Query(max_length=63)] = "",
    service: Annotated[str, Query(max_length=64)] = "",
    days: Annotated[int, Query(ge=1, le=7)] = 1,
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Asked:
    known = state if state in (*STATES, "maintenance") else ""
    return Asked(q=q.strip(), state=known, district=district, service=service, days=7 if days > 1 else 1, page=page)


AskedOf = Annotated[Asked, Depends(asked)]


@router.get("/")
def show(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    of: AskedOf,
) -> HTMLResponse:
    """Asked by htmx, only the annexes, or only the trends."""
    known = catalogue(readiness.own_services(db))
    offered = [(code, service.name(language.code)) for code, service in known.items()]
    seen = overview.picture(db, person.scope, of, services=offered, language=language, now=now)
    say = words.Words(language, known, seen.names)
    return page(
        "province.html",
        block=block if block in ("annexes", "trends") else "",
        asked=of,
        seen=seen,
        order=overview.ORDER,
        at=min(of.page, seen.pages),
        listed=seen.page(min(of.page, seen.pages)),
        trends=overview.trends(
            db, person.scope, days=of.days, now=now,
            annexes=[spot.id for spot in seen.spots] if of.district else None,
        ) if block != "annexes" else [],
        hour=happened.last_hour(db, person.scope, say, now=now) if block != "trends" else None,
        lines=worst(db, person.scope, of, seen, say, at_most=_INCIDENTS) if block != "trends" else [],
        **_cards(db, person, seen, language, now),
        dates_missing=len(calendars.missing(db, now)) if person.may("edit_province_calendar") else 0,
        may_create=person.may("create_annexes"),
        may_enrol=person.may("manage_tokens"),
        events="/api/v1/events",
    )  # fmt: skip


def worst(
    db: Session, scope: Scope, of: Asked, seen: overview.Picture, say: words.Words, *, at_most: int
) -> list[dossier.IncidentLine]:
    """The open incidents that keep most people waiting, in the district that is asked for, or anywhere."""
    found = sorted(incidents.listing(db, scope, limit=200 if of.district else 2 * at_most), key=rank.order)
    if of.district:
        here = {spot.id for spot in seen.spots}
        found = [incident for incident in found if not here.isdisjoint(incident.annexes)]
    return dossier.lines(db, scope, found[:at_most], say)


def _cards(db: Session, person: Person, seen: overview.Picture, language: Language, now: datetime) -> dict[str, Any]:
    """Where there are few annexes, a card of each with what its devices tell; else none."""
    if seen.total > _CARDS:
        return {"cards": None, "trouble": {}}
    shown = {spot.id for spot in seen.spots}
    rows = fleet.devices(db, person.scope, now=now)
    known = fleet.known(db, rows, collectors=["printers", "queues"])
    places = [place for place in annexes.listing(db, person.scope) if place.id in shown]
    standings = _standings(db, places, person.scope, now, language)
    open_ones = trouble.of_annexes(db, person, language)
    cards = [
        card(
            place, [row for row in rows if row.annex_id == place.id], known, standings[place.id], now=now,
            language_code=language.code,
        )
        for place in places
    ]  # fmt: skip
    cards.sort(
        key=lambda card: (
            *_urgency(open_ones.get(card.id, ())), not card.is_blocked, not card.hurt, card.calm, card.id,
        )
    )  # fmt: skip
    return {"cards": cards, "trouble": open_ones}


def _urgency(open_ones: Sequence[dossier.IncidentLine]) -> tuple[float, int]:
    """A key that puts the annex first whose incidents keep most people waiting, then the one with the most severe."""
    of = [line.incident for line in open_ones if not line.incident.muted]
    worst = max((SEVERITIES.index(incident.severity) for incident in of), default=-1)
    return -max((incident.rank.score for incident in of), default=0.0), -worst


def card(
    place: Annex,
    rows: Sequence[fleet.DeviceRow],
    known: dict[int, state.Known],
    standing: Standing,
    *,
    now: Now,
    language_code: str,
) -> AnnexCard:
    """What a person must see of an annex first."""
    tiles = [Tile(row.id, row.name, row.presence(now)) for row in rows]
    printers = fleet.printers(rows, known, now=now)
    unseen = [since for printer in printers if (since := printer.unknown_since(now)) is not None]
    queues = fleet.believed_queues(fleet.queues(rows, known), now)
    fresh = [seen.queue for seen in queues if seen.unknown_since(now) is None]
    waiting = [queue.waiting for queue in fresh if queue.waiting is not None]
    return AnnexCard(
        id=place.id,
        name=name_of(place, language_code),
        tiles=sorted(tiles, key=lambda tile: by_urgency(tile.presence, tile.name)),
        online=sum(tile.presence == "online" for tile in tiles),
        silent=sum(tile.presence == "silent" for tile in tiles),
        never=sum(tile.presence == "never" for tile in tiles),
        printers=len(printers),
        troubled=[seen for seen in printers if seen.printer.in_trouble and seen.unknown_since(now) is None],
        waiting=sum(waiting) if waiting else None,
        longest_wait_s=max((q.longest_wait_s for q in fresh if q.longest_wait_s is not None), default=None),
        stale=len(fresh) < len(queues),
        waited=_lately(queues, now) if not waiting else None,
        unseen=len(unseen),
        unseen_since=max(unseen, default=None),
        unseen_troubled=sum(p.printer.in_trouble for p in printers if p.unknown_since(now) is not None),
        standing=standing,
    )


def _lately(queues: Sequence[fleet.SeenQueue], now: datetime) -> Lately | None:
    """Of queues that were known once; None where none is unknown now."""
    unknown = [(since, seen.queue.waiting) for seen in queues if (since := seen.unknown_since(now)) is not None]
    if not unknown:
        return None
    told = [waiting for _, waiting in unknown if waiting is not None]
    return Lately(max(since for since, _ in unknown), sum(told) if told else None)


def _standings(db: Db, places: Sequence[Annex], scope: Scope, now: Now, language: LanguageOf) -> dict[str, Standing]:
    names = {place.id: name_of(place, language.code) for place in places}
    known, watched_until = catalogue(readiness.own_services(db)), readiness.watched_until(db)
    return {
        found.readiness.annex_id: standing(
            found, services=known, language=language, annex_name=names[found.readiness.annex_id], now=now,
            watched_until=watched_until,
        )
        for found in readiness.now(db, scope)
        if found.readiness.annex_id in names
    }  # fmt: skip


def by_urgency(presence: state.Presence, name: str) -> tuple[int, list[tuple[int, str]]]:
    """A key that puts the silent first, and counter-2 before counter-10."""
    parts = re.split(r"(\d{1,15})", name)
    return _URGENCY[presence], [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


_URGENCY = {"silent": 0, "never": 1, "online": 2, "revoked": 3}


def name_of(place: Annex, language_code: str) -> str:
    """An annex's name as its reader writes it; French stands in for English."""
    return place.name_ar if language_code == "ar" else place.name_fr


def names_of(db: Session, scope: Scope, language_code: str, *, with_retired: bool = False) -> dict[str, str]:
    """The names of all annexes in sight, by id and in its order: of a whole country a few milliseconds."""
    which = 1 if language_code == "ar" else 0
    return {id_: of[which] for id_, of in annexes.names(db, scope, with_retired=with_retired).items()}
