"""When a rollout will be over, from measured durations and windows.

A walk through what is left: in each wave devices are begun in their order, two at once and then as many as have ended
well, those of one annex one after the other, each where the window of its annex has room for it; each is waited for
until it has reported; then the wave is looked at for as long as its soak takes, the last one, too.  It is a forecast of
an undisturbed rollout: nobody stops it, everybody is there, every gate says GO.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct, structs

from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.waves import beginning, soaking, windows
from annexfleet_controller.waves.model import OVER, SETTLED, TOUCHED, Rollout, Target

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
VERIFIES_S = 300.0
"""Until a device has reported after its run, at most: it sums up what it knows once in so long (its beat)."""

Spans = tuple[tuple[datetime, datetime], ...]


class ExpectedWave(Struct, frozen=True, kw_only=True):
    """One wave that is not over yet: when it is changed, and until when it is watched."""

    number: int
    begins_at: datetime | None
    """Of its first device; None where none of it has to be begun."""
    rolled_at: datetime
    """When its last device has reported."""
    soaked_at: datetime
    """When it was watched for long enough; equal to `rolled_at` where nothing of it is watched."""
    spans: Spans = ()
    """When devices of it are being changed: several where a window closes in between."""
    is_after_deadline: bool = False
    """Whether the rollout's time is up before it begins."""


class Forecast(Struct, frozen=True, kw_only=True):
    """When a rollout is over."""

    ends_at: datetime | None
    """None where nobody can tell; never after the rollout's deadline."""
    seconds_left: float | None
    why: Why
    is_cut: bool = False
    """Whether the deadline comes first: what is not begun by then is skipped."""
    late_at: datetime | None = None
    """Where it does: when it would be over without a deadline."""
    waves: tuple[ExpectedWave, ...] = ()
    """In order, without those that are over; up to the first that finds no window."""


def forecast(
    rollout: Rollout,
    targets: Iterable[Target],
    calendars: Mapping[str, Calendar],
    durations: Sequence[float],
    now: datetime,
    *,
    as_if_started: bool = False,
    deadline_s: float | None = None,
) -> Forecast:
    """When it will be over, if nothing comes in between.

    `calendars`: by annex; the default hours count for one that is missing.  `durations`: seconds that runs of its
    playbook took on one device.  `as_if_started`: what it would be if a person let it go on, or start, now.
    `deadline_s`: of one that was not started, whose deadline counts from its start.
    """
    if rollout.state in OVER:
        return Forecast(ends_at=None, seconds_left=0.0, why="over")
    if rollout.state != "running" and not as_if_started:
        return Forecast(ends_at=None, seconds_left=None, why="waits_for_people")
    deadline = rollout.deadline_at
    if deadline is None and deadline_s is not None:
        deadline = now + timedelta(seconds=deadline_s)
    targets = [target for target in targets if target.wave]
    found, moment = _waves(rollout, targets, _Walk(rollout, targets, calendars, expected_s(rollout, durations)), now)
    expected = tuple(
        structs.replace(wave, is_after_deadline=True) if deadline and (wave.begins_at or now) > deadline else wave
        for wave in found
    )
    if moment is None:
        return Forecast(ends_at=deadline, seconds_left=_left(deadline, now), why="no_window", waves=expected)
    why: Why = "measured" if len(durations) >= LEAST_MEASURED else "assumed"
    if any(target.state == "deferred" for target in targets):
        why = "without_deferred"
    is_cut = deadline is not None and moment > deadline
    ends_at = deadline if is_cut else moment
    return Forecast(
        ends_at=ends_at, seconds_left=_left(ends_at, now), why=why, is_cut=is_cut, waves=expected,
        late_at=moment if is_cut else None,
    )  # fmt: skip


def _waves(
    rollout: Rollout, targets: Sequence[Target], walk: "_Walk", now: datetime
) -> tuple[list[ExpectedWave], datetime | None]:
    """Those that are not over, and when all is; None for that where one finds no window."""
    found: list[ExpectedWave] = []
    by_wave: dict[int, list[Target]] = {}
    for target in targets:
        by_wave.setdefault(target.wave, []).append(target)
    moment, last = now, max(by_wave, default=0)
    for number, of_wave in sorted(by_wave.items()):
        left = sorted((one for one in of_wave if one.state not in SETTLED), key=lambda one: one.position)
        spans = walk.roll(left, moment)
        if spans is None:
            return found, None
        moment = max([moment, *(until for _, until in spans)])
        if number < rollout.wave or (number == rollout.wave and not rollout.phase):
            continue  # watched already: what is left of it was away
        is_now = number == rollout.wave
        soaks = is_now and rollout.phase == "soaking" and rollout.wave_since is not None
        rolled_at = rollout.wave_since if soaks and rollout.wave_since is not None else moment
        soaked_at = max(moment, walk.soaked(rolled_at, targets, number, is_last=number == last))
        begun = [one.begun_at for one in of_wave if one.begun_at is not None] if is_now else []
        found.append(
            ExpectedWave(
                number=number, begins_at=min([*begun, *(since for since, _ in spans)], default=None),
                rolled_at=rolled_at, soaked_at=soaked_at, spans=() if soaks else _joined(spans),
            )
        )  # fmt: skip
        moment = soaked_at
    return found, moment


def _joined(spans: Iterable[tuple[datetime, datetime]]) -> Spans:
    """Those that touch or overlap as one, in order."""
    found: list[tuple[datetime, datetime]] = []
    for since, until in sorted(spans):
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((since, until))
    return tuple(found)


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
        self, rollout: Rollout, targets: Sequence[Target], calendars: Mapping[str, Calendar], takes_s: float
    ) -> None:  # fmt: skip
        self._policy, self._calendars, self._takes_s = rollout.policy, calendars, takes_s
        self._one_by_one = rollout.nature.interrupts
        self._takes = timedelta(seconds=takes_s)
        self._verifies = timedelta(seconds=min(VERIFIES_S, rollout.policy.verify_within_s))
        self._well = sum(target.state == "succeeded" and target.begun_at is not None for target in targets)
        self._rooms: dict[tuple[int, datetime], datetime | None] = {}

    def roll(self, targets: Sequence[Target], begins: datetime) -> list[tuple[datetime, datetime]] | None:
        """When each of them is begun and has reported, without those that are away; None where one finds no room."""
        under_way: list[datetime] = []
        free: dict[str, datetime] = {}
        found: list[tuple[datetime, datetime]] = []
        waiting: list[tuple[datetime, int, str]] = []
        for place, target in enumerate(targets):
            if target.state in ("running", "verifying"):
                until = max(begins, self._reports_at(target, begins))
                found.append((begins, self._occupy(under_way, free, target.annex_id, until)))
            elif target.state != "deferred":
                at = self._room(target.annex_id, max(begins, target.not_before or begins))
                if at is None:
                    return None
                waiting.append((at, place, target.annex_id))
        heapq.heapify(waiting)
        moment = begins
        while waiting:
            at, place, annex_id = heapq.heappop(waiting)
            moment = self._slot(under_way, max(at, moment))
            room = self._room(annex_id, max(moment, free.get(annex_id, begins)))
            if room is None:
                return None
            # Its annex is busy or closed its window meanwhile: others come before it.
            if room > moment:
                heapq.heappush(waiting, (room, place, annex_id))
                continue
            until = room + self._takes + self._verifies
            found.append((room, self._occupy(under_way, free, annex_id, until)))
        self._well += len(under_way)
        return found

    def _reports_at(self, target: Target, begins: datetime) -> datetime:
        """When one that was begun will have reported."""
        if target.state == "verifying":
            return (target.run_ended_at or begins) + self._verifies
        return max(begins, (target.begun_at or begins) + self._takes) + self._verifies

    def _slot(self, under_way: list[datetime], at: datetime) -> datetime:
        """The first moment from `at` on at which one more may be under way: as many may be as have ended well."""
        while under_way:
            if under_way[0] > at:
                if len(under_way) < min(self._policy.most_at_once, max(beginning.FEWEST_AT_ONCE, self._well)):
                    return at
                at = under_way[0]
            heapq.heappop(under_way)
            self._well += 1
        return at

    def _occupy(self, under_way: list[datetime], free: dict[str, datetime], annex_id: str, until: datetime) -> datetime:
        heapq.heappush(under_way, until)
        if self._one_by_one:
            free[annex_id] = max(until, free.get(annex_id, until))
        return until

    def soaked(self, since: datetime, targets: Iterable[Target], wave: int, *, is_last: bool) -> datetime:
        """When a wave that ended then was looked at for long enough, as the gate counts it."""
        every = is_last and soaking.watches_on(self._policy)
        annexes = {
            target.annex_id
            for target in targets
            if (every or target.wave == wave) and (target.state in TOUCHED or target.state == "waiting")
        }
        if not annexes:
            return since  # nothing was changed: nothing is watched
        calendars = [self._calendar(annex_id) for annex_id in sorted(annexes)]
        return soaking.due(self._policy, wave, since, calendars, is_last=is_last)

    def _calendar(self, annex_id: str) -> Calendar:
        return self._calendars.get(annex_id, DEFAULT)

    def _room(self, annex_id: str, at: datetime) -> datetime | None:
        calendar = self._calendar(annex_id)
        key = id(calendar), at
        if key not in self._rooms:
            self._rooms[key] = windows.first_room(calendar, self._policy, at, self._takes_s)
        return self._rooms[key]


def _left(ends_at: datetime | None, now: datetime) -> float | None:
    return None if ends_at is None else max(0.0, (ends_at - now).total_seconds())
