"""Simulated devices: when they can be heard, what their health looks like, and what a release does to them.

Moments are Unix seconds here.  All that chance decides is drawn from the script's seed and the device's id, so that a
rehearsal can be repeated.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import exp, log
from random import Random

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.waves.model import Candidate, Health
from annexfleet_controller.waves.rehearsal.script import Background, Release

DETECTED_AFTER_S = 90.0
"""A session that just stops is missed after one and a half keepalives."""
BEAT_S = 60.0
_BUCKET_S = 1800.0
"""Readings are means of half an hour."""
_SAMPLE_S = 600.0
_WEEK_S, _DAY_S, _HOUR_S = 604_800.0, 86_400.0, 3_600.0
_BOOTED_AFTER_S = 120.0


class Spell(Struct, frozen=True, order=True):
    """A time in which a device cannot be heard."""

    start: float
    end: float
    in_order: bool = False
    """It was switched off by somebody, and said goodbye."""


class Machine:
    """One device."""

    def __init__(self, of: Candidate, calendar: Calendar, spells: Sequence[Spell], *, seed: int) -> None:
        self.of = of
        self.calendar = calendar
        self.facts = dict(of.facts)
        self.changed_at: float | None = None
        self._spells = sorted(spells)
        self._starts = [spell.start for spell in self._spells]
        self._random = Random(f"{seed}:{of.id}")  # noqa: S311  # a toy world, no secrets
        self._noise_seed = f"{seed}:{of.id}"
        self._read: dict[tuple[str, int], float] = {}
        self._noise: dict[tuple[str, int], float] = {}
        self._drawn = Random(f"noise:{seed}:{of.id}")  # noqa: S311
        self._memory = self._random.uniform(0.3, 0.6)
        self._cpu = self._random.uniform(0.05, 0.2)
        self._phase_s = self._random.uniform(0, BEAT_S)
        self._restarts: list[float] = []
        self.jams: list[tuple[float, float]] = []
        self.fault = Release()
        self._silent_from: float | None = None

    # -- life

    def live(self, background: Background, since: float, until: float) -> None:
        """Draw what happens to it in [since, until): jams and restarts."""
        draw = self._random
        for at in poisson(draw, background.jams_of_device_a_day / _DAY_S * 3, since, until):
            if self.is_open(at):
                self.jams.append((at, at + 60 * log_uniform(draw, background.jam_minutes)))
        self._restarts = list(poisson(draw, background.restarts_of_device_a_week / _WEEK_S, since, until))

    def change(self, at: float, release: Release, new_facts: dict[str, str]) -> None:
        """Its run ended well at this moment: it has the release."""
        self.changed_at = at
        self._read.clear()
        self.facts.update(new_facts)
        if not self.has_fault(release):
            return
        self.fault = release
        if release.fault == "crash":
            self._silent_from = at + release.after_s * self._random.uniform(0.97, 1.03) + self._random.uniform(3, 40)
        elif release.fault == "under_load":
            self._silent_from = self._after_open_hours(at, self._random.expovariate(release.crashes_an_open_hour))

    def has_fault(self, release: Release) -> bool:
        of = self.of
        named = (
            (not release.models or of.model in release.models)
            and (not release.roles or of.role in release.roles)
            and (not release.annexes or of.annex_id in release.annexes)
            and (not release.devices or of.number in release.devices)
        )
        return bool(release.fault) and named and Random(f"share:{self._noise_seed}").random() < release.share  # noqa: S311

    # -- what can be seen of it

    def spell_at(self, at: float) -> Spell | None:
        place = bisect_right(self._starts, at) - 1
        while place >= 0:
            if at < self._spells[place].end:
                return self._spells[place]
            place -= 1
        return None

    def is_up(self, at: float) -> bool:
        return not self._is_silent(at) and self.spell_at(at) is None

    def up_since(self, at: float) -> float:
        """When it last said hello, while it is up."""
        return max((spell.end for spell in self._spells if spell.end <= at), default=0.0)

    def is_heard(self, at: float) -> bool:
        """Whether the controller believes that it is up: a loss is noticed late, a goodbye at once."""
        if self.is_up(at):
            return True
        spell = self.spell_at(at)
        if spell is not None and spell.in_order:
            return False
        return self.is_up(at - DETECTED_AFTER_S)

    def is_up_throughout(self, since: float, until: float) -> bool:
        if not self.is_up(since) or self._is_silent(until):
            return False
        return not any(spell.start < until and spell.end > since for spell in self._spells)

    def edges(self) -> Iterator[float]:
        """Moments at which something about it may be noticed."""
        for spell in self._spells:
            yield spell.start if spell.in_order else spell.start + DETECTED_AFTER_S
            yield spell.end

    def turns_silent(self) -> float | None:
        """When that is noticed, if the release silences it."""
        return None if self._silent_from is None else self._silent_from + DETECTED_AFTER_S

    def heard_at(self, at: float) -> float | None:
        """Its last beat up to this moment; it beats each minute while it is up, and once when it comes up."""
        beat = at - (at - self._phase_s) % BEAT_S
        if self._silent_from is not None and beat > self._silent_from:
            beat = self._silent_from - (self._silent_from - self._phase_s) % BEAT_S
        for _ in range(100):
            spell = self.spell_at(beat)
            if spell is None:
                return beat
            beat = spell.start - 1
        return None

    def is_open(self, at: float) -> bool:
        return self.calendar.is_open(_moment(at))

    def health(self, since: float, at: float, *, is_changed: bool) -> Health:
        """Its health since then, as the controller would have it at this moment."""
        spell = self.spell_at(at)
        heard = self.is_heard(at)
        # A machine that went off in order is missed by nobody; one that had fallen silent before said no goodbye.
        said_goodbye = spell is not None and spell.in_order and not self._is_silent(spell.start)
        expected = None if said_goodbye else heard
        before = self.spell_at(since)
        was_well = before is None or before.in_order
        had_jam = any(a <= since < b for a, b in self.jams)
        alerts = [(a, b) for a, b in self.jams if since < a <= at and not had_jam]
        readings = {
            name: (self._usual(name), self._reading(name, at)) for name in ("memory_used_ratio", "cpu_used_ratio")
        }
        slopes = {}
        if at - since >= 2 * _BUCKET_S:
            hours = (at - since - _BUCKET_S) / _HOUR_S
            slopes = {n: (self._reading(n, at) - self._reading(n, since + _BUCKET_S)) / hours for n in readings}
        return Health(
            number=self.of.number, annex_id=self.of.annex_id, model=self.of.model, role=self.of.role,
            is_changed=is_changed, since=_moment(since), was_well=was_well, is_online=expected,
            new_alerts={"printer_jam": "warning"} if alerts else {},
            over=("printer_jam",) if alerts and all(b <= at for _, b in alerts) else (),
            restarts=self._restarts_within(since, at),
            readings=readings if heard else {}, slopes=slopes if heard else {},
        )  # fmt: skip

    # -- within

    def _is_silent(self, at: float) -> bool:
        return self._silent_from is not None and at >= self._silent_from

    def _restarts_within(self, since: float, until: float) -> int:
        count = sum(since < at <= until for at in self._restarts)
        if self.fault.fault == "crash_loop" and self.changed_at is not None:
            count += max(0, int((until - max(since, self.changed_at + self.fault.after_s)) / self.fault.every_s))
        if self.fault.fault == "leak" and self.changed_at is not None:
            count += int(max(0.0, until - self.changed_at) / self._full_after_s())
        return count

    def _full_after_s(self) -> float:
        return max(600.0, (0.98 - self._memory) / max(1e-6, self.fault.leak_an_hour) * _HOUR_S)

    def _usual(self, name: str) -> float:
        return self._memory if name == "memory_used_ratio" else self._cpu

    def _reading(self, name: str, at: float) -> float:
        """The mean of the half hour before this moment."""
        key = name, int(at / _SAMPLE_S)
        if key not in self._read:
            self._read[key] = self._drawn_reading(name, key[1] * _SAMPLE_S)  # all devices are read at one moment
        return self._read[key]

    def _drawn_reading(self, name: str, at: float) -> float:
        load = 1.0 if self.is_open(at - _BUCKET_S / 2) else 0.0
        bucket = name, int(at / _BUCKET_S)
        if bucket not in self._noise:
            self._noise[bucket] = self._drawn.gauss(0, 1)
        noise = self._noise[bucket]
        if name == "cpu_used_ratio":
            return max(0.0, self._cpu + 0.15 * load + 0.04 * noise)
        leaked = 0.0
        if self.fault.fault == "leak" and self.changed_at is not None:
            leaked = self.fault.leak_an_hour * (max(0.0, at - self.changed_at) % self._full_after_s()) / _HOUR_S
        return min(1.0, self._memory + 0.06 * load + 0.015 * noise + leaked)

    def _after_open_hours(self, since: float, hours: float) -> float:
        """The moment when its annex has been open for so many hours since then."""
        left = hours * _HOUR_S
        for start, end in self.calendar.spans(_moment(since), _moment(since + 60 * _DAY_S)):
            lasts_s = (end - start).total_seconds()
            if lasts_s >= left:
                return start.timestamp() + left
            left -= lasts_s
        return since + 60 * _DAY_S


def poisson(draw: Random, rate: float, since: float, until: float) -> Iterator[float]:
    if rate <= 0:
        return
    at = since + draw.expovariate(rate)
    while at < until:
        yield at
        at += draw.expovariate(rate)


def log_uniform(draw: Random, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return exp(draw.uniform(log(low), log(high)))


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
