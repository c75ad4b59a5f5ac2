"""/api/v1/alerts: what is wrong with which thing, and who has taken it in charge."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, words
from annexfleet_controller.alerts.words import Words
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import Invalid
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store import alerts
from annexfleet_controller.things import THING_KINDS, Alert, AlertState, Severity, Thing, ThingKind

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Answering = Annotated[Person, Depends(Needs("acknowledge"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]
Note = Annotated[str, Field(max_length=answers.LONGEST_NOTE)]
Ids = Annotated[list[Annotated[int, Field(ge=1, le=paging.LARGEST_ID)]], Field(min_length=1, max_length=500)]

_EXAMPLE: dict[str, JsonValue] = {
    "id": 41, "rule": "printer.blocked", "thing": {"kind": "printer", "id": "3f0c9a3b1d5e7f90aa11bb22"}, "part": "",
    "annex": "berkane-1", "state": "open", "severity": "critical", "cause": "paper_jam",
    "title": "Paper jam (guichet-hp)", "action": "Open the printer and take out the paper.",
    "facts": {"printer": "guichet-hp"}, "since": "2026-11-25T09:41:00Z", "opened_at": "2026-11-25T09:43:00Z",
    "cleared_at": None, "evidence_at": "2026-11-25T09:58:00Z", "flaps": 0, "acknowledged_at": None,
    "acknowledged_by": "", "note": "", "muted_by": None, "suppressed_by": "", "incident": 12, "is_effect": False,
}  # fmt: skip
_STATES: dict[str, tuple[str, ...]] = {"all": ("pending", "open", "cleared")}


class ThingOut(BaseModel):
    kind: ThingKind
    id: str


class AlertOut(BaseModel):
    """`title` and `action` are in the caller's language; `facts` are what they are made from."""

    id: int
    rule: str
    thing: ThingOut
    part: str
    annex: Annotated[str, Field(description="Empty for what belongs to no annex")]
    state: AlertState
    severity: Severity
    cause: str
    title: str
    action: str
    facts: dict[str, str | float]
    since: datetime
    opened_at: datetime | None
    cleared_at: datetime | None
    evidence_at: Annotated[datetime, Field(description="Of the newest reading that it was judged by")]
    flaps: int
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    muted_by: Annotated[int | None, Field(description="The maintenance that keeps it quiet")]
    suppressed_by: Annotated[str, Field(description="The rule whose alert explains it")]
    incident: int | None
    is_effect: Annotated[bool, Field(description="Whether another alert of its incident is the cause")]

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class AlertPage(BaseModel):
    items: list[AlertOut]
    next: str | None = None


class AlertsOut(BaseModel):
    items: list[AlertOut]


class Acknowledging(BaseModel):
    ids: Ids
    note: Note = ""

    model_config = {"json_schema_extra": {"examples": [{"ids": [41, 42], "note": "On my way"}]}}


class Withdrawing(BaseModel):
    ids: Ids


@router.get("")
def list_alerts(
    *,
    person: Looking,
    db: Db,
    language: LanguageOf,
    state: Annotated[AlertState | Literal["all"], Query(description="pending: about to open")] = "open",
    annex: Annotated[str, Query(max_length=63)] = "",
    rule: Annotated[str, Query(max_length=64)] = "",
    severity: Severity | None = None,
    thing: Annotated[str, Query(max_length=220, description="<kind>:<id>, such as device:d-abc...")] = "",
    acknowledged: Annotated[bool | None, Query(description="Whether somebody has taken it in charge")] = None,
    search: paging.Search = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> AlertPage:
    """Alerts in your sight, those that opened last first."""
    found = alerts.listing(
        db, person.scope, states=_STATES.get(state, (state,)), annex_id=annex, rule_id=rule, severity=severity or "",
        thing=_thing(thing), acknowledged=acknowledged, search=search, before=before(cursor), limit=limit + 1,
    )  # fmt: skip
    last = found[limit - 1] if len(found) > limit else None
    return AlertPage(
        items=outs(found[:limit], words.read(db, language)),
        next=paging.cursor(alerts.moment(last).isoformat(), str(last.id)) if last else None,
    )


@router.post("/acknowledge", responses={409: {"model": problems.Problem}})
def acknowledge_alerts(
    asked: Acknowledging, person: Answering, language: LanguageOf, once: OnceOf, now: Now
) -> AlertsOut:
    """Take alerts in charge.  Those that somebody has stay theirs; 409 where others have all of them.

    An incident whose causes are all in charge is so too, and nobody is reminded of it.
    """

    def work(db: Session) -> dict[str, Any]:
        found = answers.acknowledge_alerts(db, person.scope, asked.ids, by=person.name, note=asked.note, now=now)
        return AlertsOut(items=outs(found, words.read(db, language))).model_dump(mode="json")

    return AlertsOut.model_validate(once.do(person, asked.model_dump(), work, now=now))


@router.post("/withdraw")
def withdraw_alerts(asked: Withdrawing, person: Answering, language: LanguageOf, once: OnceOf, now: Now) -> AlertsOut:
    """Hand alerts back: nobody has them then, and reminders go on."""

    def work(db: Session) -> dict[str, Any]:
        found = answers.withdraw_alerts(db, person.scope, asked.ids, by=person.name, now=now)
        return AlertsOut(items=outs(found, words.read(db, language))).model_dump(mode="json")

    return AlertsOut.model_validate(once.do(person, asked.model_dump(), work, now=now))


@router.get("/{alert_id}")
def show_alert(alert_id: Id, person: Looking, db: Db, language: LanguageOf) -> AlertOut:
    """One of them, in whatever state."""
    return outs([alerts.get(db, person.scope, alert_id)], words.read(db, language))[0]


def outs(found: list[Alert], say: Words) -> list[AlertOut]:
    """Alerts as the API tells them."""
    return [_out(alert, say) for alert in found]


def before(cursor: str) -> tuple[datetime, int] | None:
    """The moment and the id after which the page begins.  Raises Invalid for a cursor that is not ours."""
    keys = paging.keys(cursor, 2)
    return None if keys is None else (moment_key(keys[0]), id_key(keys[1]))


def moment_key(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("not a cursor", field="cursor") from None
    if not paging.is_in_reach(at):
        raise Invalid("not a cursor", field="cursor")
    return at


def id_key(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= paging.LARGEST_ID):
        raise Invalid("not a cursor", field="cursor")
    return int(text)


def _thing(text: str) -> Thing | None:
    if not text:
        return None
    kind, colon, id_ = text.partition(":")
    if kind not in THING_KINDS or not colon or not id_:
        raise Invalid("no thing such as device:d-abc", field="thing")
    return Thing(kind, id_)


def _out(alert: Alert, say: Words) -> AlertOut:
    told = say.alert(alert)
    return AlertOut(
        id=alert.id, rule=alert.rule_id, thing=ThingOut(kind=alert.thing.kind, id=alert.thing.id), part=alert.part,
        annex=alert.annex_id, state=alert.state, severity=alert.severity, cause=alert.cause,
        title=plain(told.title), action=plain(told.action), facts=alert.facts, since=alert.since,
        opened_at=alert.opened_at, cleared_at=alert.cleared_at, evidence_at=alert.evidence_at, flaps=alert.flaps,
        acknowledged_at=alert.acknowledged_at, acknowledged_by=alert.acknowledged_by, note=alert.note,
        muted_by=alert.muted_by, suppressed_by=alert.suppressed_by, incident=alert.incident_id,
        is_effect=alert.is_effect,
    )  # fmt: skip
