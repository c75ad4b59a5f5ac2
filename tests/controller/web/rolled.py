"""Rollouts of a small province, written as people and the conductor write them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.orm import Session
from tests.controller.fleet import device_id

from annexfleet_controller.store import rollout_events, rollout_targets, rollouts, runs
from annexfleet_controller.store.rollout_targets import NewTarget
from annexfleet_controller.store.rollouts import NewRollout
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.rollouts import RolloutTargetRow
from annexfleet_controller.waves.documents import PRESETS
from annexfleet_controller.waves.model import (
    Expectation,
    GateReason,
    GateVerdict,
    Nature,
    Policy,
    Reverse,
    Selector,
    TargetState,
)

AGENT = Nature(
    configures="agent", expects=(Expectation(fact="agent_version", equals="0.5.0"),),
    reverse=Reverse(playbook="tea", before={"tea_name": "agent_version"}), takes_s=180.0,
)  # fmt: skip
STOP = GateVerdict(
    word="stop",
    reasons=(
        GateReason("bad_results", {"bad": 3, "ended": 9}),
        GateReason(
            "now_worse",
            {"sign": "alert", "rule": "print.queue_depth", "kind": "model", "value": "OptiPlex 3080", "hits": 4,
             "changed": 6, "other_hits": 1, "others": 40},
        ),
        GateReason(
            "reading_grows", {"metric": "memory_used_ratio", "kind": "all", "value": "", "by": 0.04, "changed": 6}
        ),
    ),
    at=datetime.fromisoformat("2026-11-25T23:10:00+00:00"),
)  # fmt: skip


def draft(
    db: Session, waves: Sequence[Sequence[int]], *, now: datetime, name: str = "Agent 0.5.0", playbook: str = "tea",
    author: str = "amina", compliant: Sequence[int] = (), unreachable: Sequence[int] = (),
    policy: Policy = PRESETS["careful"], nature: Nature = AGENT, needs_approval: bool = True, **of: Any,
) -> int:  # fmt: skip
    """A draft of these devices, by wave; its id."""
    numbers = [number for wave in waves for number in wave]
    new = NewRollout(
        name=name, playbook=playbook, variables=of.pop("variables", {"tea_name": "x"}), selector=Selector(),
        policy=policy, nature=nature, deadline_s=14 * 86400.0, wave_count=len(waves), needs_approval=needs_approval,
        targets_digest=runs.targets_digest(map(device_id, numbers)), **of,
    )  # fmt: skip
    rollout_id = rollouts.create(db, new, author=author, now=now)

    def target(number: int, **values: Any) -> NewTarget:
        row = db.get(Device, number)
        assert row is not None
        return NewTarget(number=number, annex_id=row.annex_id, before={"agent_version": "0.4.9"}, **values)

    rollout_targets.put(
        db, rollout_id,
        [
            *(
                target(number, wave=at, position=position)
                for at, wave in enumerate(waves, 1)
                for position, number in enumerate(wave)
            ),
            *(target(number, wave=0, state="compliant") for number in compliant),
            *(target(number, wave=0, state="skipped", reason="takes_no_commands") for number in unreachable),
        ],
    )  # fmt: skip
    rollout_events.add(db, rollout_id, "created", now=now, actor=author)
    return rollout_id


def turned(
    db: Session, rollout_id: int, state: str, event: str, *, now: datetime, actor: str = "", **values: Any
) -> None:
    """It is in another state."""
    version = rollouts.find(db, WHOLE, rollout_id).version
    facts = values.pop("facts", {})
    rollouts.change(db, rollout_id, version=version, values={"state": state, **values})
    rollout_events.add(db, rollout_id, event, now=now, actor=actor, facts=facts)


def submitted(db: Session, rollout_id: int, *, now: datetime, by: str = "amina") -> None:
    turned(
        db, rollout_id, "submitted", "submitted", now=now, actor=by, submitted_by=by, submitted_at=now,
        facts={"devices": 6, "waves": 2},
    )  # fmt: skip


def approved(db: Session, rollout_id: int, *, now: datetime, by: str = "karim") -> None:
    turned(db, rollout_id, "approved", "approved", now=now, actor=by, approved_by=by, approved_at=now)


def started(db: Session, rollout_id: int, *, now: datetime, wave: int = 1, phase: str = "rolling") -> None:
    """It runs, and is in that wave."""
    submitted(db, rollout_id, now=now - timedelta(hours=3))
    approved(db, rollout_id, now=now - timedelta(hours=2))
    turned(
        db, rollout_id, "running", "started", now=now - timedelta(minutes=70), actor="amina", started_by="amina",
        started_at=now - timedelta(minutes=70), deadline_at=now + timedelta(days=14), wave=wave, phase=phase,
        wave_since=now - timedelta(minutes=20),
    )  # fmt: skip


def stand(
    db: Session, rollout_id: int, states: Mapping[int, TargetState], *, now: datetime, run_id: int | None = None,
    reasons: Mapping[int, str] = {},
) -> None:  # fmt: skip
    """How devices stand in it."""
    for number, state in states.items():
        is_begun = state not in {"waiting", "compliant", "skipped", "deferred"}
        values: dict[str, Any] = {"state": state, "reason": reasons.get(number, "")}
        if is_begun:
            values |= {"begun_at": now - timedelta(minutes=9), "attempts": 1, "run_id": run_id}
        if is_begun and state not in {"running", "verifying"}:
            values |= {"ended_at": now - timedelta(minutes=6), "duration_s": 180.0 + number}
        db.execute(
            update(RolloutTargetRow)
            .where(RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.device_number == number)
            .values(**values)
        )


def judged(db: Session, rollout_id: int, verdict: GateVerdict, *, now: datetime) -> None:
    """The gate's newest word."""
    version = rollouts.find(db, WHOLE, rollout_id).version
    rollouts.change(db, rollout_id, version=version, values={"gate": msgspec.json.encode(verdict).decode()})
    facts: dict[str, Any] = {"word": verdict.word, "codes": [reason.code for reason in verdict.reasons]}
    rollout_events.add(db, rollout_id, "gate", now=now, facts=facts)


def stopped(db: Session, rollout_id: int, *, now: datetime, verdict: GateVerdict = STOP) -> None:
    """The gate has stopped it."""
    judged(db, rollout_id, verdict, now=now)
    turned(db, rollout_id, "stopped", "stopped", now=now, state_reason="gate", facts={"reason": "gate"})
