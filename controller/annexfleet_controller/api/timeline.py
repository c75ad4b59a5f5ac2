"""/api/v1/incidents/{id}/timeline: an incident as one line of time, from what preceded it to its end."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, JsonValue

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import chronicle, dossier
from annexfleet_controller.alerts.chronicle import Moment
from annexfleet_controller.api import paging, problems
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.store.around import Deed, DeedKind
from annexfleet_controller.store.notices import Said

router = APIRouter(prefix="/api/v1/incidents", tags=["incidents"], responses=problems.RESPONSES)

_EXAMPLE: list[JsonValue] = [
    {
        "at": "2026-11-25T09:05:00Z", "kind": "rollout", "sign": "change", "title": "Rollout", "text": "CUPS 2.4",
        "by": "samira", "notice": None,
        "deed": {
            "kind": "rollout", "id": "31", "began_at": "2026-11-25T09:05:00Z", "ended_at": "2026-11-25T09:20:00Z",
            "devices_count": 1, "outcome": "done",
        },
    },
    {
        "at": "2026-11-25T09:43:00Z", "kind": "opened", "sign": "raised", "title": "Noticed", "text": "", "by": "",
        "notice": None, "deed": None,
    },
    {
        "at": "2026-11-25T09:44:00Z", "kind": "notice", "sign": "notice", "title": "Failed", "text": "", "by": "Nadia",
        "notice": {"channel": "email", "what": "opened", "state": "failed", "reason": "refused"}, "deed": None,
    },
    {
        "at": "2026-11-25T09:50:00Z", "kind": "noted", "sign": "note", "title": "Note",
        "text": "The tray is bent", "by": "karim", "notice": None, "deed": None,
    },
]  # fmt: skip


class DeedOut(BaseModel):
    """What was done to devices concerned; only for who reads of such deeds anyway."""

    kind: DeedKind
    id: Annotated[str, Field(description="As below /api/v1/rollouts, /api/v1/runs or /api/v1/commands")]
    began_at: datetime
    ended_at: Annotated[datetime | None, Field(description="null while it lasts")]
    devices_count: Annotated[int, Field(description="How many of the devices concerned it touched")]
    outcome: Annotated[str, Field(description="Where that is one: how it ended there")]


class NoticeOut(BaseModel):
    """A notice that did not arrive, or not yet; those that did are lines of the kind `told`."""

    channel: str
    what: str
    state: str
    reason: str


class MomentOut(BaseModel):
    at: datetime
    kind: Annotated[str, Field(description="Of a line of the story; else `notice`, or a kind of deed")]
    sign: Annotated[
        Literal["raised", "cleared", "person", "note", "notice", "fix", "correction", "quiet", "change", "plain"],
        Field(description="What sort of line it is, whatever kinds there will be"),
    ]
    title: Annotated[str, Field(description="The kind in the caller's language; of a notice, what became of it")]
    text: Annotated[str, Field(description="What it says besides; a note as it was written; a deed's name")]
    by: Annotated[str, Field(description="Who did it; of a notice, whom it goes to")]
    notice: NoticeOut | None
    deed: DeedOut | None


class TimelineOut(BaseModel):
    items: Annotated[list[MomentOut], Field(description="Oldest first; whole, in one answer")]

    model_config = {"json_schema_extra": {"examples": [{"items": _EXAMPLE}]}}


@router.get("/{incident_id}/timeline")
def show_timeline(
    incident_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)],
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    language: LanguageOf,
    now: Now,
) -> TimelineOut:
    """What its page tells as a timeline.

    Besides the `story`: rollouts, runs and commands on its devices that were under way within the hour before it began,
    and notices that did not arrive.

    Of an incident that reaches beyond your annexes only what is said of yours.
    """
    found = dossier.read(db, person.scope, incident_id, language)
    told = chronicle.moments(db, person.scope, found, language, deeds=person.reads_deeds, now=now)
    return TimelineOut(items=[_out(moment, language) for moment in told])


def _out(moment: Moment, language: Language) -> MomentOut:
    return MomentOut(
        at=moment.at, kind=moment.kind, sign=moment.sign, title=plain(_title(moment, language)),  # type: ignore[arg-type]  # checked when it is made
        text=plain(moment.text), by=moment.by, notice=_notice(moment.said), deed=_deed(moment.deed),
    )  # fmt: skip


def _title(moment: Moment, language: Language) -> str:
    if moment.said:
        return language.name("notice_state", moment.said.state)
    return language.name("mark" if moment.deed else "incident_event", moment.kind)


def _notice(said: Said | None) -> NoticeOut | None:
    return NoticeOut(channel=said.channel, what=said.what, state=said.state, reason=said.reason) if said else None


def _deed(deed: Deed | None) -> DeedOut | None:
    if deed is None:
        return None
    return DeedOut(
        kind=deed.kind, id=deed.id, began_at=deed.began_at, ended_at=deed.ended_at, devices_count=deed.devices,
        outcome=deed.outcome,
    )  # fmt: skip
