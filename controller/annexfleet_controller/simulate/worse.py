"""Devices that a release makes worse after it succeeded, and who is befallen by what: in the words of rehearsals.

It only thinks: moments are the world's, in Unix seconds, so a simulated day that passes faster brings a crash "after an
hour" sooner too.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random

from annexfleet_controller.simulate.day import is_open
from annexfleet_controller.simulate.province import Machine, Province
from annexfleet_controller.simulate.troubles import MOST_MINUTES, Trouble
from annexfleet_controller.waves.rehearsal.script import Mishap, Release

_FULL = 0.98
"""Share of the memory at which a machine starts anew."""
_HOUR_S = 3600.0


def troubles_of(mishaps: Sequence[Mishap], province: Province, *, seed: int, since_s: float = 0.0) -> list[Trouble]:
    """Mishaps as troubles of this province, `since_s` after its first moment: those whom they befall are drawn."""
    found = []
    for place, mishap in enumerate(mishaps):
        draw = Random(f"mishap:{seed}:{place}")  # noqa: S311  # a toy world, no secrets
        minutes = min(MOST_MINUTES, max(1e-3, mishap.lasts_s / 60))
        after = max(0.0, since_s + mishap.at_s) / 60
        places = [
            (number, machine.name) for number, annex in enumerate(province.annexes, 1) for machine in annex.machines
        ]
        if mishap.kind == "power":
            places = [(number, "") for number in range(1, len(province.annexes) + 1)]
        for annex, device in sorted(draw.sample(places, min(mishap.count, len(places)))):
            found.append(Trouble(kind=mishap.kind, minutes=minutes, after_minutes=after, annex=annex, device=device))
    return found


class Worsening:
    """What a release does to one machine, from the moment it was changed."""

    def __init__(self, release: Release, machine: Machine, *, seed: int) -> None:
        self._machine = machine
        self._release = release
        self._draw = Random(f"worse:{seed}:{machine.serial}")  # noqa: S311
        self._has_it = bool(release.fault) and _is_named(release, machine) and self._draw.random() < release.share
        self._changed_at: float | None = None
        self._at = 0.0
        self._open_s_left = math.inf

    @property
    def fails(self) -> bool:
        """Its run fails."""
        return self._has_it and self._release.fault == "play_fails"

    @property
    def hangs(self) -> bool:
        """Its run never ends."""
        return self._has_it and self._release.fault == "hangs"

    def changed(self, now: float) -> None:
        """A run that changed something ended well on it."""
        self._changed_at = self._at = now
        self._open_s_left = self._draw.expovariate(self._release.crashes_an_open_hour) * _HOUR_S

    def pass_time(self, province: Province) -> None:
        """Bring the machine in line with how long ago it was changed."""
        now, machine, fault = province.now, self._machine, self._release.fault
        if self._changed_at is None or not self._has_it or not machine.running:
            self._at = now
            return
        since, step, self._at = now - self._changed_at, now - self._at, now
        if fault == "crash":
            machine.silent = since >= self._release.after_s
        elif fault == "crash_loop":
            machine.agent_starts = max(0, int((since - self._release.after_s) / self._release.every_s))
        elif fault == "leak":
            machine.leaked += self._release.leak_an_hour * step / _HOUR_S
            if machine.memory + machine.leaked >= _FULL:
                machine.leaked, machine.booted_at = 0.0, now
                machine.agent_starts += 1
        elif fault == "under_load" and is_open(province.local(), province.hours):
            self._open_s_left -= step
            machine.silent = self._open_s_left <= 0


def _is_named(release: Release, machine: Machine) -> bool:
    return all(_fits(release, machine))


def _fits(release: Release, machine: Machine) -> Iterator[bool]:
    yield not release.models or machine.model in release.models
    yield not release.roles or machine.role in release.roles
    yield not release.annexes or machine.annex_id in release.annexes
