"""/api/v1/incidents: alerts with one cause, those first that hold up most people; and what people do about them."""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, dossier, words
from annexfleet_controller.alerts.dossier import AlertLine, Dossier, IncidentLine
from annexfleet_controller.api import paging, problems
from annexfleet_controller.api.alerts import AlertOut, Note, ThingOut, id_key, moment_key, outs
from annexfleet_controller.api.fixes import ClaimOut, claim_out
from annexfleet_controller.errors import Invalid
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store import incidents
from annexfleet_controller.things import Incident, IncidentKind, IncidentState, Severity

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Answering = Annotated[Person, Depends(Needs("acknowledge"))]
Asking = Annotated[Person, Depends(Needs("ask_help"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}

_EXAMPLE: dict[str, JsonValue] = {
    "id": 12, "kind": "printer", "cause": "paper_jam", "title": "Paper jam (guichet-hp)",
    "action": "Open the printer and take out the paper.", "annex": "berkane-1", "annexes": ["berkane-1"],
    "thing": {"kind": "printer", "id": "3f0c9a3b1d5e7f90aa11bb22"}, "state": "open", "severity": "critical",
    "facts": {"printer": "guichet-hp"}, "began_at": "2026-11-25T09:41:00Z", "opened_at": "2026-11-25T09:43:00Z",
    "ended_at": None, "resolved_at": None, "acknowledged_at": None, "acknowledged_by": "", "muted": False,
    "rank": {
        "score": 336.0, "people_waiting": 12.0, "people_estimated": False, "services_blocked": ["residence", "cnie"],
        "services_degraded": [], "minutes": 14.0,
        "reason": "12 people waiting, 2 services blocked, for 14 min of opening time",
    },
    "help_asked_at": None, "help_asked_by": "", "may_acknowledge": True,
}  # fmt: skip


class RankOut(BaseModel):
    """Why it stands where it stands: `score` is people x services x minutes, `reason` the same in words."""

    score: float
    people_waiting: float
    people_estimated: Annotated[bool, Field(description="The average of opening hours, as nobody counts")]
    services_blocked: list[str]
    services_degraded: list[str]
    minutes: Annotated[float, Field(description="Of opening time since it began")]
    reason: str


class IncidentOut(BaseModel):
    id: int
    kind: IncidentKind
    cause: str
    title: Annotated[str, Field(description="In the caller's language, as `action`")]
    action: str
    annex: Annotated[str, Field(description="Empty where it is about several annexes, or none")]
    annexes: Annotated[list[str], Field(description="Those in your sight that it touches")]
    thing: ThingOut
    state: IncidentState
    severity: Severity
    facts: dict[str, str | float]
    began_at: Annotated[datetime, Field(description="By the evidence; corrected when more arrives")]
    opened_at: Annotated[datetime, Field(description="When we noticed")]
    ended_at: datetime | None
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    muted: Annotated[bool, Field(description="Whether maintenance keeps all of it quiet")]
    rank: RankOut
    help_asked_at: datetime | None
    help_asked_by: str
    may_acknowledge: Annotated[bool, Field(description="Whether none of it lies beyond your annexes")]

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class EventOut(BaseModel):
    """One line of the story; `text` is what it says besides its kind and who wrote it."""

    at: datetime
    kind: str
    by: str
    text: str
    facts: dict[str, str | float]


class RepairOut(BaseModel):
    title: str
    action: str


class RemedyOut(BaseModel):
    repairs: list[RepairOut]
    restores: Annotated[list[str], Field(description="Services, by their names in the caller's language")]


class SaidOut(BaseModel):
    contact: str
    channel: str
    what: str
    state: str
    at: datetime
    reason: str


class IncidentDetail(IncidentOut):
    causes: list[AlertOut]
    effects: list[AlertOut]
    story: Annotated[list[EventOut], Field(description="Oldest first")]
    remedies: Annotated[list[RemedyOut], Field(description="The smallest repairs that bring its services back")]
    told: Annotated[
        list[SaidOut], Field(description="Who was told, or will be; empty if it reaches beyond your annexes")
    ]
    fix: Annotated[ClaimOut, Field(description="The newest word that it is mended")]


class HelpOut(IncidentOut):
    """The incident, and whom the call reached so far."""

    people_told_count: Annotated[int, Field(description="Who is reached in several ways counts once; systems do not")]
    told_outcome: Annotated[
        Literal["told", "later", "nobody"],
        Field(description="`later`: contacts are set, and none can be told now; `nobody`: none is set"),
    ]
    told_text: Annotated[str, Field(description="The same in the caller's language")]

    model_config = {
        "json_schema_extra": {
            "examples": [{
                **_EXAMPLE, "help_asked_at": "2026-11-25T09:50:00Z", "help_asked_by": "karim",
                "people_told_count": 2, "told_outcome": "told", "told_text": "2 people were told",
            }]
        }
    }  # fmt: skip


class IncidentPage(BaseModel):
    items: list[IncidentOut]
    next: str | None = None


class Acknowledging(BaseModel):
    note: Note = ""


class Asked(BaseModel):
    note: Annotated[Note, Field(description="What the helper should know; it is sent along")] = ""

    model_config = {"json_schema_extra": {"examples": [{"note": "It smells of smoke"}]}}


class NewNote(BaseModel):
    note: Annotated[str, Field(min_length=1, max_length=answers.LONGEST_NOTE)]

    model_config = {"json_schema_extra": {"examples": [{"note": "The provider says before noon"}]}}


@router.get("")
def list_incidents(
    *,
    person: Looking,
    db: Db,
    language: LanguageOf,
    state: IncidentState | Literal["all"] = "open",
    annex: Annotated[str, Query(max_length=63)] = "",
    kind: IncidentKind | None = None,
    severity: Severity | None = None,
    acknowledged: Annotated[bool | None, Query(description="Whether somebody has taken it in charge")] = None,
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> IncidentPage:
    """Incidents in your sight, the highest rank first, of equal ones the newest.

    Ranks grow with time: one that moves up between two pages may be missed, and shows when the list is read anew.
    """
    found = incidents.listing(
        db, person.scope, state="" if state == "all" else state, annex_id=annex, kind=kind or "",
        severity=severity or "", acknowledged=acknowledged,
        before=_before(cursor), limit=limit + 1,
    )  # fmt: skip
    last = found[limit - 1] if len(found) > limit else None
    shown = dossier.lines(db, person.scope, found[:limit], words.read(db, language))
    return IncidentPage(items=[_out(line) for line in shown], next=_cursor(last) if last else None)


@router.get("/{incident_id}")
def show_incident(incident_id: Id, person: Looking, db: Db, language: LanguageOf, now: Now) -> IncidentDetail:
    """One incident: causes and effects, its story, the smallest repair, who was told, and whether it is mended."""
    return _detail(db, person, incident_id, language, now)


class Acts:
    """What every act needs besides who acts: it is done once for an Idempotency-Key, and answers the incident."""

    def __init__(self, language: LanguageOf, once: OnceOf, now: Now) -> None:
        self.now = now
        self._language = language
        self._once = once

    def do(self, person: Person, asked: dict[str, Any], act: Callable[[Session], Incident]) -> IncidentOut:
        def work(db: Session) -> dict[str, Any]:
            (line,) = dossier.lines(db, person.scope, [act(db)], words.read(db, self._language))
            return _out(line).model_dump(mode="json")

        return IncidentOut.model_validate(self._once.do(person, asked, work, now=self.now))

    def call_for_help(self, person: Person, asked: dict[str, Any], act: Callable[[Session], Incident]) -> HelpOut:
        """As `do`, and whom it reached."""

        def work(db: Session) -> dict[str, Any]:
            say = words.read(db, self._language)
            (line,) = dossier.lines(db, person.scope, [act(db)], say)
            called = dossier.called(db, line)
            assert called is not None, "somebody asked just now, or before"
            told = {
                "people_told_count": called.people_count, "told_outcome": called.outcome,
                "told_text": plain(say.called(called)),
            }  # fmt: skip
            return _out(line).model_dump(mode="json") | told

        return HelpOut.model_validate(self._once.do(person, asked, work, now=self.now))


Acting = Annotated[Acts, Depends()]


@router.post("/{incident_id}/acknowledge", responses=_CONFLICT)
def acknowledge_incident(
    incident_id: Id, person: Answering, acts: Acting, asked: Acknowledging | None = None
) -> IncidentOut:
    """Take an incident in charge, with its alerts.

    409 where it is over, or where somebody else has it: `other` names them.
    """
    note = asked.note if asked else ""

    def act(db: Session) -> Incident:
        return answers.acknowledge(db, person.scope, incident_id, by=person.name, note=note, now=acts.now)

    return acts.do(person, {"note": note}, act)


@router.post("/{incident_id}/withdraw", responses=_CONFLICT)
def withdraw_incident(incident_id: Id, person: Answering, acts: Acting) -> IncidentOut:
    """Hand an incident back, with its alerts: nobody has it then, and reminders go on."""

    def act(db: Session) -> Incident:
        return answers.withdraw(db, person.scope, incident_id, by=person.name, now=acts.now)

    return acts.do(person, {}, act)


@router.post("/{incident_id}/note")
def note_incident(incident_id: Id, asked: NewNote, person: Answering, acts: Acting) -> IncidentOut:
    """Add a note to its story, also when it is over."""

    def act(db: Session) -> Incident:
        return answers.note(db, person.scope, incident_id, asked.note, by=person.name, now=acts.now)

    return acts.do(person, asked.model_dump(), act)


@router.post("/{incident_id}/help", responses=_CONFLICT)
def ask_for_help(incident_id: Id, person: Asking, acts: Acting, asked: Asked | None = None) -> HelpOut:
    """Say that one cannot mend it: technicians and provincial IT are told, and it is marked so for all.

    Asked again within half an hour, nobody is told twice.
    """
    note = asked.note if asked else ""

    def act(db: Session) -> Incident:
        return answers.ask_help(db, person.scope, incident_id, by=person.name, note=note, now=acts.now)

    return acts.call_for_help(person, {"note": note} if note else {}, act)


def _detail(db: Session, person: Person, incident_id: int, language: Language, now: datetime) -> IncidentDetail:
    found: Dossier = dossier.read(db, person.scope, incident_id, language)
    say = words.read(db, language)

    def told(lines: list[AlertLine]) -> list[AlertOut]:
        return outs([line.alert for line in lines], say)

    return IncidentDetail(
        **_out(found.of).model_dump(),
        causes=told(found.causes),
        effects=told(found.effects),
        story=[
            EventOut(at=one.line.at, kind=one.line.kind, by=one.line.by, text=plain(one.text), facts=one.line.facts)
            for one in found.story
        ],
        remedies=[
            RemedyOut(
                repairs=[RepairOut(title=plain(r.title), action=plain(r.action)) for r in one.repairs],
                restores=list(one.restores),
            )
            for one in found.repairs
        ],
        told=[
            SaidOut(
                contact=one.contact, channel=one.channel, what=one.what, state=one.state, at=one.at, reason=one.reason
            )
            for one in found.said
        ],
        fix=claim_out(incident_id, found.claim, now),
    )


def _out(line: IncidentLine) -> IncidentOut:
    of, rank = line.incident, line.incident.rank
    return IncidentOut(
        id=of.id, kind=of.kind, cause=of.cause, title=plain(line.words.title), action=plain(line.words.action),
        annex=of.annex_id, annexes=list(of.annexes), thing=ThingOut(kind=of.thing.kind, id=of.thing.id),
        state=of.state, severity=of.severity, facts=of.facts, began_at=of.began_at, opened_at=of.opened_at,
        ended_at=of.ended_at, resolved_at=of.resolved_at, acknowledged_at=of.acknowledged_at,
        acknowledged_by=of.acknowledged_by, muted=of.muted,
        rank=RankOut(
            score=rank.score, people_waiting=rank.people_waiting, people_estimated=rank.people_estimated,
            services_blocked=list(rank.services_blocked), services_degraded=list(rank.services_degraded),
            minutes=rank.minutes, reason=line.reason,
        ),
        help_asked_at=line.help_asked.at if line.help_asked else None,
        help_asked_by=line.help_asked.by if line.help_asked else "", may_acknowledge=line.whole,
    )  # fmt: skip


def _cursor(last: Incident) -> str:
    return paging.cursor(repr(last.rank.score), last.opened_at.isoformat(), str(last.id))


def _before(cursor: str) -> tuple[float, datetime, int] | None:
    keys = paging.keys(cursor, 3)
    if keys is None:
        return None
    try:
        score = float(keys[0])
    except ValueError:
        raise Invalid("not a cursor", field="cursor") from None
    if not math.isfinite(score):
        raise Invalid("not a cursor", field="cursor")
    return score, moment_key(keys[1]), id_key(keys[2])
