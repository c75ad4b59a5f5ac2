"""/api/v1/printers: each printer once, whichever devices see it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.store import fleet, overview, sightings
from annexfleet_controller.store.scope import Scope

router = APIRouter(prefix="/api/v1/printers", tags=["printers"], responses=problems.RESPONSES)


class LevelOut(BaseModel):
    """A supply or a tray; the ratio is null where the printer cannot tell."""

    name: str
    kind: str = ""
    colour: str = ""
    media: str = ""
    ratio: float | None


class PrinterOut(BaseModel):
    id: str
    annex: str
    name: str
    model: str
    address: str
    state: str
    causes: list[str]
    reasons: list[str]
    in_trouble: bool
    accepting: bool | None
    paused: bool | None
    jobs: float | None
    oldest_job_age_s: float | None
    pages: float | None
    source: str
    supplies: list[LevelOut]
    trays: list[LevelOut]
    seen_by: list[str]
    at: datetime
    unknown_since: datetime | None
    """Since when none of the devices that see it can be heard, so that its state is only the last known one;
    null while one can."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "id": "3f0c9a3b1d5e7f90aa11bb22", "annex": "berkane-1", "name": "guichet-hp",
                    "model": "HP LaserJet M404", "address": "192.0.2.20:631", "state": "stopped",
                    "causes": ["paper_jam"], "reasons": ["media-jam-error"], "in_trouble": True, "accepting": True,
                    "paused": False, "jobs": 3, "oldest_job_age_s": 240, "pages": 81234, "source": "device_ipp",
                    "supplies": [{"name": "black", "kind": "toner", "colour": "black", "ratio": 0.42}], "trays": [],
                    "seen_by": ["d-abcdefghijklmnopqrstuvwxyz"], "at": "2026-11-23T08:00:00Z", "unknown_since": None,
                }
            ]
        }
    }  # fmt: skip


class PrinterPage(BaseModel):
    items: list[PrinterOut]
    next: str | None = None


@router.get("")
def list_printers(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    annex: Annotated[str, Query(max_length=63)] = "",
    in_trouble: Annotated[bool | None, Query(description="Only those in trouble, or only the others")] = None,
    search: paging.Search = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> PrinterPage:
    """The printers in your sight, by annex and id.  Of a whole country, a new one stands in it a minute later."""
    after = paging.keys(cursor, 2)
    part = search.casefold()
    sighted = [
        one
        for one in _sighted(db, person.scope, now=now, in_trouble=bool(in_trouble))
        if part in one.words
        and (not annex or one.annex_id == annex)
        and (after is None or [one.annex_id, one.id] > after)
    ]
    wanted: list[fleet.SeenPrinter] = []
    while sighted and len(wanted) <= limit:
        some = sighted[: limit + 1 - len(wanted)]
        del sighted[: len(some)]
        wanted += [
            printer
            for printer in _read(db, person.scope, some, now=now)
            if (in_trouble is None or printer.printer.in_trouble == in_trouble)
            and part in sightings.searched(printer.id, printer.printer)
        ]
    return PrinterPage(
        items=[_out(printer, now) for printer in wanted[:limit]],
        next=paging.cursor(*_place(wanted[limit - 1])) if len(wanted) > limit else None,
    )


def _sighted(db: Session, scope: Scope, *, now: datetime, in_trouble: bool) -> list[sightings.Sighting]:
    """All in sight, or those that may be in trouble: where the watch saw more of these, whichever are there."""
    found = sightings.found(db, scope, "printers", now=now)
    if not in_trouble:
        return found
    known = Counter(one.annex_id for one in found if one.in_trouble)
    # The watch looks every two seconds, and a sighting may be a minute old.
    more = {annex_id for annex_id, count in overview.troubled(db, scope).items() if count > known[annex_id]}
    return [one for one in found if one.in_trouble or one.annex_id in more]


def _read(
    db: Session, scope: Scope, sighted: Sequence[sightings.Sighting], *, now: datetime
) -> list[fleet.SeenPrinter]:
    """What the devices that named these printers tell of them now, by annex and id; one may have gone meanwhile."""
    rows = fleet.telling(db, scope, "printers", device_ids={id_ for one in sighted for id_ in one.devices})
    ids = {one.id for one in sighted}
    found = fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]), now=now)
    return sorted((printer for printer in found if printer.id in ids), key=_place)


def _place(printer: fleet.SeenPrinter) -> tuple[str, str]:
    """In the list."""
    return printer.annex_id, printer.id


def _out(seen: fleet.SeenPrinter, now: datetime) -> PrinterOut:
    p = seen.printer
    return PrinterOut(
        id=seen.id, annex=seen.annex_id, name=p.name, model=p.model, address=p.address, state=p.state,
        causes=p.causes, reasons=p.reasons, in_trouble=p.in_trouble, accepting=p.accepting, paused=p.paused,
        jobs=p.jobs, oldest_job_age_s=p.oldest_job_age_s, pages=p.pages, source=p.source,
        supplies=[_level(level) for level in p.supplies], trays=[_level(level) for level in p.trays],
        seen_by=[row.id for row in seen.seen_by], at=p.at, unknown_since=seen.unknown_since(now),
    )  # fmt: skip


def _level(level: state.Level) -> LevelOut:
    return LevelOut(name=level.name, kind=level.kind, colour=level.colour, media=level.media, ratio=level.ratio)
