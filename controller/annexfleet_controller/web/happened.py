"""What changed of late, from what the controller remembers anyway: incidents, rollouts, maintenance."""

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.alerts import dossier
from annexfleet_controller.alerts.words import Words
from annexfleet_controller.maintenance import span_at
from annexfleet_controller.store import incidents, maintenance, overview
from annexfleet_controller.store.overview import Turns
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Incident

SPAN = timedelta(hours=1)
_MOST = 8
_LOOKED_AT = 60


class Change(Struct, frozen=True):
    """One line of the last hour."""

    at: datetime
    kind: str
    """opened, resolved, rollout or maintenance"""
    title: str
    href: str
    places: tuple[tuple[str, str], ...] = ()
    """Ids and names of annexes."""
    state: str = ""
    """How a rollout ended."""


class LastHour(Struct, frozen=True):
    turns: Turns
    changes: list[Change]
    """The newest first."""


def last_hour(db: Session, scope: Scope, say: Words, *, now: datetime) -> LastHour:
    since = now - SPAN
    found = [*_of_incidents(db, scope, say, since), *_of_rollouts(db, scope, since), *_of_work(db, scope, since, now)]
    newest = sorted(found, key=lambda change: change.at, reverse=True)[:_MOST]
    return LastHour(overview.turns(db, scope, since=since), newest)


def _of_incidents(db: Session, scope: Scope, say: Words, since: datetime) -> Collection[Change]:
    found: list[tuple[datetime, str, Incident]] = []
    for incident in incidents.recent(db, scope, since=since, limit=_LOOKED_AT):
        if incident.opened_at > since:
            found.append((incident.opened_at, "opened", incident))
        if incident.resolved_at is not None and incident.resolved_at > since and incident.state == "resolved":
            found.append((incident.resolved_at, "resolved", incident))
    newest = sorted(found, key=lambda one: one[0], reverse=True)[:_MOST]
    shown = dossier.lines(db, scope, [incident for _, _, incident in newest], say)
    return [
        Change(at, kind, line.words.title, f"/incidents/{incident.id}", line.annexes)
        for (at, kind, incident), line in zip(newest, shown, strict=True)
    ]


def _of_rollouts(db: Session, scope: Scope, since: datetime) -> Collection[Change]:
    ended = overview.rollouts_ended(db, scope, since=since, limit=_MOST)
    return [Change(of.ended_at, "rollout", of.name, f"/rollouts/{of.id}", state=of.state) for of in ended]


def _of_work(db: Session, scope: Scope, since: datetime, now: datetime) -> Collection[Change]:
    """Maintenance that began."""
    begun = []
    for m in maintenance.to_come(db, scope, now=now):
        span = span_at(m, now)
        if span is not None and span.start > since:
            begun.append(Change(span.start, "maintenance", m.reason, "/maintenance"))
    return begun
