"""/: every annex with what troubles it."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import annexes, calendars, fleet, readiness
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.things import SEVERITIES
from annexfleet_controller.web import trouble
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import Standing, standing

router = APIRouter(include_in_schema=False)


class Tile(Struct, frozen=True):
    """One device, small."""

    id: str
    name: str
    presence: state.Presence


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
    standing: Standing

    @property
    def is_blocked(self) -> bool:
        """Whether a service cannot be provided, by what is known now."""
        return self.standing.state == "blocked" and not self.standing.is_old

    @property
    def calm(self) -> bool:
        return not self.silent and not self.troubled and not self.is_blocked

    @property
    def hurt(self) -> bool:
        """Whether something does not work, and not only runs low."""
        return self.is_blocked or bool(self.silent) or any(seen.printer.blocked for seen in self.troubled)


class Sums(Struct, frozen=True):
    """The province in a line."""

    online: int
    silent: int
    never: int
    printers: int
    troubled: int
    waiting: float | None


@router.get("/")
def show(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only the annexes."""
    places = annexes.listing(db, person.scope)
    rows = fleet.devices(db, person.scope, now=now)
    known = fleet.known(db, rows, collectors=["printers", "queues"])
    standings = _standings(db, places, person.scope, now, language)
    open_ones = trouble.of_annexes(db, person, language)
    cards = sorted(
        (
            card(
                place,
                [row for row in rows if row.annex_id == place.id],
                known,
                standings[place.id],
                now=now,
                language_code=language.code,
            )
            for place in places
        ),
        key=lambda card: (
            *_urgency(open_ones.get(card.id, ())),
            not card.is_blocked,
            not card.hurt,
            card.calm,
            card.id,
        ),
    )
    return page(
        "province.html",
        block=block if block == "annexes" else "",
        cards=cards,
        sums=_sums(cards),
        trouble=open_ones,
        dates_missing=len(calendars.missing(db, now)) if person.may("edit_province_calendar") else 0,
        may_create=person.may("create_annexes"),
        may_enrol=person.may("manage_tokens"),
        events="/api/v1/events",
    )


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
    printers = fleet.printers(rows, known)
    queues = [seen.queue for seen in fleet.queues(rows, known)]
    fresh = [queue for queue in queues if not queue.stale]
    waiting = [queue.waiting for queue in fresh if queue.waiting is not None]
    return AnnexCard(
        id=place.id,
        name=name_of(place, language_code),
        tiles=sorted(tiles, key=lambda tile: by_urgency(tile.presence, tile.name)),
        online=sum(tile.presence == "online" for tile in tiles),
        silent=sum(tile.presence == "silent" for tile in tiles),
        never=sum(tile.presence == "never" for tile in tiles),
        printers=len(printers),
        troubled=[printer for printer in printers if printer.printer.in_trouble],
        waiting=sum(waiting) if waiting else None,
        longest_wait_s=max((q.longest_wait_s for q in fresh if q.longest_wait_s is not None), default=None),
        stale=len(fresh) < len(queues),
        standing=standing,
    )


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


def _sums(cards: Sequence[AnnexCard]) -> Sums:
    waiting = [card.waiting for card in cards if card.waiting is not None]
    return Sums(
        online=sum(card.online for card in cards),
        silent=sum(card.silent for card in cards),
        never=sum(card.never for card in cards),
        printers=sum(card.printers for card in cards),
        troubled=sum(len(card.troubled) for card in cards),
        waiting=sum(waiting) if waiting else None,
    )
