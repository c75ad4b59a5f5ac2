"""How changed devices fare, and untouched ones beside them: what the gate compares (`waves.model.Health`)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.rollouts import beside
from annexfleet_controller.rollouts.eyes import LOOKED_BACK, Eyes, Point
from annexfleet_controller.store.rollout_evidence import Chosen, Trouble
from annexfleet_controller.views import DeviceView
from annexfleet_controller.waves.blaming import Fault, Standing
from annexfleet_controller.waves.model import Health, Rollout, Target

OTHERS_FOR_EACH = 10
OTHERS_LEAST = 50
"""Untouched devices, for each changed one and in all: what happens to sound devices meanwhile."""
OTHERS_MOST = 400
"""More tell nothing new."""
CHOSEN_ANEW = timedelta(minutes=2)
_OWN_RESTART = timedelta(minutes=3)
"""What a run restarted comes back within so long after its end."""
_SAME_RESTART = timedelta(minutes=5)
_SLOPE_AFTER = timedelta(minutes=30)
_UNSTEADY = frozenset({"device.offline", "device.missing", "device.flapping", "reboot.unexpected"})
"""Alerts of a device of which nobody can tell afterwards whether its silence is new."""
_WORTH_TELLING = frozenset({"warning", "critical"})


class _Known(Struct, frozen=True):
    """What a device's figures rest on: they are computed anew only when one of these moved."""

    since: datetime
    newest: datetime | None


class Ward:
    """The devices whose health is looked at for one rollout."""

    def __init__(self) -> None:
        self._others: list[int] = []
        self._chosen_for: tuple[int, int] | None = None
        """Wave, and how many were changed."""
        self._chosen_at: datetime | None = None
        self._figures: dict[int, tuple[_Known, Mapping[str, tuple[float, float]], Mapping[str, float]]] = {}

    def health(
        self, db: Session, eyes: Eyes, rollout: Rollout, targets: Sequence[Target], *, now: datetime
    ) -> tuple[Health, ...]:
        """Every changed device since its run ended, and untouched ones for as long as the wave's."""
        changed = {
            target.number: _changed_since(rollout, target) or now
            for target in targets
            if target.is_touched and target.begun_at is not None and target.number in eyes.devices
        }
        if not changed:
            return ()
        wave_since = _wave_since(rollout, targets, now)
        others = self._untouched(eyes, rollout, targets, changed, now)
        watched = [*changed, *others]
        eyes.points(db, watched, since=min([wave_since, *changed.values()]) - LOOKED_BACK, now=now)
        views = eyes.views(db, watched, now=now)
        silent = _Silent(eyes, now)
        standings = _standings(eyes, rollout, targets, changed=changed, others=others)
        strangers = eyes.begun.difference(target.number for target in targets)
        beside_them = beside.counted(db, eyes, standings, strangers, now=now)
        return tuple(
            self._health(
                eyes,
                views[number],
                changed.get(number, wave_since),
                is_changed=number in changed,
                is_accepted=changed.get(number) == rollout.accepted_at is not None,
                silent=silent,
                beside_it=beside_them.get(number, ()),
            )
            for number in watched
            if number in views
        )

    def _untouched(
        self, eyes: Eyes, rollout: Rollout, targets: Sequence[Target], changed: Collection[int], now: datetime
    ) -> list[int]:
        """Chosen once and kept, so that they were looked at for as long; one that is touched meanwhile drops out."""
        touched = eyes.begun.union(target.number for target in targets if target.begun_at is not None)
        key = (rollout.wave, len(changed))
        is_old = self._chosen_at is None or now - self._chosen_at >= CHOSEN_ANEW
        if self._chosen_for is None or (self._chosen_for != key and is_old):
            kept = [number for number in self._others if number not in touched]
            wanted = min(OTHERS_MOST, max(OTHERS_LEAST, OTHERS_FOR_EACH * len(changed)))
            known = set(kept)
            likeness = _Likeness(eyes.devices[number] for number in changed)
            candidates = sorted(
                (one for number, one in eyes.devices.items()
                 if number not in touched and number not in known and eyes.is_online(number, now)),
                key=likeness.order,
            )  # fmt: skip
            self._others = kept + [one.number for one in candidates[: max(0, wanted - len(kept))]]
            self._chosen_for, self._chosen_at = key, now
        return [number for number in self._others if number not in touched and number in eyes.devices]

    def _health(
        self,
        eyes: Eyes,
        view: DeviceView,
        since: datetime,
        *,
        is_changed: bool,
        is_accepted: bool,
        silent: "_Silent",
        beside_it: Sequence[Fault],
    ) -> Health:
        of = eyes.devices[view.number]
        troubles = [one for one in eyes.troubles.get(view.id, ()) if one.severity in _WORTH_TELLING]
        is_online = silent.is_online(view)
        was_steady, new, over = ailments(troubles, since)
        new |= {fault.rule: fault.severity for fault in beside_it}
        over += tuple(sorted({fault.rule for fault in beside_it} - {f.rule for f in beside_it if f.over_at is None}))
        readings, slopes = self._computed(eyes, view.number, since)
        return Health(
            number=view.number, annex_id=view.annex_id, model=of.model, role=view.role, is_changed=is_changed,
            since=since,
            was_well=was_steady and not (is_accepted and is_online is False and _was_away(view, since)),
            is_online=is_online, new_alerts=new, over=over,
            restarts=restarts(view, since + _OWN_RESTART if is_changed else since),
            readings=readings, slopes=slopes,
        )  # fmt: skip

    def _computed(
        self, eyes: Eyes, number: int, since: datetime
    ) -> tuple[Mapping[str, tuple[float, float]], Mapping[str, float]]:
        points = list(eyes.points_of(number))
        known = _Known(since, points[-1][0] if points else None)
        kept = self._figures.get(number)
        if kept is None or kept[0] != known:
            kept = (known, *figures(points, since))
            self._figures[number] = kept
        return kept[1], kept[2]


def ailments(troubles: Sequence[Trouble], since: datetime) -> tuple[bool, dict[str, str], tuple[str, ...]]:
    """Whether a device was steady at that moment, its new alerts (rule to severity), and which of these are over.

    An alert that was open then excuses the like of itself, and nothing else.
    """
    before = {
        one.rule_id for one in troubles if one.since <= since and (one.cleared_at is None or one.cleared_at > since)
    }
    new = [one for one in troubles if one.since > since and one.rule_id not in before]
    still = {one.rule_id for one in new if one.cleared_at is None}
    over = tuple(sorted({one.rule_id for one in new} - still))
    return not before & _UNSTEADY, {one.rule_id: one.severity for one in new}, over


def figures(points: Sequence[Point], since: datetime) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """Means before and after that moment, and the rise an hour since, by reading; only where both are known.

    Before it counts what was in the six hours before; the rise is the slope of the least squares, and is told once half
    an hour has passed.
    """
    before = [values for at, values in points if since - LOOKED_BACK <= at <= since]
    after = [(at, values) for at, values in points if at > since]
    names = {name for values in before for name in values} & {name for _, values in after for name in values}
    readings = {
        name: (
            fmean(values[name] for values in before if name in values),
            fmean(values[name] for _, values in after if name in values),
        )
        for name in sorted(names)
    }
    slopes: dict[str, float] = {}
    if after and after[-1][0] - since >= _SLOPE_AFTER:
        for name in sorted({name for _, values in after for name in values}):
            slope = _slope(
                [((at - since).total_seconds() / 3600, values[name]) for at, values in after if name in values]
            )
            if slope is not None:
                slopes[name] = slope
    return readings, slopes


def _slope(found: Sequence[tuple[float, float]]) -> float | None:
    if len(found) < 3:
        return None
    mean_x, mean_y = fmean(x for x, _ in found), fmean(y for _, y in found)
    spread = sum((x - mean_x) ** 2 for x, _ in found)
    return sum((x - mean_x) * (y - mean_y) for x, y in found) / spread if spread else None


def restarts(view: DeviceView, since: datetime) -> int:
    """How often the machine or its agent started after that moment, as far as it told.

    A start a few minutes after a goodbye is one and the same.
    """
    count, last = 0, None
    for at in sorted(at for at in (*view.boots, *view.goodbyes) if at > since):
        count += last is None or at - last > _SAME_RESTART
        last = at
    return count


class _Silent:
    """Whether a device that cannot be heard is missed."""

    def __init__(self, eyes: Eyes, now: datetime) -> None:
        self._eyes, self._now = eyes, now

    def is_online(self, view: DeviceView) -> bool | None:
        """None where it was switched off in order while its annex is closed, or never was heard."""
        if self._eyes.is_online(view.number, self._now):
            return True
        if view.heard_at is None:
            return None
        calendar = self._eyes.calendars.get(view.annex_id)
        is_closed = calendar is None or not calendar.is_open(self._now)
        return None if is_closed and view.gone_orderly else False


class _Likeness:
    """Devices of the same annexes, models and roles come first; else their numbers say it, for a steady order."""

    def __init__(self, changed: Iterable[Chosen]) -> None:
        of = list(changed)
        self._annexes = {one.annex_id for one in of}
        self._models = {(one.role, one.model) for one in of}
        self._roles = {one.role for one in of}

    def order(self, one: Chosen) -> tuple[bool, bool, bool, int]:
        return (
            (one.role, one.model) not in self._models, one.role not in self._roles, one.annex_id not in self._annexes,
            one.number * 2654435761 % 2**32,
        )  # fmt: skip


def _changed_since(rollout: Rollout, target: Target) -> datetime | None:
    """Since when a changed device is watched: a person who let the rollout go on took it as it was then."""
    since = target.run_ended_at or target.begun_at
    accepted_at = rollout.accepted_at
    if accepted_at is not None and target.ended_at is not None and target.ended_at <= accepted_at:
        return accepted_at
    return since


def _standings(
    eyes: Eyes, rollout: Rollout, targets: Sequence[Target], *, changed: Mapping[int, datetime], others: Sequence[int]
) -> dict[int, Standing]:
    """Those of whom faults beside them may be the sign; a changed one answers for what began with its run.

    Untouched ones count from the first of these changes on, in whatever wave it was: what befell all alike since then
    is seen on both sides.
    """
    found: dict[int, Standing] = {}
    for target in targets:
        if (ended_at := changed.get(target.number)) is not None:
            is_accepted = ended_at == rollout.accepted_at
            found[target.number] = Standing(
                annex_id=eyes.devices[target.number].annex_id,
                since=ended_at if is_accepted or target.begun_at is None else target.begun_at,
                settled_at=ended_at if is_accepted else ended_at + _OWN_RESTART, is_changed=True,
            )  # fmt: skip
    first = min(of.since for of in found.values())
    for number in others:
        annex_id = eyes.devices[number].annex_id
        found[number] = Standing(annex_id=annex_id, since=first, settled_at=first, is_changed=False)
    return found


def _was_away(view: DeviceView, at: datetime) -> bool:
    return view.heard_at is None or view.heard_at <= at


def _wave_since(rollout: Rollout, targets: Sequence[Target], now: datetime) -> datetime:
    """Since when untouched devices are watched: as long as half of the wave's; before one is done, from its begin."""
    of_wave = [target for target in targets if target.wave == rollout.wave]
    ended = sorted(target.run_ended_at for target in of_wave if target.run_ended_at is not None)
    if ended:
        return ended[len(ended) // 2]
    begun = [target.begun_at for target in of_wave if target.begun_at is not None]
    return min(begun, default=rollout.wave_since or now)
