"""The story of an incident as a line of time: by day, with signs, and with what was done to its devices just before."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts.dossier import AlertLine, Dossier, StoryLine
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import around, fleet
from annexfleet_controller.store.around import Deed
from annexfleet_controller.store.notices import Said
from annexfleet_controller.things import Incident
from annexfleet_controller.web.timeline import mark, may_see
from annexfleet_controller.zones import PROVINCE

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
"""By kind of line; what is new to this version has the plainest sign."""
ICONS = {
    "raised": "triangle-alert", "cleared": "circle-check", "person": "user", "note": "message-square", "notice": "send",
    "fix": "wrench", "correction": "pencil", "quiet": "bell-off", "change": "rocket", "plain": "circle",
}  # fmt: skip


class Moment(Struct, frozen=True, kw_only=True):
    """One line."""

    at: datetime
    kind: str
    """An incident_event, `notice`, or a kind of deed."""
    sign: str
    text: str = ""
    is_quote: bool = False
    by: str = ""
    href: str = ""
    said: Said | None = None
    """Of a notice: whether it arrived."""
    deed: Deed | None = None


class Day(Struct, frozen=True):
    """The lines of a day in the province's own time."""

    on: date
    moments: list[Moment]


class Group(Struct, frozen=True):
    """Effects of one kind."""

    rule: str
    lines: list[AlertLine]


def days(db: Session, person: Person, found: Dossier, language: Language, *, now: datetime) -> list[Day]:
    """The whole story, the oldest day first: what preceded it, what happened, who was told and what was done."""
    moments = [
        *_deeds(db, person, found, language, now=now),
        *(_told(line) for line in found.story),
        *_unsent(found.said),
    ]
    by_day: dict[date, list[Moment]] = {}
    for moment in sorted(moments, key=lambda one: one.at):
        by_day.setdefault(moment.at.astimezone(PROVINCE).date(), []).append(moment)
    return [Day(on, of) for on, of in by_day.items()]


def groups(effects: Iterable[AlertLine]) -> list[Group]:
    """Effects by rule, the most numerous first: of forty silent devices one line is read."""
    found: dict[str, list[AlertLine]] = {}
    for line in effects:
        found.setdefault(line.alert.rule_id, []).append(line)
    return [Group(rule, lines) for rule, lines in sorted(found.items(), key=lambda pair: -len(pair[1]))]


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


def _deeds(db: Session, person: Person, found: Dossier, language: Language, *, now: datetime) -> Iterable[Moment]:
    """Rollouts, runs and commands on the affected devices that were under way within the hour before it began."""
    if not found.of.whole or not person.may("run_playbooks"):
        return
    began = found.of.incident.began_at
    numbers = _affected(db, person, found, now=now)
    for deed in around.deeds(db, person.scope, numbers, since=began - BEFORE, until=began):
        if may_see(person, deed):
            of = mark(deed, language)
            yield Moment(
                at=deed.began_at, kind=deed.kind, sign="change", text=of.title, by=deed.by, href=of.href, deed=deed
            )


def _affected(db: Session, person: Person, found: Dossier, *, now: datetime) -> set[int]:
    """The devices that its causes name; where none does, all of its annexes, which share line and printers."""
    named = {line.alert.thing.id for line in found.causes if line.alert.thing.kind == "device"}
    if named:
        return fleet.numbers(db, person.scope, named)
    return {
        row.number
        for annex_id in _annexes(found.of.incident)
        for row in fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    }


def _annexes(incident: Incident) -> Sequence[str]:
    return incident.annexes[:_MOST_ANNEXES]
