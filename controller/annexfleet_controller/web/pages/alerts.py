"""/alerts: what is wrong, those incidents first that hold up most people, and who takes care of what."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, dossier, rank, words
from annexfleet_controller.errors import AlreadyAcknowledged, AlreadyOver
from annexfleet_controller.store import alerts, annexes, incidents, readiness
from annexfleet_controller.things import INCIDENT_KINDS, SEVERITIES, Incident, IncidentKind, Severity
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import is_old

router = APIRouter(include_in_schema=False)

_AT_FIRST = 50
_RECENT = timedelta(hours=24)
_RECENT_AT_MOST = 20
_ALONE_AT_MOST = 50

_Ids = Annotated[list[Annotated[int, Field(ge=1, le=2**63 - 1)]], Form(max_length=500)]


@router.get("/incidents")
def moved(person: Annotated[Person, Depends(Needs("look"))]) -> RedirectResponse:
    """Where notices that speak of several incidents lead."""
    return RedirectResponse("/alerts", 303)


@router.get("/alerts")
def show(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    annex: Annotated[str, Query(max_length=63)] = "",
    kind: IncidentKind | Literal[""] = "",
    severity: Severity | Literal[""] = "",
    free: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = _AT_FIRST,
) -> HTMLResponse:
    """Asked by htmx, only the list or the number in the menu."""
    if block == "alerts-count":
        return page("base.html", block="alerts_count", events="/api/v1/events")
    asked = {"annex": annex, "kind": kind, "severity": severity, "free": "true" if free else ""}
    narrowed = {name: value for name, value in asked.items() if value}
    found = incidents.listing(
        db, person.scope, annex_id=annex, kind=kind, severity=severity, acknowledged=False if free else None,
        limit=limit + 1,
    )  # fmt: skip
    say = words.read(db, language)
    shown = sorted(found[:limit], key=rank.order)
    effects = alerts.effects(db, person.scope, [incident.id for incident in shown])
    alone = [] if narrowed else alerts.listing(db, person.scope, alone=True, limit=_ALONE_AT_MOST)
    watched_until = readiness.watched_until(db)
    return page(
        "alerts.html",
        block="list" if block == "list" else "",
        lines=dossier.lines(db, person.scope, shown, say),
        effects={
            incident_id: ([dossier.alert_line(one, say) for one in first], count)
            for incident_id, (first, count) in effects.items()
        },
        alone=[dossier.alert_line(one, say) for one in alone],
        over=dossier.lines(db, person.scope, _over(db, person, now, annex), say),
        watched_until=watched_until,
        is_old=is_old(now, watched_until),
        may_answer=person.may("acknowledge"),
        asked=asked,
        is_narrowed=bool(narrowed),
        query=urlencode(narrowed | ({} if limit == _AT_FIRST else {"limit": limit})),
        more=f"/alerts?{urlencode(narrowed | {'limit': min(500, limit * 3)})}" if len(found) > limit < 500 else "",
        places=[(place.id, name_of(place, language.code)) for place in annexes.listing(db, person.scope)],
        kinds=INCIDENT_KINDS,
        severities=SEVERITIES,
        events="/api/v1/events",
    )


@router.post("/alerts/acknowledge")
def acknowledge(
    *,
    person: Annotated[Person, Depends(Needs("acknowledge"))],
    db: WritingDb,
    now: Now,
    incident: _Ids = [],  # noqa: B006  # FastAPI makes a new one for each request
    alert: _Ids = [],  # noqa: B006
    note: Annotated[str, Form(max_length=answers.LONGEST_NOTE)] = "",
) -> Response:
    """Take all that is ticked in charge.  What somebody else has, or what is over meanwhile, stays as it is."""
    for incident_id in dict.fromkeys(incident):
        with _leaving_others():
            answers.acknowledge(db, person.scope, incident_id, by=person.name, note=note, now=now)
    if alert:
        with _leaving_others():
            answers.acknowledge_alerts(db, person.scope, list(dict.fromkeys(alert)), by=person.name, note=note, now=now)
    return RedirectResponse("/alerts", 303)


@contextmanager
def _leaving_others() -> Iterator[None]:
    """What somebody was quicker with is no error among many; the list shows who has it."""
    with suppress(AlreadyAcknowledged, AlreadyOver):
        yield


def _over(db: Session, person: Person, now: datetime, annex_id: str) -> Sequence[Incident]:
    """What ended of late, the last first."""
    found = [
        one for one in incidents.recent(db, person.scope, since=now - _RECENT)
        if one.state == "resolved" and (not annex_id or (annex_id in one.annexes and person.scope.covers(annex_id)))
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.resolved_at or now, one.id), reverse=True)[:_RECENT_AT_MOST]
