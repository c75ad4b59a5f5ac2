"""What a started rollout does next, told everything that was read.

`steps` decides and does nothing.  It is total: whatever it is told, it answers with steps that the tables of `machine`
allow, and once they are carried out it has nothing to add to them until something new is seen.  Whoever carries them
out does so in one transaction with the check that rollout and targets are still as they were told here; what was
decided for another state is thrown away and thought out anew.

Nothing is begun unless the rollout runs, the device is of the wave that rolls (or an earlier one, and came back), its
annex's window has room for it, no other run holds it, and the budget spares it (`beginning.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import structs

from annexfleet_controller.waves import beginning, gate, machine, natures, soaking
from annexfleet_controller.waves.model import (
    ACCEPTED,
    BAD,
    MISSED,
    OVER,
    SETTLED,
    GateVerdict,
    Health,
    Judge,
    Rollout,
    Settle,
    Step,
    Target,
    TargetState,
    Turn,
)
from annexfleet_controller.waves.seen import Seen

REASONS: tuple[str, ...] = (
    "offline", "unreachable", "not_run", "play_failed", "run_timed_out", "cancelled", "lost", "not_verified", "differs",
    "late", "deadline", "superseded", "aborted", "gone", "moved", ACCEPTED,
)  # fmt: skip
"""Every code that `Settle.reason` may have; each has words in context "rollout_target"."""
TURN_REASONS: tuple[str, ...] = ("gate", "deadline", "superseded")
"""Every code that `Turn.reason` may have; without one all went as planned."""

_MOST_PUT_BACK = 3
_PUT_BACK_AFTER = timedelta(minutes=5)
_FIRST_BACKOFF = timedelta(minutes=5)
_LONGEST_BACKOFF = timedelta(hours=1)
_LOST_AFTER = 2.0
"""A run that told no end after so many times its own limit, past the deadline, is lost."""
_RESCUED_WITHIN = timedelta(minutes=2)
"""A device that failed is not waited for any longer, though its run lasts: one that hangs must not hide others."""
MOVED_AFTER = timedelta(minutes=10)
"""So long a move may be taken back (`tending.putting_back.FOR`): until then it is neither begun nor given up."""
_MAY_TURN_UP = frozenset({"not_verified", "differs", "lost", "run_timed_out", MISSED})


def steps(rollout: Rollout, targets: Sequence[Target], seen: Seen, *, now: datetime) -> tuple[Step, ...]:
    """The next steps, in the order in which they are carried out.  Pure; nothing for a rollout that was not started."""
    if rollout.state not in machine.IS_STARTED:
        return ()
    # Devices first: what follows for the whole is thought out from how they then stand.
    settled = {step.device: step for step in _settlements(rollout, targets, seen, now)}
    targets = [
        target if (step := settled.get(target.number)) is None else settled_target(target, step, seen, now)
        for target in targets
    ]
    return (*settled.values(), *_of_the_whole(rollout, targets, seen, now))


def _of_the_whole(rollout: Rollout, targets: Sequence[Target], seen: Seen, now: datetime) -> Iterator[Step]:
    if rollout.state in OVER:
        return
    verdict = judged(rollout, targets, seen, now=now)
    if verdict is not None and not gate.says_the_same(verdict, seen.verdict):
        yield Judge(verdict)
    if verdict is not None and verdict.word == "stop":
        yield Turn(state="stopped", phase=rollout.phase, wave=rollout.wave, reason="gate")
        return
    turn = _ended(rollout, targets, verdict, now) or _next_phase(rollout, targets, verdict)
    if turn is not None:
        yield turn
    elif rollout.state == "running":
        yield from beginning.begins(rollout, targets, seen, now=now)


def judged(rollout: Rollout, targets: Sequence[Target], seen: Seen, *, now: datetime) -> GateVerdict | None:
    """What the gate says now; None where it is not asked: before the first wave, and when stopped or over."""
    if rollout.state not in {"running", "paused"} or rollout.wave < 1:
        return None
    states = {target.number: target for target in targets}
    fresh = [target for target in targets if not _is_accepted(rollout, target)]
    bad = {target.number: target.state for target in fresh if target.state in BAD and target.is_touched}
    bad |= {
        target.number: "failed"
        for target in fresh
        if target.state == "running"
        and (ailing_since := seen.ailing.get(target.number)) is not None
        and now - ailing_since >= _RESCUED_WITHIN
    }
    results = gate.Results(
        succeeded=frozenset(target.number for target in fresh if target.state == "succeeded"),
        bad=bad,
        under_way=sum(
            target.state in {"waiting", "running", "verifying"} and target.wave == rollout.wave for target in targets
        )
        if rollout.phase
        else sum(target.state not in SETTLED for target in targets),
    )
    health = []
    for one in seen.health:
        target = states.get(one.number)
        if target is not None and target.state in {"running", "verifying"}:
            continue  # in the middle of its change
        if target is not None and _is_accepted(rollout, target) and not _is_since(rollout, one):
            continue  # a person took it as it was then
        health.append(one)
    soak = soaking.soak(rollout, targets, seen.calendars)
    return gate.judge(
        results, health, policy=rollout.policy, wave=rollout.wave, soak=soak, now=now, before=seen.verdict
    )  # fmt: skip


def _is_accepted(rollout: Rollout, target: Target) -> bool:
    """Whether how it ended was known when a person let the rollout go on; what still ran well then was not."""
    if target.reason == ACCEPTED:
        return True
    return rollout.accepted_at is not None and target.ended_at is not None and target.ended_at <= rollout.accepted_at


def _is_since(rollout: Rollout, one: Health) -> bool:
    return rollout.accepted_at is not None and one.since >= rollout.accepted_at


# -- the whole


def _next_phase(rollout: Rollout, targets: Sequence[Target], verdict: GateVerdict | None) -> Turn | None:
    last = max((target.wave for target in targets), default=0)
    of_wave = [target for target in targets if target.wave == rollout.wave]
    if rollout.state == "stopped" or not last:
        return None
    if rollout.wave < 1:
        is_past = True
    elif rollout.phase == "rolling":
        is_past = _has_rolled(rollout, of_wave)
        watched = targets if rollout.wave == last and soaking.watches_on(rollout.policy) else of_wave
        if is_past and any(target.is_touched for target in watched):
            return Turn(state=rollout.state, phase="soaking", wave=rollout.wave)
    else:
        is_past = rollout.phase == "soaking" and verdict is not None and verdict.word == "go"
    if rollout.state != "running" or not is_past:
        return None
    if rollout.wave < last:
        return Turn(state="running", phase="rolling", wave=max(0, rollout.wave) + 1)
    return Turn(state="running", phase="", wave=rollout.wave)


def _ended(rollout: Rollout, targets: Sequence[Target], verdict: GateVerdict | None, now: datetime) -> Turn | None:
    """All devices have ended: the rollout has when its last wave has soaked, or its deadline is past."""
    if any(target.state not in SETTLED for target in targets):
        return None
    planned = [target for target in targets if target.wave]
    over = Turn(state="done", phase=rollout.phase, wave=rollout.wave)
    if 2 * sum(target.reason == "superseded" for target in planned) > len(planned):
        return structs.replace(over, state="superseded", reason="superseded")
    if rollout.deadline_at is not None and now >= rollout.deadline_at:
        return structs.replace(over, reason="deadline")
    if rollout.state == "stopped":
        return None  # a person looks at it first
    touched = max((target.wave for target in planned if target.is_touched), default=0)
    passed = not rollout.phase or (rollout.phase == "soaking" and verdict is not None and verdict.word == "go")
    return over if not touched or (passed and rollout.wave >= touched) else None


def _has_rolled(rollout: Rollout, of_wave: Sequence[Target]) -> bool:
    """Whether all devices of the wave have ended or are away, and not too many of them are away.

    A canary of which most could not be reached says nothing, and of a later wave one device must have been reached.
    """
    if any(target.state in {"waiting", "running", "verifying"} for target in of_wave):
        return False
    touched = sum(target.is_touched for target in of_wave)
    away = sum(target.state == "deferred" for target in of_wave)
    return not away or (touched >= away if rollout.wave == 1 else touched > 0)


# -- devices


def _settlements(rollout: Rollout, targets: Sequence[Target], seen: Seen, now: datetime) -> Iterator[Settle]:
    silent = _silent_annexes(targets, seen)
    for target in targets:
        step: Settle | None = None
        if target.state == "running":
            step = _of_running(rollout, target, seen, now)
        elif target.state == "verifying":
            step = _of_verifying(rollout, target, seen, silent, now)
        elif target.state in {"waiting", "deferred"}:
            step = _of_unbegun(rollout, target, seen, now)
        elif target.state in BAD and target.reason in _MAY_TURN_UP:
            step = _turned_up(rollout, target, seen)
        if step is not None:
            yield step


_ENDS: Mapping[str, tuple[TargetState, str]] = {
    "ok": ("verifying", ""),
    "changed": ("verifying", ""),
    "failed": ("failed", "play_failed"),
    "timed_out": ("timed_out", "run_timed_out"),
    "cancelled": ("unknown", "cancelled"),
}
"""By a run's outcome on a device; any other is lost."""


def _of_running(rollout: Rollout, target: Target, seen: Seen, now: datetime) -> Settle | None:
    number = target.number
    outcome = seen.outcomes.get(number)
    if outcome is None:
        limit = timedelta(seconds=_LOST_AFTER * rollout.policy.timeout_s)
        is_late = rollout.deadline_at is not None and now >= rollout.deadline_at
        is_lost = is_late and (target.begun_at is None or now >= target.begun_at + limit)
        return Settle(number, "unknown", "lost") if is_lost else None
    if outcome.outcome == "unreachable":
        backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(10, max(0, target.attempts - 1)))
        return Settle(number, "deferred", "unreachable", not_before=outcome.ended_at + backoff)
    if outcome.outcome == "not_begun" and rollout.state not in OVER:
        return Settle(number, "waiting", "not_run", not_before=outcome.ended_at)
    if outcome.outcome in {"skipped", "not_begun"}:
        # Its run never came to it, through no fault of the device.
        if target.attempts < _MOST_PUT_BACK and rollout.state not in OVER:
            return Settle(number, "waiting", "not_run", not_before=outcome.ended_at + _PUT_BACK_AFTER)
        return Settle(number, "skipped", "not_run")
    state, reason = _ENDS.get(outcome.outcome, ("unknown", "lost"))
    return Settle(number, state, ACCEPTED if state in BAD and target.reason == ACCEPTED else reason)


def _of_verifying(rollout: Rollout, target: Target, seen: Seen, silent: frozenset[str], now: datetime) -> Settle | None:
    answer = _reports(rollout, target, seen)
    if answer is True:
        return Settle(target.number, "succeeded")
    since = target.run_ended_at or target.begun_at
    if since is not None and now < since + timedelta(seconds=rollout.policy.verify_within_s):
        return None
    device = seen.devices.get(target.number)
    annex_id = target.annex_id if device is None else device.annex_id
    is_late = rollout.deadline_at is not None and now >= rollout.deadline_at
    if answer is None and annex_id in silent and not is_late and rollout.state not in OVER:
        return None  # its annex is cut off, and it cannot say anything
    return Settle(target.number, "failed", "differs" if answer is False else "not_verified")


def _of_unbegun(rollout: Rollout, target: Target, seen: Seen, now: datetime) -> Settle | None:
    number = target.number
    reason = ""
    is_moved = beginning.is_moved(target, seen)
    if rollout.state in OVER:
        reason = "superseded" if rollout.state == "superseded" else "aborted"
    elif number in seen.superseded:
        reason = "superseded"
    elif rollout.deadline_at is not None and now >= rollout.deadline_at:
        reason = MISSED
    elif seen.knows_devices and number not in seen.devices:
        reason = "gone"
    elif is_moved and now - seen.moved.get(number, now) >= MOVED_AFTER:
        # It was approved where it stood: those who see to its new annex know nothing of this.
        reason = "moved"
    if reason:
        # One that was not reached until then: what became of it nobody knows, and it is to be caught another time.
        return Settle(number, "unknown" if reason == MISSED else "skipped", reason)
    if is_moved or rollout.state != "running" or not beginning.is_its_turn(rollout, target):
        return None
    device = seen.devices.get(number)
    if device is None:
        return None
    if natures.complies(rollout.nature, device.facts):
        return Settle(number, "compliant")
    if target.state == "waiting" and not device.is_online:
        return Settle(number, "deferred", "offline")
    return None


def _turned_up(rollout: Rollout, target: Target, seen: Seen) -> Settle | None:
    """Nobody had heard of it; now it says itself that it has what was wanted."""
    if target.begun_at is None or (not rollout.nature.expects and target.reason != "not_verified"):
        return None
    return Settle(target.number, "succeeded", "late") if _reports(rollout, target, seen) else None


def _reports(rollout: Rollout, target: Target, seen: Seen) -> bool | None:
    """Whether it was heard after its run, and what it says fits; None while nobody knows."""
    since = target.run_ended_at or target.begun_at
    device = seen.devices.get(target.number)
    if device is None or device.heard_at is None or (since is not None and device.heard_at <= since):
        return None
    return natures.fits(rollout.nature, device.facts) if rollout.nature.expects else True


def _silent_annexes(targets: Sequence[Target], seen: Seen) -> frozenset[str]:
    """Annexes of which devices that nobody touched are known, and none of them is heard."""
    touched = {target.number for target in targets if target.is_touched}
    heard: dict[str, bool] = {}
    for device in seen.devices.values():
        if device.number not in touched:
            heard[device.annex_id] = heard.get(device.annex_id, False) or device.is_online
    return frozenset(annex_id for annex_id, is_heard in heard.items() if not is_heard)


def settled_target(target: Target, step: Settle, seen: Seen, now: datetime) -> Target:
    """The target after this step; `applying.py` uses it, and so does whoever looks ahead."""
    outcome = seen.outcomes.get(target.number)
    run_ended_at = target.run_ended_at
    if target.state == "running":
        run_ended_at = now if outcome is None else outcome.ended_at
    return structs.replace(
        target, state=step.state, reason=step.reason, not_before=step.not_before, run_ended_at=run_ended_at,
        ended_at=now if step.state in SETTLED else None,
    )  # fmt: skip
