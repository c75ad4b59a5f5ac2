"""When a rollout will be over, from measured durations and windows.

A walk through what is left: in each wave devices are begun in their order, so many at once, those of one annex one
after the other, each where the window of its annex has room for it; then the wave is looked at for as long as its soak
takes.  It is a forecast of an undisturbed rollout: nobody stops it, everybody is there, every gate says GO.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.waves import soaking, windows
from annexfleet_controller.waves.model import OVER, SETTLED, Policy, Rollout, Target

Why = Literal[
    "measured",  # from durations of this rollout
    "assumed",  # nothing was measured yet: from what the playbook says of itself
    "without_deferred",  # as measured or assumed, but some devices are away: they are run when they return
    "no_window",  # an annex has no window with room for it within 60 days
    "waits_for_people",  # it is a draft, waits for approval or its start, is paused, or was stopped
    "over",
]
"""What a forecast rests on, or why there is none."""
WHYS: tuple[Why, ...] = get_args(Why)

LEAST_MEASURED = 3
"""From fewer durations nothing is concluded."""
_QUANTILE = 0.75
"""Of the durations, as the slow ones are what a wave waits for."""
_SOAK_HORIZON = timedelta(days=30)


class Forecast(Struct, frozen=True, kw_only=True):
    """When a rollout is over."""

    ends_at: datetime | None
    """None where nobody can tell; never after the rollout's deadline."""
    seconds_left: float | None
    why: Why
    is_cut: bool = False
    """Whether the deadline comes first: what is not begun by then is skipped."""


def forecast(
    rollout: Rollout,
    targets: Iterable[Target],
    calendars: Mapping[str, Calendar],
    durations: Sequence[float],
    now: datetime,
    *,
    as_if_started: bool = False,
) -> Forecast:
    """When it will be over, if nothing comes in between.

    `calendars`: by annex; the default hours count for one that is missing.  `durations`: seconds that devices of this
    rollout took from begin to end.  `as_if_started`: what it would be if a person let it go on, or start, now.
    """
    if rollout.state in OVER:
        return Forecast(ends_at=None, seconds_left=0.0, why="over")
    if rollout.state != "running" and not as_if_started:
        return Forecast(ends_at=None, seconds_left=None, why="waits_for_people")
    targets = [target for target in targets if target.wave]
    takes_s = expected_s(rollout, durations)
    walk = _Walk(rollout.policy, calendars, takes_s, one_by_one=rollout.nature.interrupts)
    moment, last = now, max((target.wave for target in targets), default=0)
    for wave in sorted({target.wave for target in targets}):
        of_wave = [target for target in targets if target.wave == wave]
        left = [target for target in of_wave if target.state not in SETTLED]
        ended = walk.roll(sorted(left, key=lambda target: target.position), moment)
        if ended is None:
            return Forecast(ends_at=rollout.deadline_at, seconds_left=_left(rollout.deadline_at, now), why="no_window")
        moment = ended
        is_last = wave == last
        if rollout.wave <= wave and (not is_last or _is_watched_on(rollout, last)):
            soaks = rollout.phase == "soaking" and wave == rollout.wave
            since = (rollout.wave_since if soaks else None) or moment
            annexes = {target.annex_id for target in of_wave}
            moment = max(moment, walk.soaked(since, annexes, wave=wave, is_last=is_last))
    why: Why = "measured" if len(durations) >= LEAST_MEASURED else "assumed"
    if any(target.state == "deferred" for target in targets):
        why = "without_deferred"
    deadline = rollout.deadline_at
    is_cut = deadline is not None and moment > deadline
    ends_at = deadline if is_cut else moment
    return Forecast(ends_at=ends_at, seconds_left=_left(ends_at, now), why=why, is_cut=is_cut)


def _is_watched_on(rollout: Rollout, last: int) -> bool:
    """Whether it is watched after its last wave, and was not yet."""
    has_passed = rollout.wave >= last and not rollout.phase
    return soaking.watches_on(rollout.policy) and not has_passed


def expected_s(rollout: Rollout, durations: Sequence[float]) -> float:
    """How long one device takes, in seconds: three quarters of those measured took no longer.

    From fewer than three it is what the playbook says of itself; never more than the time at which a run is given up.
    """
    if len(durations) < LEAST_MEASURED:
        return min(rollout.nature.takes_s, rollout.policy.timeout_s)
    ordered = sorted(durations)
    return min(ordered[min(len(ordered) - 1, int(_QUANTILE * len(ordered)))], rollout.policy.timeout_s)


class _Walk:
    """Through the waves, in the windows of their annexes."""

    def __init__(
        self, policy: Policy, calendars: Mapping[str, Calendar], takes_s: float, *, one_by_one: bool
    ) -> None:  # fmt: skip
        self._policy, self._calendars, self._takes_s, self._one_by_one = policy, calendars, takes_s, one_by_one
        self._takes = timedelta(seconds=takes_s)
        self._rooms: dict[tuple[int, datetime], datetime | None] = {}

    def roll(self, targets: Sequence[Target], begins: datetime) -> datetime | None:
        """When all of them have ended; None where one finds no room."""
        slots = [begins] * self._policy.most_at_once
        free: dict[str, datetime] = {}
        ends = begins
        waiting: list[tuple[datetime, int, str]] = []
        for place, target in enumerate(targets):
            if target.state in ("running", "verifying"):
                ended = max(begins, (target.begun_at or begins) + self._takes)
                ends = max(ends, self._occupy(slots, free, target.annex_id, ended))
            elif target.state != "deferred":
                at = self._room(target.annex_id, max(begins, target.not_before or begins))
                if at is None:
                    return None
                waiting.append((at, place, target.annex_id))
        heapq.heapify(waiting)
        while waiting:
            at, place, annex_id = heapq.heappop(waiting)
            earliest = max(at, slots[0], free.get(annex_id, begins))
            room = self._room(annex_id, earliest)
            if room is None:
                return None
            # Its annex is busy or closed its window meanwhile: others come before it.
            if room > max(at, slots[0]):
                heapq.heappush(waiting, (room, place, annex_id))
                continue
            ends = max(ends, self._occupy(slots, free, annex_id, room + self._takes))
        return ends

    def _occupy(self, slots: list[datetime], free: dict[str, datetime], annex_id: str, until: datetime) -> datetime:
        heapq.heapreplace(slots, until)
        if self._one_by_one:
            free[annex_id] = max(until, free.get(annex_id, until))
        return until

    def soaked(self, since: datetime, annexes: Iterable[str], *, wave: int, is_last: bool) -> datetime:
        """When a wave that ended then was looked at for long enough."""
        soak_s, open_s = soaking.length(self._policy, wave, is_last=is_last)
        soaked = since + timedelta(seconds=soak_s)
        if open_s <= 0:
            return soaked
        calendars = {id(calendar): calendar for annex in annexes if (calendar := self._calendar(annex)) is not None}
        opened = [at for calendar in calendars.values() if (at := _after_open(calendar, since, open_s)) is not None]
        return max(soaked, min(opened, default=soaked))

    def _calendar(self, annex_id: str) -> Calendar:
        return self._calendars.get(annex_id, DEFAULT)

    def _room(self, annex_id: str, at: datetime) -> datetime | None:
        calendar = self._calendar(annex_id)
        key = id(calendar), at
        if key not in self._rooms:
            self._rooms[key] = windows.first_room(calendar, self._policy, at, self._takes_s)
        return self._rooms[key]


def _after_open(calendar: Calendar, since: datetime, seconds: float) -> datetime | None:
    """When so many seconds of opening time have passed; None if they do not within 30 days."""
    left = timedelta(seconds=seconds)
    for opens_at, closes_at in calendar.spans(since, since + _SOAK_HORIZON):
        if closes_at - opens_at >= left:
            return opens_at + left
        left -= closes_at - opens_at
    return None


def _left(ends_at: datetime | None, now: datetime) -> float | None:
    return None if ends_at is None else max(0.0, (ends_at - now).total_seconds())
