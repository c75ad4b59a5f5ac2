"""An incident from before its beginning to its end, as one line of time: read once, shown by its page and by the API.

It holds more than the story that is kept with an incident: what was done to its devices just before, and notices that
did not arrive.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.alerts.dossier import Dossier, StoryLine
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import around, fleet
from annexfleet_controller.store.around import Deed, DeedKind
from annexfleet_controller.store.notices import Said
from annexfleet_controller.store.scope import Scope

BEFORE = timedelta(hours=1)
"""A change that broke something is felt within the hour, as a rule; older ones would be guesses."""
_MOST_ANNEXES = 5

SIGNS = {
    "opened": "raised", "alert_opened": "raised", "alert_reopened": "raised", "reopened": "raised",
    "alert_cleared": "cleared", "resolved": "cleared", "retracted": "cleared",
    "acknowledged": "person", "handed_back": "person", "help_asked": "person", "noted": "note",
    "told": "notice", "escalated": "notice",
    "fix_claimed": "fix", "fix_confirmed": "cleared", "fix_not_confirmed": "raised",
    "cause_corrected": "correction", "times_corrected": "correction", "muted": "quiet", "unmuted": "quiet",
}  # fmt: skip
"""What sort of line each kind is; what is new to this version is plain."""


class Moment(Struct, frozen=True, kw_only=True):
    """One line."""

    at: datetime
    kind: str
    """An incident_event, `notice`, or a kind of deed."""
    sign: str
    """What sort of line it is: a value of SIGNS, `change` for a deed, `plain`."""
    text: str = ""
    """What it says besides its kind and who did it, in its reader's language; a note is as it was written."""
    is_quote: bool = False
    by: str = ""
    said: Said | None = None
    """Of a notice that did not arrive, or not yet: what is known of it."""
    deed: Deed | None = None


def moments(
    db: Session, scope: Scope, found: Dossier, language: Language, *, deeds: Collection[DeedKind], now: datetime
) -> list[Moment]:
    """The whole of it, oldest first: what preceded it, what happened, who was told and what was done.

    `deeds` are the kinds that its reader may know of.
    """
    lines = [
        *_deeds(db, scope, found, language, deeds=deeds, now=now),
        *(_told(line) for line in found.story),
        *_unsent(found.said),
    ]
    return sorted(lines, key=lambda one: one.at)


def deed_title(deed: Deed, language: Language) -> str:
    """A deed's name: what its author called it, or what we call our own playbooks and commands."""
    if deed.kind == "rollout":
        return deed.name
    return language.name("playbook" if deed.kind == "run" else "command", deed.name)


def _told(line: StoryLine) -> Moment:
    told = line.line
    return Moment(
        at=told.at, kind=told.kind, sign=SIGNS.get(told.kind, "plain"), text=line.text,
        is_quote="note" in told.facts, by=told.by,
    )  # fmt: skip


def _unsent(said: Sequence[Said]) -> Iterable[Moment]:
    """Notices that did not arrive, or not yet: those that did are lines of the story already."""
    for one in said:
        if one.state != "sent":
            yield Moment(at=one.at, kind="notice", sign="notice", by=one.contact, said=one)


def _deeds(
    db: Session, scope: Scope, found: Dossier, language: Language, *, deeds: Collection[DeedKind], now: datetime
) -> Iterable[Moment]:
    """Rollouts, runs and commands on the affected devices that were under way within the hour before it began."""
    if not found.of.whole or not deeds:
        return
    began = found.of.incident.began_at
    numbers = _affected(db, scope, found, now=now)
    for deed in around.deeds(db, scope, numbers, since=began - BEFORE, until=began):
        if deed.kind in deeds:
            yield Moment(
                at=deed.began_at, kind=deed.kind, sign="change", text=deed_title(deed, language), by=deed.by, deed=deed
            )


def _affected(db: Session, scope: Scope, found: Dossier, *, now: datetime) -> set[int]:
    """The devices that its causes name; where none does, all of its annexes, which share line and printers."""
    named = {line.alert.thing.id for line in found.causes if line.alert.thing.kind == "device"}
    if named:
        return fleet.numbers(db, scope, named)
    return {
        row.number
        for annex_id in found.of.incident.annexes[:_MOST_ANNEXES]
        for row in fleet.devices(db, scope, now=now, annex_id=annex_id)
    }
