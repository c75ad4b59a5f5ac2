"""Steps carried out on structs: what the conductor does in the database, for rehearsals and tests."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from annexfleet_controller.errors import WrongState
from annexfleet_controller.waves import machine
from annexfleet_controller.waves.conduct import settled_target
from annexfleet_controller.waves.model import Begin, GateVerdict, Judge, Rollout, Settle, Step, Target, Turn
from annexfleet_controller.waves.seen import Seen


def applied(
    rollout: Rollout, targets: Sequence[Target], steps: Sequence[Step], seen: Seen, *, now: datetime, run_id: int
) -> tuple[Rollout, list[Target], GateVerdict | None]:
    """Rollout and targets after these steps, and the verdict that was kept.  Runs are numbered from `run_id`.

    Raises WrongState for a step that the tables do not allow.
    """
    by_number = {target.number: target for target in targets}
    verdict = seen.verdict
    for step in steps:
        if isinstance(step, Judge):
            verdict = step.verdict
        elif isinstance(step, Turn):
            rollout = turned(rollout, step, now)
        elif isinstance(step, Settle):
            before = by_number[step.device]
            if not machine.may_settle(before.state, step.state):
                raise WrongState(f"{before.state} to {step.state}", state=before.state, act=step.state)
            by_number[step.device] = settled_target(before, step, seen, now)
        elif isinstance(step, Begin):
            for number in step.devices:
                by_number[number] = _begun(by_number[number], run_id, now)
            run_id += 1
    return rollout, [by_number[target.number] for target in targets], verdict


def turned(rollout: Rollout, step: Turn, now: datetime) -> Rollout:
    """The rollout after this turn; the phase begins anew where phase or wave are others.  Raises WrongState."""
    if step.state != rollout.state and machine.act_to(rollout.state, step.state) is None:
        raise WrongState(f"{rollout.state} to {step.state}", state=rollout.state, act=step.state)
    is_new = (step.phase, step.wave) != (rollout.phase, rollout.wave)
    if is_new and (rollout.phase, step.phase) not in machine.PHASES:
        raise WrongState(f"{rollout.phase} to {step.phase}", state=rollout.phase, act=step.phase)
    return structs.replace(
        rollout, state=step.state, phase=step.phase, wave=step.wave, wave_since=now if is_new else rollout.wave_since
    )


def _begun(target: Target, run_id: int, now: datetime) -> Target:
    if not machine.may_settle(target.state, "running"):
        raise WrongState(f"{target.state} to running", state=target.state, act="begin")
    return structs.replace(
        target, state="running", run_id=run_id, attempts=target.attempts + 1, begun_at=now, run_ended_at=None,
        not_before=None, reason="",
    )  # fmt: skip
