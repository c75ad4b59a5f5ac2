"""The form of a rehearsal as it was sent, and what goes wrong by it."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from annexfleet_controller.rollouts.rehearsing import FAULTS, MISHAPS, Mishap, Release
from annexfleet_controller.waves.mishaps import Fault

__all__ = ["FAULTS", "MISHAPS", "Asked", "form"]

_LEAK_AN_HOUR = 0.03


class Asked(Struct, frozen=True, kw_only=True):
    """What a person wants to go wrong; by itself nothing."""

    fault: Fault = ""
    share: float = 100.0
    """Percent of the devices that have the fault."""
    after: float = 0.0
    """Minutes after their change."""
    ordinary: bool = False
    counts: Mapping[str, int] = {}
    """So many devices, or annexes without power, by kind of mishap."""
    hours: Mapping[str, float] = {}
    """So long each of them lasts."""
    at: float = 0.0
    """Minutes after the start: when they begin."""

    @property
    def release(self) -> Release:
        leak = _LEAK_AN_HOUR if self.fault == "leak" else 0.0
        return Release(fault=self.fault, share=self.share / 100, after_s=self.after * 60, leak_an_hour=leak)

    @property
    def mishaps(self) -> tuple[Mishap, ...]:
        return tuple(
            Mishap(kind=kind, count=self.counts[kind], at_s=self.at * 60, lasts_s=self.hours.get(kind, 1.0) * 3600)
            for kind in MISHAPS
            if self.counts.get(kind)
        )


def form(asked: Asked) -> dict[str, Any]:
    """What the form's template needs."""
    return {"rehearse": asked, "faults": FAULTS, "mishaps": MISHAPS}
