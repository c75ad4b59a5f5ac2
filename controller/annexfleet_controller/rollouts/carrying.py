"""The next steps of a rollout, carried out: one transaction in which lease, version and state are checked first.

Whoever pauses or aborts a rollout raises its version, so a step that was thought out before is refused here, and
nothing is begun after a STOP, a pause or an abort.  A device that is begun belongs to a run from the same commit on: a
conductor that dies before it has begun nothing, and one that dies after it finds the run.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from annexfleet_controller.errors import RolloutChanged, RunBusy
from annexfleet_controller.rollouts import crash, evidence, keeping, sending, steering
from annexfleet_controller.rollouts.environment import MOST_FORKS
from annexfleet_controller.rollouts.evidence import Read
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.settings import Home
from annexfleet_controller.store import (
    annexes,
    rollout_events,
    rollout_evidence,
    rollout_leases,
    rollout_targets,
    rollouts,
    run_queue,
    runs,
)
from annexfleet_controller.store.rollout_leases import Claim
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import machine
from annexfleet_controller.waves.model import OVER, SETTLED, Begin, Judge, Settle, Step, Target, Turn

log = logging.getLogger(__name__)

PROBLEMS = ("bundle_changed", "targets_changed", "secrets_lost")
"""Why a rollout is stopped without its gate: what was approved is no more."""


class Carrier:
    """Carries out the steps of one look at one rollout, in the caller's transaction."""

    def __init__(self, db: Session, home: Home, held: Claim, detail: Detail, read: Read, *, now: datetime) -> None:
        """Raises LeaseLost and RolloutChanged where the rollout is not as it was read."""
        rollout_leases.fenced(db, held, version=detail.version, state=detail.state)
        self._db, self._home, self._held, self._detail, self._read = db, home, held, detail, read
        self._now = now
        self._targets: dict[int, Target] = {target.number: target for target in read.targets}
        self._touched: set[str] = set()
        """Annexes whose pages have something new."""
        self._begun: set[int] = set()
        """Devices of an earlier Begin of this same look: the budget knew of them."""
        self._is_stopped = False

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Raises RolloutChanged where a device is not as it was read: then nothing of it may stay."""
        for step in steps:
            if isinstance(step, Settle):
                self._settle(step)
            elif isinstance(step, Judge):
                self._judge(step)
            elif isinstance(step, Turn):
                self._turn(step)
            elif not self._is_stopped:
                self._begin(step)
        rollouts.tell(self._db, self._touched, now=self._now)

    def _settle(self, step: Settle) -> None:
        before = self._targets[step.device]
        point = machine.point_of_target(before.state, step.state)
        outcome = self._read.seen.outcomes.get(step.device)
        was_run = before.state == "running"
        run_ended_at = (outcome.ended_at if outcome else self._now) if was_run else None
        began_at = self._read.began.get(step.device, before.begun_at)
        is_measured = was_run and outcome is not None and outcome.outcome in runs.SUCCESSES and began_at is not None
        device = self._read.seen.devices.get(step.device)
        done = rollout_targets.settle(
            self._db, self._detail.id, step.device, step.state, of_state=before.state, reason=step.reason,
            not_before=step.not_before, run_ended_at=run_ended_at,
            duration_s=(outcome.ended_at - began_at).total_seconds() if is_measured and outcome and began_at else None,
            after=evidence.facts_kept(self._read.rollout, device.facts) if device and step.state in SETTLED else None,
            now=self._now,
        )  # fmt: skip
        if not done:
            raise RolloutChanged(f"device {step.device} of rollout {self._detail.id} was settled meanwhile")
        self._touched.add(before.annex_id)
        crash.point(self._db, point)

    def _judge(self, step: Judge) -> None:
        verdict = step.verdict
        text = msgspec.json.encode(verdict).decode()
        rollout_leases.conduct(self._db, self._held, {"gate": text}, raises_version=False)
        before = self._detail.gate
        if before is None or before.word != verdict.word or verdict.word == "stop":
            facts: dict[str, rollout_events.Fact] = {
                "word": verdict.word, "codes": [reason.code for reason in verdict.reasons], "wave": self._detail.wave,
            }  # fmt: skip
            rollout_events.add(self._db, self._detail.id, "gate", now=self._now, facts=facts)
        self._touch_all()

    def _turn(self, step: Turn) -> None:
        detail = self._detail
        is_new_state = step.state != detail.state
        is_new_phase = (step.phase, step.wave) != (detail.phase, detail.wave)
        points = []
        values: dict[str, Any] = {"state": step.state, "phase": step.phase, "wave": step.wave}
        if is_new_phase:
            points.append(machine.point_of_phase(detail.phase, step.phase))
            values["wave_since"] = self._now
            kind = {"soaking": "soaking", "rolling": "wave"}.get(step.phase, "stragglers")
            rollout_events.add(self._db, detail.id, kind, now=self._now, facts={"wave": step.wave})
        if is_new_state:
            act = machine.act_to(detail.state, step.state)
            if act is None:
                raise RolloutChanged(f"rollout {detail.id}: {detail.state} leads to no {step.state}")
            points.append(machine.point_of_act(detail.state, act))
            values["state_reason"] = step.reason
            rollout_events.add(
                self._db, detail.id, steering.EVENTS[act], now=self._now, facts={"reason": step.reason}
            )  # fmt: skip
            self._is_stopped = step.state != "running"
        rollout_leases.conduct(self._db, self._held, values, raises_version=is_new_state)
        if step.state in OVER:
            self.close()
        self._touch_all()
        for point in points:
            crash.point(self._db, point)

    def close(self) -> None:
        """It is over: from the moment at which its last device has ended nobody looks at it any more."""
        if not rollout_targets.count_unsettled(self._db, self._detail.id):
            rollout_leases.conduct(
                self._db, self._held, {"ended_at": self._now, "leased_until": None, "owner": ""}, raises_version=False
            )  # fmt: skip
            self._touch_all()

    def tell_held(self, why: Mapping[str, Sequence[int]]) -> None:
        """Keep why devices are not begun, for people to read."""
        text = msgspec.json.encode(why).decode()
        rollout_leases.conduct(self._db, self._held, {"held": text}, raises_version=False)
        rollouts.tell(self._db, {target.annex_id for target in self._targets.values()}, now=self._now)

    # -- beginning

    def _begin(self, step: Begin) -> None:
        problem = self._problem()
        if problem:
            log.warning("a rollout is stopped rollout=%s reason=%s", self._detail.id, problem)
            at = self._detail
            self._turn(Turn(state="stopped", phase=at.phase, wave=at.wave, reason=problem))
            return
        if run_queue.is_crowded(self._db, now=self._now):
            # All processes are busy: what is begun now would wait until window and budget are no more what they were.
            return
        self._demand_undisturbed(step)
        ids = rollout_evidence.ids(self._db, step.devices)
        devices = self._read.seen.devices
        for number, annex_id in rollout_evidence.hold_places(self._db, step.devices).items():
            if annex_id != devices[number].annex_id:
                raise RolloutChanged(f"device {number} was moved to annex {annex_id}")
        of = sorted(
            runs.Target(ids[number], number, devices[number].annex_id) for number in step.devices
        )  # fmt: skip
        detail = self._detail
        new = runs.NewRun(
            playbook=detail.playbook, variables=detail.variables, secret_names=detail.secret_names,
            forks=min(MOST_FORKS, len(of)), timeout_s=detail.policy.timeout_s, bundle_digest=detail.bundle_digest,
            author=detail.started_by, reason=f"rollout:{detail.id}",
        )  # fmt: skip
        try:
            run_id = runs.create(self._db, new, of, now=self._now)
        except RunBusy as busy:
            # Somebody's own run took one of them since this was read; the next look knows it.
            log.info("a device is busy rollout=%s device=%s", detail.id, busy.facts.get("device"))
            return
        sending.send_with_run(self._db, detail.playbook, detail.variables, step.devices, now=self._now)
        if detail.secret_names:
            # Before the commit: whoever takes the run finds them.  If it never comes to be, they are tidied away.
            Ground(self._home, run_id).keep_secrets(keeping.secrets(self._home, detail.id))
        before = {number: evidence.facts_kept(self._read.rollout, devices[number].facts) for number in step.devices}
        rollout_targets.begin(self._db, detail.id, before, run_id=run_id, now=self._now)
        facts: dict[str, rollout_events.Fact] = {"devices": len(of), "run": run_id, "wave": detail.wave}
        rollout_events.add(self._db, detail.id, "begun", now=self._now, facts=facts)
        self._begun.update(step.devices)
        self._touched |= {target.annex_id for target in of}
        for state in sorted({self._targets[number].state for number in step.devices}):
            crash.point(self._db, machine.point_of_target(state, "running"))

    def _problem(self) -> str:
        """What is not as it was approved, or empty."""
        detail = self._detail
        if runs.targets_digest(rollout_targets.frozen(self._db, detail.id)) != detail.targets_digest:
            return "targets_changed"
        if not steering.is_library_as_frozen(self._home, detail):
            return "bundle_changed"
        if set(detail.secret_names) - set(keeping.secrets(self._home, detail.id)):
            return "secrets_lost"
        return ""

    def _demand_undisturbed(self, step: Begin) -> None:
        """What the budget was reckoned with must still be so: another conductor may have begun something there.

        On PostgreSQL the annexes' rows are held until the commit, so that two conductors take turns; on SQLite a
        writing transaction is alone anyway.  Raises RolloutChanged.
        """
        devices = self._read.seen.devices
        places = {devices[number].annex_id for number in step.devices}
        annexes.hold(self._db, places)
        members = rollout_evidence.members(self._db, places)
        own = {number for number, target in self._targets.items() if target.state in {"running", "verifying"}}
        for annex_id, numbers in members.items():
            claimed = rollout_evidence.claimed(self._db, numbers)
            changing = rollout_targets.disturbed(self._db, numbers).changing.union(claimed)
            fresh = changing - self._read.disturbed.get(annex_id, frozenset()) - own
            if fresh - self._begun:
                raise RolloutChanged(f"something else was begun in annex {annex_id}")

    def _touch_all(self) -> None:
        self._touched |= {target.annex_id for target in self._targets.values()}
