"""The story of an incident as its page shows it: by day, with signs and with links."""

from collections.abc import Iterable
from datetime import date, datetime

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import chronicle
from annexfleet_controller.alerts.dossier import AlertLine, Dossier
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.web.timeline import deed_href
from annexfleet_controller.zones import PROVINCE

ICONS = {
    "raised": "triangle-alert", "cleared": "circle-check", "person": "user", "note": "message-square", "notice": "send",
    "fix": "wrench", "correction": "pencil", "quiet": "bell-off", "change": "rocket", "plain": "circle",
}  # fmt: skip
"""By sign."""


class Moment(chronicle.Moment, frozen=True, kw_only=True):
    """One line."""

    href: str = ""


class Day(Struct, frozen=True):
    """The lines of a day in the province's own time."""

    on: date
    moments: list[Moment]


class Group(Struct, frozen=True):
    """Effects of one kind."""

    rule: str
    lines: list[AlertLine]


def days(db: Session, person: Person, found: Dossier, language: Language, *, now: datetime) -> list[Day]:
    """The whole story, the oldest day first."""
    by_day: dict[date, list[Moment]] = {}
    for line in chronicle.moments(db, person.scope, found, language, deeds=person.reads_deeds, now=now):
        moment = Moment(**structs.asdict(line), href=deed_href(line.deed) if line.deed else "")
        by_day.setdefault(line.at.astimezone(PROVINCE).date(), []).append(moment)
    return [Day(on, of) for on, of in by_day.items()]


def groups(effects: Iterable[AlertLine]) -> list[Group]:
    """Effects by rule, the most numerous first: of forty silent devices one line is read."""
    found: dict[str, list[AlertLine]] = {}
    for line in effects:
        found.setdefault(line.alert.rule_id, []).append(line)
    return [Group(rule, lines) for rule, lines in sorted(found.items(), key=lambda pair: -len(pair[1]))]
