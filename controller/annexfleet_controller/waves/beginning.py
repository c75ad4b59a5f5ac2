"""Which devices are begun now: the wave's, in order, and those that were away and came back."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import structs

from annexfleet_controller.waves import budget
from annexfleet_controller.waves.model import ACCEPTED, Begin, Rollout, Target
from annexfleet_controller.waves.seen import Device, Seen
from annexfleet_controller.waves.windows import Window

DEBOUNCE = timedelta(seconds=30)
"""A device must have been up for so long: one that flaps is not begun."""
MOST_JITTER_S = 60.0
"""A whole annex comes back at once; its devices are begun spread over so long."""
TOGETHER = timedelta(seconds=10)
"""Those that come back within so long share a run: each costs Ansible's start."""
_LEAST_ROOM = 4
"""As many are begun together as fit into a quarter of `most_at_once`, unless fewer are left."""
FEWEST_AT_ONCE = 2
"""As many of a wave are begun before any has ended well; then as many as have, up to `most_at_once`: what fails at once
fails on few."""
_LONG_AGO = datetime.fromtimestamp(0, UTC)


def is_its_turn(rollout: Rollout, target: Target) -> bool:
    """Whether it is of the wave that rolls, or was left behind by an earlier one."""
    if not 1 <= target.wave <= rollout.wave:
        return False
    return rollout.phase == "rolling" or target.wave < rollout.wave or target.state == "deferred" or (
        rollout.phase == "soaking" and target.reason == "not_run"
    )  # fmt: skip


def is_moved(target: Target, seen: Seen) -> bool:
    """Whether it stands elsewhere than where it was approved: those who see to that annex know nothing of this."""
    device = seen.devices.get(target.number)
    return device is not None and device.annex_id != target.annex_id


def due(
    rollout: Rollout, targets: Sequence[Target], devices: Mapping[int, Device], windows: Mapping[str, Window],
    *, now: datetime,
) -> tuple[int, ...]:  # fmt: skip
    """Devices that could be begun now if the budget allows: whose annexes have to be read for that."""
    seen = Seen(devices=devices, windows=windows)
    fresh, back = _due(rollout, targets, seen, {}, now)
    return tuple(target.number for target in (*fresh, *back))


def begins(rollout: Rollout, targets: Sequence[Target], seen: Seen, *, now: datetime) -> Iterator[Begin]:
    """At most one run for the wave's devices, and one for those that came back."""
    yield from _thought_out(rollout, targets, seen, now)[0]


def held(rollout: Rollout, targets: Sequence[Target], seen: Seen, *, now: datetime) -> dict[int, str]:
    """Why devices whose turn it is are not begun, by number: a code of `budget.REASONS`.  For people to read."""
    return _thought_out(rollout, targets, seen, now)[1]


def _thought_out(
    rollout: Rollout, targets: Sequence[Target], seen: Seen, now: datetime
) -> tuple[list[Begin], dict[int, str]]:
    why: dict[int, str] = {}
    begun: list[Begin] = []
    if rollout.state != "running" or (rollout.deadline_at is not None and now >= rollout.deadline_at):
        return begun, why
    spare = _Spare(rollout, targets, seen, why)
    fresh, back = _due(rollout, targets, seen, why, now)
    if any(
        target.state == "running" and target.number in seen.ailing and target.reason != ACCEPTED for target in targets
    ):
        # What fails now may be rescued in a moment, or be the first of many.
        why.update((target.number, "ailing") for target in (*fresh, *back))
        return begun, why
    for due_now, most in ((fresh, _feeling(rollout, targets, now)), (back, rollout.policy.most_at_once)):
        chosen = spare.begin(due_now, most)
        if chosen:
            begun.append(Begin(chosen))
    return begun, why


def _feeling(rollout: Rollout, targets: Sequence[Target], now: datetime) -> int:
    """How many may be under way at once, by how many have ended well so far."""
    well = sum(target.state == "succeeded" and target.begun_at is not None for target in targets)
    # One whose annex was cut off may be verified for days: it holds back nobody.
    patience = timedelta(seconds=rollout.policy.verify_within_s)
    verified = sum(
        target.state == "verifying" and target.run_ended_at is not None and now < target.run_ended_at + patience
        for target in targets
    )
    return min(rollout.policy.most_at_once, max(FEWEST_AT_ONCE, well) - verified)


def _due(
    rollout: Rollout, targets: Sequence[Target], seen: Seen, why: dict[int, str], now: datetime
) -> tuple[list[Target], list[Target]]:
    """Those of the wave, and those that came back, in order; all whose window has room and that nothing else holds."""
    takes_s = rollout.nature.takes_s if seen.takes_s is None else seen.takes_s
    fresh, back, soon = [], [], []
    for target in sorted(targets, key=lambda one: (one.wave, one.position, one.number)):
        if target.state not in {"waiting", "deferred"} or not is_its_turn(rollout, target):
            continue
        device = seen.devices.get(target.number)
        if is_moved(target, seen):
            why[target.number] = "moving"
            continue
        if device is None or not device.is_online:
            why[target.number] = "offline"
            continue
        window = seen.windows.get(device.annex_id)
        ready = ready_at(target, device)
        if target.number in seen.busy or target.number in seen.superseded:
            why[target.number] = "busy"
        elif window is None or not window.has_room(now, takes_s):
            why[target.number] = "window"
        elif target.state == "waiting":
            if ready <= now:
                fresh.append(target)
        elif ready <= now:
            back.append(target)
        elif ready <= now + TOGETHER and _is_debounced(device, now):
            soon.append(target)
    return fresh, back + soon if back else []


def ready_at(target: Target, device: Device) -> datetime:
    """When it may be begun: at once, some time after it came back, or not before it was agreed."""
    agreed = target.not_before or _LONG_AGO
    if target.state == "waiting" or device.up_since is None:
        return agreed
    last = target.run_ended_at or _LONG_AGO
    if target.not_before is not None and device.up_since <= last:
        return agreed  # it never went away: another try, later
    return device.up_since + DEBOUNCE + _jitter(device)


def _is_debounced(device: Device, now: datetime) -> bool:
    return device.up_since is None or device.up_since + DEBOUNCE <= now


def _jitter(device: Device) -> timedelta:
    digest = hashlib.sha256(device.id.encode()).digest()
    return timedelta(seconds=MOST_JITTER_S * int.from_bytes(digest[:4]) / 2**32)


class _Spare:
    """What the budgets of annexes and `most_at_once` still allow, less with each device that is begun."""

    def __init__(self, rollout: Rollout, targets: Sequence[Target], seen: Seen, why: dict[int, str]) -> None:
        self._seen, self._nature, self._why = seen, rollout.nature, why
        self._running = sum(target.state == "running" for target in targets)
        self._changing: dict[str, frozenset[str]] = {}
        """Ids of devices that this rollout holds, by annex: what was read of the annex may be older than that."""
        for target in targets:
            device = seen.devices.get(target.number)
            if device is not None and target.state in {"running", "verifying"}:
                self._hold(device)

    def begin(self, candidates: Sequence[Target], most: int) -> tuple[int, ...]:
        """Those of them that may be begun together, in their order, so that at most so many run.

        Where there is hardly room, some is waited for: every run costs Ansible's start.
        """
        if most - self._running < min(len(candidates), max(1, math.ceil(most / _LEAST_ROOM))):
            self._why.update((target.number, "most_at_once") for target in candidates)
            return ()
        by_annex: dict[str, list[Device]] = {}
        for target in candidates:
            device = self._seen.devices[target.number]
            by_annex.setdefault(device.annex_id, []).append(device)
        chosen: set[int] = set()
        for annex_id, devices in by_annex.items():
            chosen.update(self._of_annex(annex_id, devices, most))
        return tuple(target.number for target in candidates if target.number in chosen)

    def _of_annex(self, annex_id: str, devices: Sequence[Device], most: int) -> tuple[int, ...]:
        annex = self._seen.annexes.get(annex_id)
        if annex is None:  # how it stands was not read: nothing can be promised
            self._why.update((device.number, "budget") for device in devices)
            return ()
        annex = structs.replace(annex, changing=annex.changing | self._changing.get(annex_id, frozenset()))
        allowed, refused = budget.allowed(
            devices, annex=annex, nature=self._nature, at_most=max(0, most - self._running)
        )
        self._why.update(refused)
        self._running += len(allowed)
        for device in devices:
            if device.number in allowed:
                self._hold(device)
        return allowed

    def _hold(self, device: Device) -> None:
        self._changing[device.annex_id] = self._changing.get(device.annex_id, frozenset()) | {device.id}
