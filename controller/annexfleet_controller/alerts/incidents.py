"""Alerts with one cause become one incident, and stay the same one while the cause lasts.  Thinks only.

What it promises:

- An open alert belongs to exactly one incident; a pending one, and one that cleared, to none that is made here.
- Of each key there is at most one open incident.
- An incident whose cause has ended stays open while what it explained is still wrong, for at most `LINGERS`; what is
  wrong then becomes an incident of its own.
- A key that comes back within `RETURNS_WITHIN` continues the incident that was resolved.
- A line cut that turns out to be a power cut, and an annex that could not serve for a reason nobody knew, continue
  under the right kind (`cause_corrected`).  Any other incident whose alerts turn out to be effects is resolved and says
  in its facts which one has taken it in (`merged_into`): what somebody acknowledged there was not the new cause.
- An incident is as severe as the worst of its alerts is now; of nothing but information it is `info`.
- Asked twice with its own answer, it changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct, structs

from annexfleet_controller.alerts.causes import AlertKey, Context, Explained, explain, own_incident
from annexfleet_controller.things import SEVERITIES, Alert, Facts, Incident, IncidentKind, Severity

LINGERS = timedelta(minutes=30)
"""How long after the end of a cause its effects still count as such: machines have to be started again."""
RETURNS_WITHIN = timedelta(minutes=10)

EventKind = Literal["opened", "alert_opened", "cause_corrected", "resolved", "reopened"]
"""Those of `store.tables.alerts.IncidentEvent.kind` that grouping finds; `lifecycle.happened` finds those of alerts."""


class Event(Struct, frozen=True, kw_only=True):
    """One line of an incident's story."""

    incident_key: str
    """As the incident is called after grouping."""
    incident_id: int
    """0 if it is new."""
    kind: EventKind
    at: datetime
    facts: Facts = {}
    """opened, alert_opened: `rule`, `cause`, `thing`, `thing_kind`; alert_opened also `is_effect` (0 or 1).
    cause_corrected: `from` and `to`, kinds.  resolved: `merged_into`, a key, if it was taken in by another."""


class Assignment(Struct, frozen=True):
    """Where an alert belongs."""

    incident_key: str
    is_effect: bool
    suppressed_by: str
    """The rule of its cause; empty if it is the cause itself."""


class Grouping(Struct, frozen=True):
    """What follows from the alerts that are open."""

    incidents: tuple[Incident, ...]
    """All that are open now, and those that were resolved just now, by key.  One with an id replaces that row, even if
    its key has changed; to be stored in this order: resolved ones first, as their keys may be taken up again."""
    assignments: dict[AlertKey, Assignment]
    """Of every open alert."""
    events: tuple[Event, ...]


def group(alerts: Iterable[Alert], existing: Iterable[Incident], context: Context, *, now: datetime) -> Grouping:
    """The incidents that these alerts make.

    `alerts`: all that are not cleared, with `incident_id` and `is_effect` as the last grouping left them.  `existing`:
    all open incidents, and those resolved within `RETURNS_WITHIN`.  Ranks are left as they were (`rank` gives them).
    """
    live = list({alert.key: alert for alert in alerts if alert.state == "open"}.values())
    rows = _Rows(existing, live, now)
    explained = explain(live, rows.lingering, context, now=now)
    members: dict[str, list[Alert]] = {}
    for alert in live:
        members.setdefault(explained[alert.key].incident_key, []).append(alert)
    taken = rows.assign(members)
    found, events = [], []
    for key, of_incident in members.items():
        incident, story = _incident(key, of_incident, explained, taken.get(key), now)
        found.append(incident)
        events += story
    by_effect = sorted(live, key=lambda alert: not alert.is_effect)  # where its cause went is what counts
    merged_into = {alert.incident_id or 0: explained[alert.key].incident_key for alert in by_effect}
    kept = {row.id or row.key for row in taken.values()}
    for row in rows.open:
        if (row.id or row.key) not in kept:
            incident, event = _resolved(row, merged_into.get(row.id, "") if row.id else "", now)
            found.append(incident)
            events.append(event)
    assignments = {
        key: Assignment(where.incident_key, where.is_effect, where.by_rule) for key, where in explained.items()
    }
    found.sort(key=lambda incident: (incident.state == "open", incident.key))
    return Grouping(tuple(found), assignments, tuple(events))


class _Rows:
    """The incidents there are, and which of them goes on as what."""

    def __init__(self, existing: Iterable[Incident], live: Sequence[Alert], now: datetime) -> None:
        self._own_keys = {own_incident(alert)[1] for alert in live}
        self.open: list[Incident] = []
        self._by_key: dict[str, Incident] = {}
        self._resolved: dict[str, Incident] = {}
        for row in sorted(existing, key=lambda row: (row.opened_at, row.id)):
            if row.state == "open":
                self.open.append(row)
                self._by_key.setdefault(row.key, row)
            elif row.resolved_at and now - row.resolved_at <= RETURNS_WITHIN and "merged_into" not in row.facts:
                self._resolved[row.key] = row
        self.lingering = [self._lingers(row, now) for row in self._by_key.values() if self._may_linger(row, now)]

    def _may_linger(self, row: Incident, now: datetime) -> bool:
        return row.key not in self._own_keys and (row.ended_at is None or now - row.ended_at <= LINGERS)

    @staticmethod
    def _lingers(row: Incident, now: datetime) -> Incident:
        return structs.replace(row, ended_at=row.ended_at or now)

    def assign(self, members: dict[str, list[Alert]]) -> dict[str, Incident]:
        """By key, the row that goes on under it."""
        taken = {key: self._by_key[key] for key in members if key in self._by_key}
        left = {
            row.id: row for row in self.open
            if row.id and row.ended_at is None and row.key not in members and self._by_key[row.key] is row
        }  # fmt: skip
        votes: dict[int, Counter[str]] = {}
        for key, alerts in members.items():
            for alert in alerts:
                row = left.get(alert.incident_id or 0)
                if row is not None and key not in taken and _may_become(row.kind, key):
                    votes.setdefault(row.id, Counter())[key] += 1
        for row_id in sorted(votes):  # the oldest row first
            keys = [key for key in votes[row_id] if key not in taken]
            if keys:
                best = min(keys, key=lambda key: (-votes[row_id][key], key))
                taken[best] = left[row_id]
        for key in members:
            if key not in taken and key in self._resolved:
                taken[key] = self._resolved[key]
        return taken


def _may_become(kind: IncidentKind, key: str) -> bool:
    """Whether an incident of that kind may turn out to be this one, with whatever was done about it."""
    becomes = key.partition(":")[0]
    return kind == "annex" or (kind == "line_cut" and becomes == "power_cut")


# -- one incident


def _incident(
    key: str, alerts: list[Alert], explained: dict[AlertKey, Explained], row: Incident | None, now: datetime
) -> tuple[Incident, list[Event]]:
    causes = [alert for alert in alerts if not explained[alert.key].is_effect]
    severity: Severity = max((alert.severity for alert in alerts), key=_severity)
    annexes = {alert.annex_id for alert in alerts if alert.annex_id}
    muted = all(alert.muted_by is not None for alert in alerts)
    if row is not None:
        annexes.update(row.annexes)
    events: list[Event] = []
    first = _first_cause(causes or alerts, row)
    if row is None:
        incident = _new(key, first, causes or alerts, now)
        events = [_event(incident, "opened", now, _about(first))]
    elif causes:
        incident, events = _going_on(row, key, first, causes, now)
    else:  # the cause has ended, its effects have not
        incident = structs.replace(row, ended_at=row.ended_at or now)
    incident = structs.replace(incident, severity=severity, annexes=tuple(sorted(annexes)), muted=muted)
    for alert in alerts:
        if alert is first if row is None else alert.incident_id == row.id:
            continue
        effect = float(explained[alert.key].is_effect)
        events.append(_event(incident, "alert_opened", now, {**_about(alert), "is_effect": effect}))
    return incident, events


def _new(key: str, first: Alert, causes: Sequence[Alert], now: datetime) -> Incident:
    kind = own_incident(first)[0]
    return Incident(
        key=key, kind=kind, cause=first.cause, annex_id=_annex_of(kind, first), thing=first.thing,
        facts=first.facts, began_at=min(alert.since for alert in causes), opened_at=now,
    )  # fmt: skip


def _going_on(
    row: Incident, key: str, first: Alert, causes: Sequence[Alert], now: datetime
) -> tuple[Incident, list[Event]]:
    """The row under its own key, or under that of the cause it turned out to have."""
    kind = own_incident(first)[0]
    began_at = min(alert.since for alert in causes)
    corrected = kind != row.kind
    clearing = [alert.clearing_since for alert in causes if alert.clearing_since is not None]
    incident = structs.replace(
        row, key=key, kind=kind, cause=first.cause, thing=first.thing, facts=first.facts,
        annex_id=_annex_of(kind, first), began_at=began_at if corrected else min(row.began_at, began_at),
        state="open", resolved_at=None, ended_at=max(clearing) if len(clearing) == len(causes) else None,
    )  # fmt: skip
    events = []
    if row.state == "resolved":
        events.append(_event(incident, "reopened", now, _about(first)))
    if corrected:
        events.append(_event(incident, "cause_corrected", now, {"from": row.kind, "to": kind}))
    return incident, events


def _resolved(row: Incident, merged_into: str, now: datetime) -> tuple[Incident, Event]:
    facts: Facts = {"merged_into": merged_into} if merged_into and row.ended_at is None else {}
    incident = structs.replace(
        row, state="resolved", resolved_at=now, ended_at=row.ended_at or now, facts={**row.facts, **facts}
    )
    return incident, _event(incident, "resolved", now, facts)


def _first_cause(causes: Sequence[Alert], row: Incident | None) -> Alert:
    """The alert that names the incident: the worst; of equals the one that names it already, then the oldest."""

    def order(alert: Alert) -> tuple[int, bool, datetime, AlertKey]:
        named = row is not None and row.thing == alert.thing and row.cause == alert.cause
        return -_severity(alert.severity), not named, alert.since, alert.key

    return min(causes, key=order)


def _annex_of(kind: IncidentKind, alert: Alert) -> str:
    """Empty where it is about several annexes, even if so far only one has told."""
    several = kind == "portal_down_everywhere" or alert.rule_id == "portal.tls"
    return "" if several else alert.annex_id


def _about(alert: Alert) -> Facts:
    return {
        "rule": alert.rule_id, "cause": alert.cause, "thing": alert.thing.id, "thing_kind": alert.thing.kind,
    }  # fmt: skip


def _event(incident: Incident, kind: EventKind, at: datetime, facts: Facts) -> Event:
    return Event(incident_key=incident.key, incident_id=incident.id, kind=kind, at=at, facts=facts)


def _severity(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1
