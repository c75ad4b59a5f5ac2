"""Subjects of rules for tests."""

from datetime import UTC, datetime

from annexfleet_controller.rules.defaults import default_rules
from annexfleet_controller.rules.model import Subject, SubjectKind
from annexfleet_controller.things import Thing

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)

_THINGS: dict[SubjectKind, Thing] = {
    "device": Thing("device", "d-0123456789"),
    "disk": Thing("device", "d-0123456789"),
    "printer": Thing("printer", "0123456789abcdef01234567"),
    "supply": Thing("printer", "0123456789abcdef01234567"),
    "portal": Thing("portal", "berkane-1/watiqa"),
    "portal_everywhere": Thing("portal", "*/watiqa"),
    "queue": Thing("queue", "berkane-1/civil-status"),
    "annex": Thing("annex", "berkane-1"),
    "controller": Thing("controller", "controller"),
}
_PARTS: dict[SubjectKind, str] = {"disk": "/", "supply": "black"}


def subject(kind: SubjectKind, values: dict[str, object], **rest: object) -> Subject:
    told = {"thing": _THINGS[kind], "part": _PARTS.get(kind, ""), "annex_id": "berkane-1", "at": NOW} | rest
    return Subject(kind=kind, values=values, **told)  # type: ignore[arg-type]


def subject_of(rule_id: str, values: dict[str, object], **rest: object) -> Subject:
    """A subject of the kind that this default rule is about."""
    return subject(default_rules()[rule_id].subject, values, **rest)
