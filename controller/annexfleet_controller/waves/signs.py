"""What is to be seen of a device's health after a change: signs that something is wrong now, or was.

Offline, an alert of its own that is open, machine or agent that start again and again: these are *now*.  An alert that
has cleared, one restart: these *were*.  A device that was away or unsteady before its change proves nothing either way,
and one that is switched off in order, or is gone together with untouched devices of its annex, cannot be watched.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from annexfleet_controller.waves.model import Health

SignCode = Literal["offline", "alert", "restarting", "alert_over", "restarted"]
RESTARTS_AGAIN_AND_AGAIN = 3
"""Two restarts in a night happen to sound agents; three have a cause."""


class Sign(Struct, frozen=True):
    code: SignCode
    rule: str = ""
    """Of an alert."""

    @property
    def is_now(self) -> bool:
        return self.code in {"offline", "alert", "restarting"}


_NONE: frozenset[Sign] = frozenset()


class Watched(Struct, frozen=True):
    """A device's health, and what it shows."""

    health: Health
    signs: frozenset[Sign]
    is_watched: bool
    seconds: float
    """For how long."""

    @property
    def is_changed(self) -> bool:
        return self.health.is_changed


def watched(health: Sequence[Health], *, now: datetime) -> tuple[Watched, ...]:
    """Every device once, by number, with its signs."""
    one_each = sorted({one.number: one for one in health}.values(), key=lambda one: one.number)
    gone = _annexes_gone(one_each)
    return tuple(_watched(one, gone, now) for one in one_each)


def _watched(one: Health, gone: frozenset[str], now: datetime) -> Watched:
    seconds = max(0.0, (now - one.since).total_seconds())
    if not one.was_well or one.is_online is None or (one.is_online is False and one.annex_id in gone):
        return Watched(one, _NONE, False, seconds)
    if one.is_online and not one.new_alerts and not one.restarts:
        return Watched(one, _NONE, True, seconds)
    found = {Sign("alert_over" if rule in one.over else "alert", rule) for rule in one.new_alerts}
    if one.is_online is False:
        found.add(Sign("offline"))
    if one.restarts:
        found.add(Sign("restarting" if one.restarts >= RESTARTS_AGAIN_AND_AGAIN else "restarted"))
    return Watched(one, frozenset(found), True, seconds)


def _annexes_gone(health: Sequence[Health]) -> frozenset[str]:
    """Annexes of which half of the untouched devices or more are silent: a cut of its line or its mains."""
    silent, untouched = Counter[str](), Counter[str]()
    for one in health:
        if not one.is_changed and one.is_online is not None:
            untouched[one.annex_id] += 1
            silent[one.annex_id] += not one.is_online
    return frozenset(annex for annex, count in silent.items() if count and 2 * count >= untouched[annex])
