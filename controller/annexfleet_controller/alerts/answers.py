"""What people do about trouble: take it in charge, hand it back, write a note, ask for help.

Each act is a line of the incident's story and a pulse, so that open pages show it at once; the watch loop reads who
took what in charge and lets nobody be reminded of it.  An incident is in charge when somebody took it, or each of its
causes.

Raises AlertUnknown and IncidentUnknown for what is out of sight, AlreadyAcknowledged where somebody else was first,
AlreadyOver where nothing is left to be done, Forbidden where the trouble reaches beyond the annexes of who asks.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from annexfleet_controller.errors import (
    AlertUnknown,
    AlreadyAcknowledged,
    AlreadyOver,
    Forbidden,
    NoteWrong,
)
from annexfleet_controller.notify import planning
from annexfleet_controller.store import alerts as stored
from annexfleet_controller.store import incidents, pulses
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Alert, Facts, Incident

LONGEST_NOTE = 1000
"""Characters."""
ASK_AGAIN_AFTER = timedelta(minutes=30)
"""As long as `notify` tells nobody a second time."""


def is_whole_in_sight(scope: Scope, incident: Incident) -> bool:
    """Whether nothing of it lies beyond these annexes; what belongs to no annex is the province's."""
    if scope.annexes is None:
        return True
    return bool(incident.annex_id) and {incident.annex_id, *incident.annexes} <= scope.annexes


def acknowledge_alerts(
    db: Session, scope: Scope, ids: Collection[int], *, by: str, note: str = "", now: datetime
) -> list[Alert]:
    """Take these alerts in charge; gives all of them as they are now.  Those that somebody has stay theirs."""
    seen = _all_in_sight(db, scope, ids)
    changed = stored.acknowledge(db, scope, ids, by=by, note=_note(note), now=now)
    if not changed:
        open_ones = [alert for alert in seen if alert.state != "cleared"]
        if not open_ones:
            raise AlreadyOver("all of these alerts have cleared")
        others = sorted({alert.acknowledged_by for alert in open_ones} - {by, ""})
        if others:
            raise AlreadyAcknowledged(f"{others[0]} has these alerts", other=others[0])
    for incident_id, of in _by_incident(changed).items():
        _take_if_whole(db, incident_id, by=by, now=now)
        _tell(db, incident_id, "acknowledged", of, by=by, note=note, now=now)
    _move(db, {alert.annex_id for alert in changed}, now)
    return stored.in_sight(db, scope, ids)


def withdraw_alerts(db: Session, scope: Scope, ids: Collection[int], *, by: str, now: datetime) -> list[Alert]:
    """Hand these alerts back; gives all of them as they are now."""
    _all_in_sight(db, scope, ids)
    changed = stored.withdraw_acknowledgement(db, scope, ids)
    for incident_id, of in _by_incident(changed).items():
        if not _causes_in_charge(db, incident_id, at_least_one=True):
            incidents.withdraw_acknowledgement(db, incident_id)
        _tell(db, incident_id, "handed_back", of, by=by, note="", now=now)
    _move(db, {alert.annex_id for alert in changed}, now)
    return stored.in_sight(db, scope, ids)


def acknowledge(db: Session, scope: Scope, incident_id: int, *, by: str, note: str = "", now: datetime) -> Incident:
    """Take an incident in charge, with its alerts; again by the same person changes nothing but adds the note."""
    _open_and_whole(db, scope, incident_id)
    note = _note(note)
    taken = incidents.acknowledge(db, incident_id, by=by, now=now)
    db.expire_all()  # what the session remembers may be older than what somebody else wrote at this moment
    incident = incidents.get(db, scope, incident_id)
    if not taken and incident.acknowledged_by != by:
        if incident.state != "open":
            raise AlreadyOver(f"incident {incident_id} is over")
        raise AlreadyAcknowledged(f"{incident.acknowledged_by} has it", other=incident.acknowledged_by)
    free = [alert.id for alert in stored.of_incident(db, incident_id) if alert.state == "open"]
    changed = stored.acknowledge(db, scope, free, by=by, now=now)
    if taken or changed:
        _tell(db, incident_id, "acknowledged", (), by=by, note=note, now=now)
    elif note:
        _tell(db, incident_id, "noted", (), by=by, note=note, now=now)
    _move(db, _places(incident), now)
    return incident


def withdraw(db: Session, scope: Scope, incident_id: int, *, by: str, now: datetime) -> Incident:
    """Hand an incident back, with its alerts; nothing changes where nobody had it."""
    _open_and_whole(db, scope, incident_id)
    handed_back = incidents.withdraw_acknowledgement(db, incident_id)
    held = [alert.id for alert in stored.of_incident(db, incident_id) if alert.state == "open"]
    changed = stored.withdraw_acknowledgement(db, scope, held)
    db.expire_all()
    incident = incidents.get(db, scope, incident_id)
    if handed_back or changed:
        _tell(db, incident_id, "handed_back", (), by=by, note="", now=now)
        _move(db, _places(incident), now)
    return incident


def note(db: Session, scope: Scope, incident_id: int, text: str, *, by: str, now: datetime) -> Incident:
    """Add a note to its story, also when it is over.  Raises NoteWrong for an empty one or one that is too long."""
    incident = incidents.get(db, scope, incident_id)
    written = _note(text)
    if not written:
        raise NoteWrong("the note is empty", field="note")
    _tell(db, incident_id, "noted", (), by=by, note=written, now=now)
    _move(db, _places(incident), now)
    return incident


def ask_help(db: Session, scope: Scope, incident_id: int, *, by: str, note: str = "", now: datetime) -> Incident:
    """Say that one cannot mend it: who looks at alerts sees it, and contacts are told (`notify.planning.called`).

    A repeat by the same person within half an hour changes nothing, unless it has something new to say.
    """
    written = _note(note)
    incident = incidents.get(db, scope, incident_id)
    if incident.state != "open":
        raise AlreadyOver(f"incident {incident_id} is over")
    asked = incidents.help_asked(db, [incident_id]).get(incident_id)
    if asked is None or asked.by != by or may_ask_again(asked, now=now) or _is_news(written, asked):
        _tell(db, incident_id, "help_asked", (), by=by, note=written, now=now)
        planning.call_for_help(db, incident, asked_at=now, now=now)
        _move(db, _places(incident), now)
    return incident


def may_ask_again(asked: Told, *, now: datetime) -> bool:
    """Whether so much time has passed since somebody asked for help that asking again tells people again."""
    return now - asked.at >= ASK_AGAIN_AFTER


def _is_news(written: str, asked: Told) -> bool:
    return bool(written) and written != asked.facts.get("note")


def whole(db: Session, scope: Scope, incident_id: int) -> Incident:
    """An incident all of which is in sight."""
    incident = incidents.get(db, scope, incident_id)
    if not is_whole_in_sight(scope, incident):
        raise Forbidden(f"incident {incident_id} reaches beyond one's annexes")
    return incident


def _open_and_whole(db: Session, scope: Scope, incident_id: int) -> None:
    incident = whole(db, scope, incident_id)
    if incident.state != "open":
        raise AlreadyOver(f"incident {incident_id} is over")


def _all_in_sight(db: Session, scope: Scope, ids: Collection[int]) -> list[Alert]:
    seen = stored.in_sight(db, scope, ids)
    missing = set(ids) - {alert.id for alert in seen}
    if missing:
        raise AlertUnknown(f"no alert {min(missing)}")
    return seen


def _take_if_whole(db: Session, incident_id: int, *, by: str, now: datetime) -> None:
    if _causes_in_charge(db, incident_id, at_least_one=False):
        incidents.acknowledge(db, incident_id, by=by, now=now)


def _causes_in_charge(db: Session, incident_id: int, *, at_least_one: bool) -> bool:
    """Whether somebody has each open cause of an incident, or at least one of them."""
    of = [alert for alert in stored.of_incident(db, incident_id) if alert.state == "open"]
    held = [alert.acknowledged_at is not None for alert in of if not alert.is_effect]
    return any(held) if at_least_one else bool(held) and all(held)


def _by_incident(alerts: Iterable[Alert]) -> dict[int, list[Alert]]:
    found: dict[int, list[Alert]] = {}
    for alert in alerts:
        if alert.incident_id is not None:
            found.setdefault(alert.incident_id, []).append(alert)
    return found


def _tell(
    db: Session, incident_id: int, kind: str, alerts: Collection[Alert], *, by: str, note: str, now: datetime
) -> None:
    facts: Facts = {}
    if note:
        facts["note"] = note
    if len(alerts) == 1:
        (alert,) = alerts
        facts |= {
            "rule": alert.rule_id, "cause": alert.cause, "thing": alert.thing.id, "thing_kind": alert.thing.kind,
        }  # fmt: skip
    elif alerts:
        facts["alerts"] = float(len(alerts))
    incidents.tell(db, [Told(incident_id, now, kind, by, facts)])


def _move(db: Session, annexes: Collection[str], now: datetime) -> None:
    """Let open pages ask anew; an empty name stands for the province."""
    pulses.add(db, {}, now=now, origin="web", annexes=dict.fromkeys(sorted(annexes), "ai"))


def _places(incident: Incident) -> set[str]:
    return {incident.annex_id, *incident.annexes}


def _note(text: str) -> str:
    written = text.strip()
    if len(written) > LONGEST_NOTE:
        raise NoteWrong("the note is too long", field="note")
    return written
