"""Short words for alerts, verdicts and rules in tests.  All moments are minutes from 10:00 on a working Wednesday."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import structs

from annexfleet_controller.alerts.incidents import Context, Event, Grouping, group
from annexfleet_controller.rules.model import Is, Rule
from annexfleet_controller.things import Alert, Incident, Level, Thing, ThingKind, Verdict

START = datetime(2026, 11, 25, 10, tzinfo=ZoneInfo("Africa/Casablanca")).astimezone(UTC)
"""Annexes close at 16:30, 390 minutes later."""
DEVICE = Thing("device", "d-1")


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def rule(**fields: Any) -> Rule:
    return Rule(id="cpu.high", subject="device", raise_when=Is(metric="cpu_used_ratio", above=0.9), **fields)


def verdict(level: Level, minutes: float, **fields: Any) -> Verdict:
    return Verdict(rule_id="cpu.high", thing=DEVICE, annex_id="a-1", level=level, evidence_at=at(minutes), **fields)


def alert(
    rule_id: str, kind: ThingKind, thing_id: str, annex_id: str = "a-1", *, since: float = 0.0, **told: Any
) -> Alert:
    """One that is open."""
    fields: dict[str, Any] = {"state": "open", "evidence_at": at(since), "opened_at": at(since), **told}
    return Alert(rule_id=rule_id, thing=Thing(kind, thing_id), annex_id=annex_id, since=at(since), **fields)


class Book:
    """What the store keeps of incidents and of where alerts belong."""

    def __init__(self, **context: Any) -> None:
        self.context = Context(**context)
        self.rows: dict[int, Incident] = {}
        self._where: dict[tuple[str, Thing, str], tuple[int, bool]] = {}

    def group(self, alerts: Iterable[Alert], minutes: float) -> Grouping:
        """Group these and keep the answer; another grouping of it must change nothing."""
        found = self._group(alerts, minutes)
        self._keep(found)
        again = self._group(alerts, minutes)
        assert again.events == ()
        assert {one.key for one in again.incidents} == {one.key for one in found.incidents if one.state == "open"}
        return found

    def story(self, alerts: Iterable[Alert], minutes: float) -> list[tuple[str, str]]:
        """What the grouping added to stories: kind and incident, without the alerts that opened."""
        return [(one.kind, one.incident_key) for one in self.group(alerts, minutes).events if not _is_opening(one)]

    def open(self) -> dict[str, Incident]:
        return {row.key: row for row in self.rows.values() if row.state == "open"}

    def _group(self, alerts: Iterable[Alert], minutes: float) -> Grouping:
        placed = []
        for one in alerts:
            row_id, is_effect = self._where.get(one.key, (None, False))
            placed.append(structs.replace(one, incident_id=row_id, is_effect=is_effect))
        return group(placed, self.rows.values(), self.context, now=at(minutes))

    def _keep(self, found: Grouping) -> None:
        ids = {}
        for incident in found.incidents:
            row_id = incident.id or len(self.rows) + 1
            self.rows[row_id] = structs.replace(incident, id=row_id)
            ids[incident.key] = row_id
            if incident.state == "open":
                assert sum(row.key == incident.key and row.state == "open" for row in self.rows.values()) == 1
        for key, where in found.assignments.items():
            self._where[key] = ids[where.incident_key], where.is_effect


def _is_opening(event: Event) -> bool:
    return event.kind == "alert_opened"
