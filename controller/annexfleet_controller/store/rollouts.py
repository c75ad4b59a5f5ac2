"""Rollouts as people and conductors look at them: which there are, how they stand, who may see what, whose turn it is.

A person confined to some annexes sees a rollout if any of its devices stands in one of these, and of it only those
devices; every number counts only them.  To act upon a rollout one has to see all of its devices.

`version` is the optimistic lock: a person's act, and every change of state, names the version that was read and raises
it.  The lock of conductors is in `rollout_leases.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import Struct, structs
from sqlalchemy import ColumnElement, exists, func, select, true, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import Forbidden, RolloutChanged, RolloutUnknown
from annexfleet_controller.store import pulses, rollout_sight
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.waves.model import (
    GateVerdict,
    Nature,
    Phase,
    Policy,
    Rollout,
    RolloutState,
    Selector,
    TargetState,
)

UNDER_WAY: tuple[RolloutState, ...] = ("running", "paused", "stopped")
"""Begun, and not over."""


class Summary(Struct, frozen=True, kw_only=True):
    """One rollout in a list."""

    id: int
    name: str
    playbook: str
    state: RolloutState
    phase: Phase
    wave: int
    wave_count: int
    author: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    """When it was over and the last device that it had begun had ended."""
    deadline_at: datetime | None
    state_reason: str
    """A code, or a person's words."""
    version: int
    tally: Mapping[TargetState, int] = {}
    """How its devices in sight stand; a state in which there is none is missing."""
    relation: str = ""
    """rollback, clone or retry; empty without one"""
    of_rollout: int | None = None

    @property
    def target_count(self) -> int:
        """Devices in sight, those that had it already and those left out with them."""
        return sum(self.tally.values())


class Detail(Summary, frozen=True, kw_only=True):
    """One rollout with everything but its devices."""

    variables: Mapping[str, Any]
    secret_names: tuple[str, ...]
    selector: Selector
    policy: Policy
    nature: Nature
    configures: str
    reason: str
    deadline_s: float
    """How long it may take from its start."""
    gate: GateVerdict | None
    held: Mapping[str, Sequence[int]] = {}
    """Devices whose turn it is and that are not begun, by a code of `waves.budget.REASONS`; while it runs."""
    targets_digest: str
    plan_digest: str
    bundle_digest: str
    needs_approval: bool
    """By a second person."""
    submitted_by: str
    submitted_at: datetime | None
    approved_by: str
    approved_at: datetime | None
    started_by: str
    accepted_at: datetime | None
    """When a person last let it go on after the gate had stopped it."""
    wave_since: datetime | None
    dry_run_id: int | None
    fence: int

    @property
    def rollout(self) -> Rollout:
        """As thinking needs it."""
        return Rollout(
            id=self.id, state=self.state, phase=self.phase, wave=self.wave, wave_since=self.wave_since,
            policy=self.policy, nature=self.nature, started_at=self.started_at,
            accepted_at=self.accepted_at, deadline_at=self.deadline_at,
        )  # fmt: skip


class NewRollout(Struct, frozen=True, kw_only=True):
    """What a draft says; also what an edit of one says anew."""

    name: str
    playbook: str
    variables: Mapping[str, Any] = {}
    """Checked, and without secrets."""
    secret_names: Sequence[str] = ()
    selector: Selector
    policy: Policy
    nature: Nature
    reason: str = ""
    deadline_s: float
    wave_count: int = 0
    targets_digest: str = ""
    plan_digest: str = ""
    bundle_digest: str = ""
    needs_approval: bool = True
    of_rollout: int | None = None
    relation: str = ""


# -- looking


def find(db: Session, scope: Scope, rollout_id: int) -> Detail:
    """What of it is in sight.  Raises RolloutUnknown where there is none, or none of its devices is."""
    row = db.scalar(select(RolloutRow).where(RolloutRow.id == rollout_id, _seen(scope)))
    if row is None:
        raise RolloutUnknown(f"no rollout {rollout_id}")
    found = detail(row, tallies(db, scope, [rollout_id]).get(rollout_id, {}))
    return structs.replace(
        found, selector=rollout_sight.selector(db, scope, rollout_id, found.selector),
        gate=rollout_sight.verdict(scope, found.gate),
    )  # fmt: skip


def hold(db: Session, rollout_id: int) -> None:
    """Keep everybody else from changing it until the commit; to be called before its devices are touched.

    Everywhere the rollout's row comes first and its devices' after it, so that nobody waits for who waits for them.
    """
    db.execute(select(RolloutRow.id).where(RolloutRow.id == rollout_id).with_for_update()).all()


def find_to_change(db: Session, scope: Scope, rollout_id: int) -> Detail:
    """Raises RolloutUnknown, or Forbidden where some of its devices are out of sight."""
    found = find(db, scope, rollout_id)
    if not may_change(db, scope, rollout_id):
        raise Forbidden(f"rollout {rollout_id} has devices out of sight")
    return found


def may_change(db: Session, scope: Scope, rollout_id: int) -> bool:
    """Whether somebody sees all of its devices."""
    beyond = select(RolloutTargetRow.rollout_id).where(
        RolloutTargetRow.rollout_id == rollout_id, ~scope.limit(RolloutTargetRow.annex_id)
    )
    return scope.annexes is None or db.scalar(beyond.limit(1)) is None


def listing(
    db: Session,
    scope: Scope,
    *,
    state: str = "",
    playbook: str = "",
    annex_id: str = "",
    before: int | None = None,
    limit: int,
) -> list[Summary]:
    """Rollouts in sight, the newest first, from before that id.  `state` may also be `open`: begun, and not over."""
    query = select(RolloutRow).where(_seen(scope)).order_by(RolloutRow.id.desc())
    if state:
        query = query.where(RolloutRow.state.in_(UNDER_WAY if state == "open" else (state,)))
    if playbook:
        query = query.where(RolloutRow.playbook == playbook)
    if annex_id:
        query = query.where(_has_target(scope, RolloutTargetRow.annex_id == annex_id))
    if before is not None:
        query = query.where(RolloutRow.id < before)
    rows = db.scalars(query.limit(limit)).all()
    counted = tallies(db, scope, [row.id for row in rows])
    return [_summary(row, counted.get(row.id, {})) for row in rows]


def of_author(db: Session, scope: Scope, name: str, *, limit: int) -> list[Summary]:
    """Rollouts in sight that this person wrote and that are not over, the newest first."""
    unfinished = ("draft", "submitted", "approved", *UNDER_WAY)
    query = select(RolloutRow).where(_seen(scope), RolloutRow.author == name, RolloutRow.state.in_(unfinished))
    rows = db.scalars(query.order_by(RolloutRow.id.desc()).limit(limit)).all()
    counted = tallies(db, scope, [row.id for row in rows])
    return [_summary(row, counted.get(row.id, {})) for row in rows]


def summaries(db: Session, scope: Scope, ids: Collection[int]) -> dict[int, Summary]:
    """Those of these that are in sight, by id."""
    rows = db.scalars(select(RolloutRow).where(RolloutRow.id.in_(sorted(set(ids))), _seen(scope))).all()
    counted = tallies(db, scope, [row.id for row in rows])
    return {row.id: _summary(row, counted.get(row.id, {})) for row in rows}


def rolled_out(db: Session, scope: Scope) -> list[str]:
    """The playbooks of the rollouts in sight."""
    return list(db.scalars(select(RolloutRow.playbook).where(_seen(scope)).distinct().order_by(RolloutRow.playbook)))


def tallies(db: Session, scope: Scope, ids: Sequence[int]) -> dict[int, dict[TargetState, int]]:
    """How the devices in sight stand, by rollout; one without such is missing."""
    query = (
        select(RolloutTargetRow.rollout_id, RolloutTargetRow.state, func.count())
        .where(RolloutTargetRow.rollout_id.in_(ids), scope.limit(RolloutTargetRow.annex_id))
        .group_by(RolloutTargetRow.rollout_id, RolloutTargetRow.state)
    )
    found: dict[int, dict[TargetState, int]] = {}
    for rollout_id, state, number in db.execute(query):
        found.setdefault(rollout_id, {})[cast("TargetState", state)] = number
    return found


def annexes_of(db: Session, rollout_id: int) -> list[str]:
    """The annexes in which its devices stand."""
    query = select(RolloutTargetRow.annex_id).where(RolloutTargetRow.rollout_id == rollout_id).distinct()
    return list(db.scalars(query.order_by(RolloutTargetRow.annex_id)))


def count(db: Session) -> dict[str, int]:
    """How many rollouts there are, by state."""
    return {row[0]: row[1] for row in db.execute(select(RolloutRow.state, func.count()).group_by(RolloutRow.state))}


def count_targets(db: Session) -> dict[str, int]:
    """How many devices of rollouts under way there are, by their state."""
    query = (
        select(RolloutTargetRow.state, func.count())
        .join(RolloutRow, RolloutRow.id == RolloutTargetRow.rollout_id)
        .where(RolloutRow.state.in_(UNDER_WAY))
        .group_by(RolloutTargetRow.state)
    )
    return {row[0]: row[1] for row in db.execute(query)}


def configuring(db: Session) -> dict[str, frozenset[int]]:
    """By what they configure, the rollouts that are begun, and those that are done."""
    found: dict[str, set[int]] = {}
    query = select(RolloutRow.configures, RolloutRow.id).where(RolloutRow.state.in_((*UNDER_WAY, "done")))
    for configures, rollout_id in db.execute(query):
        found.setdefault(configures, set()).add(rollout_id)
    return {configures: frozenset(ids) for configures, ids in found.items()}


def state_of(db: Session, rollout_id: int) -> tuple[str, bool] | None:
    """Its state and whether its last device has ended; None where there is no such rollout."""
    row = db.execute(
        select(RolloutRow.state, RolloutRow.ended_at).where(RolloutRow.id == rollout_id)
    ).one_or_none()  # fmt: skip
    return None if row is None else (row[0], row[1] is not None)


# -- what people change


def create(db: Session, new: NewRollout, *, author: str, now: datetime) -> int:
    """A draft; its id."""
    row = RolloutRow(
        **written(new), of_rollout=new.of_rollout, relation=new.relation, author=author[:80], created_at=now,
        state="draft", version=1,
    )  # fmt: skip
    db.add(row)
    db.flush()
    return row.id


def rewrite(db: Session, rollout_id: int, new: NewRollout, *, version: int) -> int:
    """What the draft says from now on; its new version.  Raises as `change` does."""
    return change(db, rollout_id, version=version, values=written(new), of_state="draft")


def detach_dry_run(db: Session, rollout_id: int) -> None:
    """What its dry run showed is not what it is any more; within a transaction that raises the version."""
    of = update(RolloutRow).where(RolloutRow.id == rollout_id).values(dry_run_id=None)
    db.execute(of.execution_options(synchronize_session=False))
    db.expire_all()


def change(
    db: Session, rollout_id: int, *, version: int, values: Mapping[str, Any], of_state: str = ""
) -> int:  # fmt: skip
    """Write these columns if nobody changed the rollout since that version was read; its new version.

    Raises RolloutChanged where somebody did, or where it is in another state than `of_state`.
    """
    mine = update(RolloutRow).where(RolloutRow.id == rollout_id, RolloutRow.version == version)
    if of_state:
        mine = mine.where(RolloutRow.state == of_state)
    changed = db.execute(
        mine.values(**values, version=version + 1).execution_options(synchronize_session=False)
    )  # fmt: skip
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise RolloutChanged(f"rollout {rollout_id} was changed meanwhile")
    db.expire_all()
    return version + 1


def written(new: NewRollout) -> dict[str, Any]:
    """Its columns, for whoever writes a state with them (`change`)."""
    return {
        "name": new.name, "playbook": new.playbook, "variables": _text(new.variables),
        "secret_names": _text(sorted(new.secret_names)), "selector": _text(new.selector), "policy": _text(new.policy),
        "nature": _text(new.nature), "configures": new.nature.configures[:120], "reason": new.reason,
        "deadline_s": new.deadline_s, "wave_count": new.wave_count, "targets_digest": new.targets_digest,
        "plan_digest": new.plan_digest, "bundle_digest": new.bundle_digest, "needs_approval": new.needs_approval,
    }  # fmt: skip


def tell(db: Session, annexes: Collection[str], *, now: datetime) -> None:
    """Let open pages know that something of a rollout in these annexes has changed."""
    if annexes:
        pulses.add(db, {}, now=now, origin="rollouts", annexes=dict.fromkeys(sorted(annexes), "o"))


def prune(db: Session, *, before: datetime, at_most: int) -> list[int]:
    """Forget rollouts that ended before then, with all that belongs to them; their ids."""
    old = select(RolloutRow.id).where(RolloutRow.ended_at < before).order_by(RolloutRow.id)
    gone = list(db.scalars(old.limit(at_most)))
    if gone:
        # Who was made from one of them stands by itself from then on.
        orphans = update(RolloutRow).where(RolloutRow.of_rollout.in_(gone))
        db.execute(orphans.values(of_rollout=None).execution_options(synchronize_session=False))
        for rollout_id in gone:
            db.delete(db.get_one(RolloutRow, rollout_id))
        db.flush()
    return gone


# -- rows into structs


def _has_target(scope: Scope, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        RolloutTargetRow.rollout_id == RolloutRow.id, scope.limit(RolloutTargetRow.annex_id), *conditions
    )


def _seen(scope: Scope) -> ColumnElement[bool]:
    """Every query for rollouts is narrowed by it."""
    return true() if scope.annexes is None else _has_target(scope)


def _policy(text: str) -> Policy:
    """Of one that was kept before, a field that did nothing and is no more is left out."""
    fields = msgspec.json.decode(text)
    return msgspec.convert({name: fields[name] for name in Policy.__struct_fields__ if name in fields}, Policy)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _common(row: RolloutRow, tally: Mapping[TargetState, int]) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "playbook": row.playbook, "state": row.state, "phase": row.phase,
        "wave": row.wave, "wave_count": row.wave_count, "author": row.author, "created_at": row.created_at,
        "started_at": row.started_at, "ended_at": row.ended_at, "deadline_at": row.deadline_at,
        "state_reason": row.state_reason, "version": row.version, "tally": tally, "relation": row.relation,
        "of_rollout": row.of_rollout,
    }  # fmt: skip


def _summary(row: RolloutRow, tally: Mapping[TargetState, int]) -> Summary:
    return Summary(**_common(row, tally))


def detail(row: RolloutRow, tally: Mapping[TargetState, int]) -> Detail:
    return Detail(
        **_common(row, tally), variables=msgspec.json.decode(row.variables),
        secret_names=tuple(msgspec.json.decode(row.secret_names)),
        selector=msgspec.json.decode(row.selector, type=Selector), policy=_policy(row.policy),
        nature=msgspec.json.decode(row.nature, type=Nature), configures=row.configures, reason=row.reason,
        deadline_s=row.deadline_s, gate=msgspec.json.decode(row.gate, type=GateVerdict) if row.gate else None,
        held=msgspec.json.decode(row.held, type=dict[str, list[int]]) if row.state == "running" else {},
        targets_digest=row.targets_digest, plan_digest=row.plan_digest, bundle_digest=row.bundle_digest,
        needs_approval=row.needs_approval, submitted_by=row.submitted_by, submitted_at=row.submitted_at,
        approved_by=row.approved_by, approved_at=row.approved_at, started_by=row.started_by,
        accepted_at=row.accepted_at, wave_since=row.wave_since, dry_run_id=row.dry_run_id, fence=row.fence,
    )  # fmt: skip
