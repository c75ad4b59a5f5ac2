"""Short words for alerts, verdicts and rules in tests.  All moments are minutes from 10:00 on a working Wednesday."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from annexfleet_controller.rules.model import Is, Rule
from annexfleet_controller.things import Alert, Level, Thing, ThingKind, Verdict

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
