"""From the incidents of now to queued notices: reads the past, asks the plan, stores what it says."""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.notify import audience, book, helping, plan
from annexfleet_controller.notify.model import USUAL, Audible
from annexfleet_controller.rules.ruleset import Ruleset
from annexfleet_controller.store import alerts, contacts, incidents, notices
from annexfleet_controller.store import calendars as opening
from annexfleet_controller.store.database import writing
from annexfleet_controller.things import Alert, Audience, Incident

ENDS_OWED_FOR = timedelta(days=10)
"""How long after an incident's end its end may still be told: after quiet hours, a weekend, the days of a feast."""


def enqueue(
    db: Session,
    open_incidents: Iterable[Incident],
    audiences: Mapping[int, frozenset[Audience]],
    calendars: Mapping[str, Calendar],
    *,
    now: datetime,
) -> int:
    """Queue what is due now; how many notices that are.

    Told the open incidents, as they are stored, and for whom each is, by its id (`audience.of`).  Of those that are
    over it finds by itself to whom their end is owed.  Asked again it does nothing twice.
    """
    notices.one_planner_at_a_time(db)
    told_about = {incident.id: incident for incident in open_incidents}
    owed = set(notices.ends_perhaps_owed(db, since=now - ENDS_OWED_FOR)) - told_about.keys()
    told_about |= {one.id: one for one in incidents.by_ids(db, owed)}
    asked = {one.incident_id: one.at for one in incidents.help_asked(db, told_about).values()}
    audibles = [Audible(one, audiences.get(one.id, frozenset()), asked.get(one.id)) for one in told_about.values()]
    past = book.told(db, told_about.keys(), now=now)
    planned = plan.plan(audibles, past, book.receivers(db), calendars, now=now)
    return len(notices.queue(db, map(book.stored, planned), now=now))


def plan_notices(engine: Engine, rules: Ruleset, calendars: Mapping[str, Calendar], *, now: datetime) -> int:
    """`enqueue` with what the database holds; how many notices were queued."""
    with writing(engine) as db:
        return enqueue(db, incidents.open_ones(db), audiences_of(alerts.live(db), rules, now=now), calendars, now=now)


class Called(Struct, frozen=True):
    """Whom a call for help reached."""

    people_count: int
    outcome: Literal["told", "later", "nobody"]
    """`later`: no person can be told now, though contacts are set; their hours or a limit hold it back, or it fails."""


def call_for_help(db: Session, incident: Incident, *, asked_at: datetime, now: datetime) -> None:
    """Queue at once what a call for help makes due; what is due later comes with `enqueue`."""
    notices.one_planner_at_a_time(db)
    past = book.told(db, [incident.id], now=now)
    audible = Audible(incident, help_asked_at=asked_at)
    planned = plan.plan([audible], past, book.receivers(db), opening.of_all(db), now=now)
    notices.queue(db, map(book.stored, planned), now=now)


def called(db: Session, incident: Incident, *, asked_at: datetime) -> Called:
    """Whom the last call for help reached, as far as is known by now.

    Who heard an earlier call less than half an hour before is not told again, and counts.
    """
    since = asked_at - timedelta(seconds=USUAL.of_an_incident_s)
    if people := notices.called_for_help(db, incident.id, since=since):
        return Called(people, "told")
    return Called(0, "later" if helping.is_anybody_asked(book.receivers(db), incident) else "nobody")


def queue_test(db: Session, contact_id: int, *, now: datetime) -> int:
    """Queue a test message to a contact, also to one that is switched off; its id.  Raises ContactUnknown."""
    contact = contacts.get(db, contact_id)
    key = f"{contact.id}/test-{secrets.token_hex(8)}"
    return notices.queue(
        db, [notices.NewNotice(contact_id=contact.id, kind="test", due_at=now, dedupe_key=key)], now=now
    )[0]


def audiences_of(live: Iterable[Alert], rules: Ruleset, *, now: datetime) -> dict[int, frozenset[Audience]]:
    """For whom each incident is, by its id."""
    by_incident: dict[int, list[Alert]] = {}
    for alert in live:
        if alert.incident_id is not None:
            by_incident.setdefault(alert.incident_id, []).append(alert)
    return {incident_id: audience.of(some, rules, now=now) for incident_id, some in by_incident.items()}
