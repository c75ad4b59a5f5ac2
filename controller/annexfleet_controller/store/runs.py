"""Ansible runs as people look at them: which there are, how they stand, and who may see what of them.

A person confined to some annexes sees a run if any of its devices stands in one of these, and of that run only those
devices; every number counts only them.  To stop a run one has to see all of its devices.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, delete, exists, func, insert, select, true, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, DeviceUnknown, Forbidden, RunBusy, RunOver, RunUnknown
from annexfleet_controller.store import pulses
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.runs import RunClaimRow, RunHostRow, RunRow

SUCCESSES = frozenset({"ok", "changed"})
RUN_OUTCOMES = ("ok", "failed", "cancelled", "timed_out", "unknown")
HOST_OUTCOMES = ("ok", "changed", "failed", "unreachable", "cancelled", "unknown", "skipped")
_AT_ONCE = 500


class Target(Struct, frozen=True, order=True):
    """A device that is to be changed."""

    id: str
    number: int
    annex_id: str


class NewRun(Struct, frozen=True, kw_only=True):
    kind: str = "playbook"
    playbook: str
    variables: Mapping[str, Any] = {}
    """Checked, and without secrets."""
    secret_names: Sequence[str] = ()
    check: bool = False
    forks: int = 20
    timeout_s: float = 3600.0
    bundle_digest: str = ""
    author: str
    reason: str = ""


class Tally(Struct, frozen=True, kw_only=True):
    """How the devices of a run stand, of those in sight."""

    waiting: int = 0
    running: int = 0
    ok: int = 0
    changed: int = 0
    failed: int = 0
    unreachable: int = 0
    cancelled: int = 0
    unknown: int = 0
    skipped: int = 0

    @property
    def all(self) -> int:
        return sum(msgspec.structs.astuple(self))

    @property
    def ended(self) -> int:
        return self.all - self.waiting - self.running

    @property
    def succeeded(self) -> int:
        return self.ok + self.changed


class Run(Struct, frozen=True, kw_only=True):
    """One run, with what is in sight of it."""

    id: int
    kind: str
    playbook: str
    variables: dict[str, Any]
    secret_names: tuple[str, ...]
    check: bool
    forks: int
    timeout_s: float
    bundle_digest: str
    targets_digest: str
    author: str
    reason: str
    created_at: datetime
    state: str
    """queued, running or ended"""
    outcome: str
    problem: str
    started_at: datetime | None
    ended_at: datetime | None
    seen_at: datetime | None
    attempts: int
    cancelled_at: datetime | None
    cancelled_by: str
    task_count: int
    hosts: Tally = Tally()


def targets_digest(device_ids: Iterable[str]) -> str:
    """What proves that a list of devices is the one that was approved: SHA-256 over their sorted ids, a line each."""
    return hashlib.sha256("".join(f"{id_}\n" for id_ in sorted(device_ids)).encode()).hexdigest()


def targets(
    db: Session,
    scope: Scope,
    *,
    devices: Collection[str] = (),
    annexes: Collection[str] = (),
    roles: Collection[str] = (),
) -> list[Target]:
    """The devices in service that are meant, by id: those named, and those of the annexes.

    Roles narrow what the annexes give, and without annexes mean those of all annexes in sight.  Raises DeviceUnknown
    and AnnexUnknown for what is not there or not in sight.
    """
    query = select(Device.id, Device.number, Device.annex_id).where(
        scope.limit(Device.annex_id), Device.revoked_at.is_(None)
    )
    found: dict[str, Target] = {}
    wanted = sorted(set(devices))
    for start in range(0, len(wanted), _AT_ONCE):
        some = query.where(Device.id.in_(wanted[start : start + _AT_ONCE]))
        found |= {row.id: Target(row.id, row.number, row.annex_id) for row in db.execute(some)}
    if missing := [id_ for id_ in wanted if id_ not in found]:
        raise DeviceUnknown(f"no device {missing[0]!r}", device=missing[0])
    if annexes:
        there = set(db.scalars(select(Annex.id).where(scope.limit(Annex.id), Annex.id.in_(sorted(set(annexes))))))
        if unknown := sorted(set(annexes) - there):
            raise AnnexUnknown(f"no annex {unknown[0]!r}", annex=unknown[0])
        query = query.where(Device.annex_id.in_(sorted(there)))
    if annexes or roles:
        if roles:
            query = query.where(Device.role.in_(sorted(set(roles))))
        found |= {row.id: Target(row.id, row.number, row.annex_id) for row in db.execute(query)}
    return sorted(found.values())


def create(db: Session, new: NewRun, of: Sequence[Target], *, now: datetime) -> int:
    """Queue a run; its id.  Its devices are its own from now until it has ended.

    Raises RunBusy if one of them belongs to another run that has not ended; `other` in the facts is that run's id.
    """
    is_queued = new.kind == "playbook"
    row = RunRow(
        kind=new.kind, playbook=new.playbook, variables=msgspec.json.encode(new.variables).decode(),
        secret_names=msgspec.json.encode(sorted(new.secret_names)).decode(), check=new.check, forks=new.forks,
        timeout_s=new.timeout_s, bundle_digest=new.bundle_digest,
        targets_digest=targets_digest(target.id for target in of), author=new.author, reason=new.reason,
        created_at=now, state="queued" if is_queued else "running", started_at=None if is_queued else now,
        seen_at=None if is_queued else now, attempts=0 if is_queued else 1,
    )  # fmt: skip
    with db.begin_nested():  # whoever catches RunBusy may commit what else there is
        db.add(row)
        db.flush()
        join(db, row.id, of, now=now)
        return row.id


def join(db: Session, run_id: int, of: Sequence[Target], *, now: datetime) -> None:
    """Give devices to a run.  Raises RunBusy if one of them belongs to another run."""
    _claim(db, run_id, of, now=now)
    for start in range(0, len(of), _AT_ONCE):
        rows = [
            {"run_id": run_id, "device_number": target.number, "annex_id": target.annex_id, **_NOTHING_YET}
            for target in of[start : start + _AT_ONCE]
        ]
        db.execute(insert(RunHostRow), rows)
    pulses.add(db, {}, now=now, origin="runs", annexes={target.annex_id: "u" for target in of})


_NOTHING_YET = {
    "state": "waiting", "outcome": "", "ok_count": 0, "changed_count": 0, "failed_count": 0, "skipped_count": 0,
    "task_number": 0, "task": "", "message": "", "diff_digest": "",
}  # fmt: skip


def _claim(db: Session, run_id: int, of: Sequence[Target], *, now: datetime) -> None:
    upsert = postgresql_insert if db.get_bind().dialect.name == "postgresql" else sqlite_insert
    for start in range(0, len(of), _AT_ONCE):
        some = of[start : start + _AT_ONCE]
        db.execute(
            upsert(RunClaimRow)
            .values([{"device_number": target.number, "run_id": run_id, "claimed_at": now} for target in some])
            .on_conflict_do_nothing(index_elements=["device_number"])
        )
        numbers = [target.number for target in some]
        owned = select(RunClaimRow.device_number, RunClaimRow.run_id).where(RunClaimRow.device_number.in_(numbers))
        owners = {row.device_number: row.run_id for row in db.execute(owned)}
        for target in some:
            owner = owners.get(target.number)
            if owner != run_id:
                raise RunBusy(f"device {target.id} belongs to run {owner}", other=str(owner or ""), device=target.id)


# -- looking


def find(db: Session, scope: Scope, run_id: int) -> Run:
    """Raises RunUnknown where there is none, or none in sight."""
    row = db.scalar(select(RunRow).where(RunRow.id == run_id, _seen(scope)))
    if row is None:
        raise RunUnknown(f"no run {run_id}")
    return of_row(row, tallies(db, scope, [run_id]).get(run_id, Tally()))


def listing(
    db: Session,
    scope: Scope,
    *,
    state: str = "",
    playbook: str = "",
    annex_id: str = "",
    before: int | None = None,
    limit: int,
) -> list[Run]:
    """Runs in sight, the newest first, from before that id.  `state` may also be an outcome of a run."""
    query = select(RunRow).where(_seen(scope)).order_by(RunRow.id.desc())
    if state:
        query = query.where(RunRow.outcome == state if state in RUN_OUTCOMES else RunRow.state == state)
    if playbook:
        query = query.where(RunRow.playbook == playbook)
    if annex_id:
        query = query.where(_has_host(scope, RunHostRow.annex_id == annex_id))
    if before is not None:
        query = query.where(RunRow.id < before)
    rows = db.scalars(query.limit(limit)).all()
    counted = tallies(db, scope, [row.id for row in rows])
    return [of_row(row, counted.get(row.id, Tally())) for row in rows]


def played(db: Session, scope: Scope) -> list[str]:
    """The playbooks that were ever run, of the runs in sight."""
    return list(db.scalars(select(RunRow.playbook).where(_seen(scope)).distinct().order_by(RunRow.playbook)))


def owner_of(db: Session, device_number: int) -> int | None:
    """The run that a device belongs to now."""
    return db.scalar(select(RunClaimRow.run_id).where(RunClaimRow.device_number == device_number))


def state_of(db: Session, run_id: int) -> str | None:
    """None where there is no such run."""
    return db.scalar(select(RunRow.state).where(RunRow.id == run_id))


def annexes_of(db: Session, run_id: int) -> list[str]:
    """The annexes in which devices of a run stand."""
    return sorted(db.scalars(select(RunHostRow.annex_id).where(RunHostRow.run_id == run_id).distinct()))


def may_stop(db: Session, scope: Scope, run_id: int) -> bool:
    """Whether somebody sees every device of a run."""
    beyond = select(RunHostRow.run_id).where(RunHostRow.run_id == run_id, ~scope.limit(RunHostRow.annex_id)).limit(1)
    return scope.annexes is None or db.scalar(beyond) is None


def count(db: Session) -> dict[tuple[str, str], int]:
    """How many runs there are, by state and outcome."""
    rows = db.execute(select(RunRow.state, RunRow.outcome, func.count()).group_by(RunRow.state, RunRow.outcome))
    return {(row[0], row[1]): row[2] for row in rows}


# -- stopping


def cancel(db: Session, scope: Scope, run_id: int, *, by: str, now: datetime) -> Run:
    """Ask for the end of a run; one that has not begun ends at once.  Asked twice, the first time counts.

    Raises RunUnknown, Forbidden where some of its devices are out of sight, and RunOver for one that has ended.
    """
    run = find(db, scope, run_id)
    if not may_stop(db, scope, run_id):
        raise Forbidden(f"run {run_id} has devices out of sight")
    asked = {"cancelled_at": now, "cancelled_by": by[:80]}
    queued = update(RunRow).where(RunRow.id == run_id, RunRow.state == "queued")
    done = db.execute(queued.values(state="ended", outcome="cancelled", ended_at=now, **asked))
    if done.rowcount:  # type: ignore[attr-defined]
        close_hosts(db, run_id, "cancelled", now=now)
        release(db, run_id)
    else:
        running = update(RunRow).where(
            RunRow.id == run_id, RunRow.state == "running", RunRow.cancelled_at.is_(None)
        )  # fmt: skip
        db.execute(running.values(**asked))
        if run.state == "ended":
            raise RunOver(f"run {run_id} has ended")
    db.expire_all()
    tell(db, run_id, now=now)
    return find(db, scope, run_id)


def close_hosts(
    db: Session, run_id: int, outcome: str, *, now: datetime, message: str = "", is_unstarted: bool = False
) -> None:
    """Every device of a run that has no outcome yet gets this one, and the message if there is one.

    With `is_unstarted` only those of which nothing was told at all.
    """
    said = {"message": message} if message else {}
    meant = [RunHostRow.run_id == run_id, RunHostRow.state != "ended"]
    if is_unstarted:
        meant += [RunHostRow.state == "waiting", RunHostRow.started_at.is_(None)]
    db.execute(
        update(RunHostRow)
        .where(*meant)
        .values(state="ended", outcome=outcome, ended_at=now, **said)
        .execution_options(synchronize_session=False)
    )


def release(db: Session, run_id: int) -> None:
    """Let other runs have its devices."""
    db.execute(delete(RunClaimRow).where(RunClaimRow.run_id == run_id))


def tell(db: Session, run_id: int, *, now: datetime) -> None:
    """Let open pages know that something of this run has changed."""
    pulses.add(db, {}, now=now, origin="runs", annexes=dict.fromkeys(annexes_of(db, run_id), "u"))


def prune(db: Session, *, before: datetime, at_most: int) -> list[int]:
    """Forget runs that ended before then, with all that belongs to them; their ids."""
    old = select(RunRow.id).where(RunRow.state == "ended", RunRow.ended_at < before).order_by(RunRow.id)
    gone = list(db.scalars(old.limit(at_most)))
    # What belongs to a run goes with it, by the database's own rule.
    for start in range(0, len(gone), _AT_ONCE):
        db.execute(delete(RunRow).where(RunRow.id.in_(gone[start : start + _AT_ONCE])))
    return gone


# -- rows into structs


def _has_host(scope: Scope, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(RunHostRow.run_id == RunRow.id, scope.limit(RunHostRow.annex_id), *conditions)


def _seen(scope: Scope) -> ColumnElement[bool]:
    """Every query for runs is narrowed by it.  Who sees the whole province sees runs that have no device yet, too."""
    return true() if scope.annexes is None else _has_host(scope)


def tallies(db: Session, scope: Scope, run_ids: Sequence[int]) -> dict[int, Tally]:
    """How the devices in sight stand, by run; a run without such is missing."""
    query = (
        select(RunHostRow.run_id, RunHostRow.state, RunHostRow.outcome, func.count())
        .where(RunHostRow.run_id.in_(run_ids), scope.limit(RunHostRow.annex_id))
        .group_by(RunHostRow.run_id, RunHostRow.state, RunHostRow.outcome)
    )
    found: dict[int, dict[str, int]] = {}
    for run_id, state, outcome, number in db.execute(query):
        of = found.setdefault(run_id, {})
        standing = outcome if state == "ended" and outcome in HOST_OUTCOMES else state
        of[standing] = of.get(standing, 0) + number
    return {run_id: msgspec.convert(of, Tally) for run_id, of in found.items()}


def of_row(row: RunRow, hosts_: Tally) -> Run:
    return Run(
        id=row.id, kind=row.kind, playbook=row.playbook, variables=msgspec.json.decode(row.variables),
        secret_names=tuple(msgspec.json.decode(row.secret_names)), check=row.check, forks=row.forks,
        timeout_s=row.timeout_s, bundle_digest=row.bundle_digest, targets_digest=row.targets_digest,
        author=row.author, reason=row.reason, created_at=row.created_at, state=row.state, outcome=row.outcome,
        problem=row.problem, started_at=row.started_at, ended_at=row.ended_at, seen_at=row.seen_at,
        attempts=row.attempts, cancelled_at=row.cancelled_at, cancelled_by=row.cancelled_by,
        task_count=row.task_count, hosts=hosts_,
    )  # fmt: skip
