"""The devices of runs: how each stands in a run, and what was done to one over time."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.errors import RunUnknown
from annexfleet_controller.store import runs
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow


class RunHost(Struct, frozen=True, kw_only=True):
    """One device of a run."""

    run_id: int
    device_number: int
    device_id: str
    device_name: str
    annex_id: str
    """Where it stood then."""
    state: str
    """waiting, running or ended"""
    outcome: str
    ok_count: int
    changed_count: int
    failed_count: int
    skipped_count: int
    task_number: int
    task: str
    message: str
    diff_digest: str
    started_at: datetime | None
    ended_at: datetime | None


def hosts(
    db: Session, scope: Scope, run_id: int, *, standing: str = "", after: str = "", limit: int | None = None
) -> list[RunHost]:
    """The devices of a run that are in sight, by id, from after that id.

    `standing` is waiting, running or an outcome; empty: all.
    """
    query = (
        select(RunHostRow, Device.id, Device.name)
        .join(Device, Device.number == RunHostRow.device_number)
        .where(RunHostRow.run_id == run_id, scope.limit(RunHostRow.annex_id))
        .order_by(Device.id)
    )
    if standing in runs.HOST_OUTCOMES:
        query = query.where(RunHostRow.outcome == standing)
    elif standing:
        query = query.where(RunHostRow.state == standing)
    if after:
        query = query.where(Device.id > after)
    return [_host(row, id_, name) for row, id_, name in db.execute(query.limit(limit))]


def host(db: Session, scope: Scope, run_id: int, device_id: str) -> RunHost:
    """Raises RunUnknown where that device is not of that run, or not in sight."""
    query = (
        select(RunHostRow, Device.id, Device.name)
        .join(Device, Device.number == RunHostRow.device_number)
        .where(RunHostRow.run_id == run_id, Device.id == device_id, scope.limit(RunHostRow.annex_id))
    )
    found = db.execute(query).first()
    if found is None:
        raise RunUnknown(f"no device {device_id!r} in run {run_id}")
    return _host(*found)


def of_device(
    db: Session, scope: Scope, device_number: int, *, before: int | None = None, limit: int
) -> list[tuple[runs.Run, RunHost]]:
    """What was done to a device, the newest first; only while it stood in annexes in sight."""
    query = (
        select(RunRow, RunHostRow, Device.id, Device.name)
        .join(RunHostRow, RunHostRow.run_id == RunRow.id)
        .join(Device, Device.number == RunHostRow.device_number)
        .where(RunHostRow.device_number == device_number, scope.limit(RunHostRow.annex_id))
        .order_by(RunRow.id.desc())
    )
    if before is not None:
        query = query.where(RunRow.id < before)
    rows = db.execute(query.limit(limit)).all()
    counted = runs.tallies(db, scope, [row[0].id for row in rows])
    return [
        (runs.of_row(run, counted.get(run.id, runs.Tally())), _host(host_, id_, name)) for run, host_, id_, name in rows
    ]


def target_ids(db: Session, run_id: int) -> list[str]:
    """The ids of all devices of a run, sorted."""
    query = (
        select(Device.id)
        .join(RunHostRow, RunHostRow.device_number == Device.number)
        .where(RunHostRow.run_id == run_id)
        .order_by(Device.id)
    )
    return list(db.scalars(query))


def _host(row: RunHostRow, device_id: str, device_name: str) -> RunHost:
    return RunHost(
        run_id=row.run_id, device_number=row.device_number, device_id=device_id, device_name=device_name,
        annex_id=row.annex_id, state=row.state, outcome=row.outcome, ok_count=row.ok_count,
        changed_count=row.changed_count, failed_count=row.failed_count, skipped_count=row.skipped_count,
        task_number=row.task_number, task=row.task, message=row.message, diff_digest=row.diff_digest,
        started_at=row.started_at, ended_at=row.ended_at,
    )  # fmt: skip
