"""Somebody says "I fixed it", and what the devices report afterwards decides.  Thinks only.

A device tells at once what changed, and nothing of what stays as it was.  So a newer reading shows that the trouble is
gone; that all is as before follows when the device was still heard so long after the claim that it must have looked
again (`reads_within_s`), and told no change.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct, structs

from annexfleet_agent.protocol.causes import CAUSES as PRINTER_CAUSES
from annexfleet_controller.things import Alert, Thing, ThingKind

Outcome = Literal["checking", "confirmed", "not_confirmed", "unknown"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


class Patience(Struct, frozen=True):
    """How long verifying takes."""

    reads_within_s: float
    """So long after something changed its device has looked at it for sure."""
    deadline_s: float
    """So long after the claim there is an answer; it is what people are told."""


PRINTER = Patience(100.0, 120.0)
"""Source: the agent's defaults; it asks a printer itself every 90 s, in passes every 30 s, and waits some seconds for
the answer."""
ORDINARY = Patience(75.0, 180.0)
"""Source: the agent's collectors of network, portals, disks and battery, which look every 60 s."""
SLOW = Patience(320.0, 360.0)
"""What a device looks at, or sums up in a beat, every 300 s."""
RETURNING = Patience(290.0, 300.0)
"""What was switched off or cut off has to start and to find its way back; after a cut devices return one by one."""

_RETURNING_CAUSES = frozenset({"device_offline", "device_missing", "line_cut", "power_cut", "queue_silent"})
_SLOW_CAUSES = frozenset(
    {
        "cpu_high", "memory_high", "swap_high", "clock_wrong", "reboot_needed", "reboot_unexpected", "agent_outdated",
        "agent_backlog", "config_drift", "orders_forged", "disk_low", "disk_critical",
    }
)  # fmt: skip
_OF_PRINTERS = frozenset(
    {"jam_repeat", "supply_low", "supply_empty", "print_queue_deep", "print_queue_healed", "print_queue_not_healed"}
)


class Claim(Struct, frozen=True, kw_only=True):
    """Somebody's word that an incident's cause is mended, and what became of it."""

    id: int = 0
    """0 until it is stored."""
    incident_id: int
    alerts: tuple[int, ...]
    """Ids of those that must clear: the causes of the incident that were open."""
    thing: Thing
    cause: str
    """Of the guidance catalogue: what is said to be mended."""
    numbers: tuple[int, ...] = ()
    """Numbers of the devices that can tell."""
    claimed_at: datetime
    by: str
    deadline: datetime
    reads_within_s: float
    outcome: Outcome = "checking"
    settled_at: datetime | None = None
    still: str = ""
    """Of `not_confirmed`: the cause that is still reported, perhaps another one."""

    def left_s(self, now: datetime) -> float:
        """Seconds to the deadline; 0 if it is past or all is decided."""
        return max(0.0, (self.deadline - now).total_seconds()) if self.outcome == "checking" else 0.0


class Shown(Struct, frozen=True, kw_only=True):
    """What is known of one alert of a claim."""

    level: Literal["raise", "clear", "unknown"]
    cause: str = ""
    told_at: datetime
    """Of the newest reading that it was judged by."""
    heard_at: datetime | None = None
    """When a device that can tell was heard last, whatever it said."""


def patience(kind: ThingKind, cause: str) -> Patience:
    """How long verifying takes for trouble of this kind of thing and this cause."""
    if kind == "printer" or cause in PRINTER_CAUSES or cause in _OF_PRINTERS:
        return PRINTER
    if cause in _RETURNING_CAUSES:
        return RETURNING
    return SLOW if cause in _SLOW_CAUSES else ORDINARY


def claim(
    *,
    incident_id: int,
    alerts: Iterable[Alert],
    thing: Thing,
    cause: str,
    numbers: Iterable[int],
    by: str,
    now: datetime,
) -> Claim:
    """A new claim about these alerts."""
    of = patience(thing.kind, cause)
    return Claim(
        incident_id=incident_id, alerts=tuple(sorted(alert.id for alert in alerts)), thing=thing, cause=cause,
        numbers=tuple(numbers), claimed_at=now, by=by, deadline=now + timedelta(seconds=of.deadline_s),
        reads_within_s=of.reads_within_s,
    )  # fmt: skip


def shown(alert: Alert, *, heard_at: datetime | None) -> Shown:
    """What an alert says of its condition; `heard_at` is that of the devices that can tell."""
    if alert.state == "cleared" or alert.clearing_since is not None:
        told_at = max(alert.evidence_at, alert.clearing_since or alert.evidence_at)
        return Shown(level="clear", told_at=told_at, heard_at=heard_at)
    level: Literal["raise", "unknown"] = "raise" if alert.unknown_since is None else "unknown"
    return Shown(level=level, cause=alert.cause, told_at=alert.evidence_at, heard_at=heard_at)


def settle(claim: Claim, found: Sequence[Shown], *, now: datetime) -> Claim:
    """The claim with what can be said of it now; unchanged while that is nothing, or if it was settled before.

    Confirmed only by evidence newer than the claim, of every alert.  Not confirmed where newer evidence still shows
    one, once the device had the time to look again; at the deadline also where it was heard since and told no change.
    Unknown where nothing newer was heard up to the deadline.
    """
    if claim.outcome != "checking":
        return claim
    if found and all(one.level == "clear" and _is_newer(claim, one) for one in found):
        return structs.replace(claim, outcome="confirmed", settled_at=now)
    had_time = now >= claim.claimed_at + timedelta(seconds=claim.reads_within_s)
    still = [one for one in found if one.level == "raise" and _is_newer(claim, one)]
    if now >= claim.deadline:
        still += [one for one in found if one.level == "raise" and _was_heard(claim, one)]
    if still and had_time:
        return structs.replace(claim, outcome="not_confirmed", settled_at=now, still=still[0].cause or claim.cause)
    if now >= claim.deadline:
        return structs.replace(claim, outcome="unknown", settled_at=now)
    return claim


def _is_newer(claim: Claim, one: Shown) -> bool:
    """Whether it is known of a moment after the claim: told since, or looked at since without a change to tell."""
    if one.told_at > claim.claimed_at:
        return True
    looked_again = timedelta(seconds=claim.reads_within_s)
    return one.heard_at is not None and one.heard_at - looked_again > claim.claimed_at


def _was_heard(claim: Claim, one: Shown) -> bool:
    return one.heard_at is not None and one.heard_at > claim.claimed_at
