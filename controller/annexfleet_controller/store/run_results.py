"""What became of a run's devices, task by task: written by the run's own process as it happens, and read by pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import bindparam, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from annexfleet_controller.store import pulses, runs
from annexfleet_controller.store.run_progress import Batch, Progress, Task
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunDiffRow, RunHostRow, RunResultRow, RunRow, RunTaskRow

_AT_ONCE = 400


class ToldResult(Struct, frozen=True, kw_only=True):
    """A result with its task, as a page shows it."""

    task_number: int
    task: str
    action: str
    state: str
    duration_s: float
    message: str
    diff_digest: str
    diff: str


class DiffGroup(Struct, frozen=True, kw_only=True):
    """Devices that a dry run would change alike."""

    digest: str
    """Empty: nothing would change."""
    devices: Sequence[tuple[str, str]]
    """Id and name, by id; those in sight."""
    is_partial: bool = False
    """They failed, or were lost, after these changes."""


class DiffPart(Struct, frozen=True, kw_only=True):
    """What one task would change."""

    task_number: int
    task: str
    text: str
    """Empty where the task would change something and cannot show what."""


def write(db: Session, run_id: int, batch: Batch, *, now: datetime) -> None:
    """Keep a batch.  Written twice it is kept once; of a device that has ended nothing is changed any more."""
    insert = postgresql_insert if db.get_bind().dialect.name == "postgresql" else sqlite_insert
    if batch.tasks:
        tasks = [
            {
                "run_id": run_id, "number": task.number, "uuid": task.key, "name": task.name[:200],
                "action": task.action[:100], "predictable": task.predictable,
            }
            for task in batch.tasks
        ]  # fmt: skip
        added = insert(RunTaskRow).values(tasks)
        newer = {"predictable": added.excluded.predictable}
        db.execute(added.on_conflict_do_update(index_elements=["run_id", "number"], set_=newer))
        highest = max(task.number for task in batch.tasks)
        db.execute(
            update(RunRow).where(RunRow.id == run_id, RunRow.task_count < highest).values(task_count=highest)
        )  # fmt: skip
    for digest, text in batch.diffs.items():
        diff = insert(RunDiffRow).values(run_id=run_id, digest=digest, text=text)
        db.execute(diff.on_conflict_do_nothing(index_elements=["run_id", "digest"]))
    for start in range(0, len(batch.results), _AT_ONCE):
        some = batch.results[start : start + _AT_ONCE]
        rows = {(r.device_number, r.task_number): {"run_id": run_id, **structs.asdict(r)} for r in some}
        result = insert(RunResultRow).values(list(rows.values()))
        columns = {name: result.excluded[name] for name in ("state", "duration_s", "message", "diff_digest")}
        db.execute(
            result.on_conflict_do_update(index_elements=["run_id", "device_number", "task_number"], set_=columns)
        )  # fmt: skip
    _progress(db, run_id, batch.hosts, now)
    touched = {host.device_number for host in batch.hosts} | {result.device_number for result in batch.results}
    pulses.add(db, {}, now=now, origin="runs", annexes=dict.fromkeys(_annexes(db, run_id, touched), "u"))


def _progress(db: Session, run_id: int, hosts: Sequence[Progress], now: datetime) -> None:
    """A statement for all that tell the same fields: at its end a run has news of all of its devices at once."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for host in hosts:
        told = {name: value for name, value in structs.asdict(host).items() if value is not None}
        if host.state == "ended":
            told["ended_at"] = now
        alike.setdefault(tuple(told), []).append({f"its_{name}": value for name, value in told.items()})
    for names, rows in alike.items():
        of = {name: bindparam(f"its_{name}", type_=RunHostRow.__table__.c[name].type) for name in names}
        number = of.pop("device_number")
        query = update(RunHostRow).where(
            RunHostRow.run_id == run_id, RunHostRow.device_number == number, RunHostRow.state != "ended"
        )
        values = {**of, "started_at": func.coalesce(RunHostRow.started_at, _moment(now))}
        db.connection().execute(query.values(values), rows)


def _moment(now: datetime) -> Any:
    return literal(now, RunHostRow.started_at.type)


def _annexes(db: Session, run_id: int, numbers: set[int]) -> list[str]:
    if not numbers:
        return []
    query = select(RunHostRow.annex_id).where(RunHostRow.run_id == run_id).distinct()
    if len(numbers) <= _AT_ONCE:
        query = query.where(RunHostRow.device_number.in_(numbers))
    return list(db.scalars(query))


# -- for the run's own process


def unfinished(db: Session, run_id: int) -> list[str]:
    """The ids of the devices of a run that have no outcome yet, sorted."""
    query = (
        select(Device.id)
        .join(RunHostRow, RunHostRow.device_number == Device.number)
        .where(RunHostRow.run_id == run_id, RunHostRow.state != "ended")
        .order_by(Device.id)
    )
    return list(db.scalars(query))


def outcomes(db: Session, run_id: int) -> dict[str, int]:
    """How many of a run's devices ended in which way; those that did not end under an empty name."""
    query = select(RunHostRow.outcome, func.count()).where(RunHostRow.run_id == run_id).group_by(RunHostRow.outcome)
    return {row[0]: row[1] for row in db.execute(query)}


# -- for people


def tasks(db: Session, run_id: int) -> list[Task]:
    """The tasks of a run, in their order."""
    query = select(RunTaskRow).where(RunTaskRow.run_id == run_id).order_by(RunTaskRow.number)
    return [
        Task(number=row.number, key=row.uuid, name=row.name, action=row.action, predictable=row.predictable)
        for row in db.scalars(query)
    ]


def of_host(db: Session, run_id: int, device_number: int) -> list[ToldResult]:
    """What a run did on one device, in order; the caller has seen to it that the device is in sight."""
    query = (
        select(RunResultRow, RunTaskRow.name, RunTaskRow.action, RunDiffRow.text)
        .join(
            RunTaskRow,
            (RunTaskRow.run_id == RunResultRow.run_id) & (RunTaskRow.number == RunResultRow.task_number),
        )
        .join(
            RunDiffRow,
            (RunDiffRow.run_id == RunResultRow.run_id) & (RunDiffRow.digest == RunResultRow.diff_digest),
            isouter=True,
        )
        .where(RunResultRow.run_id == run_id, RunResultRow.device_number == device_number)
        .order_by(RunResultRow.task_number)
    )
    return [
        ToldResult(
            task_number=row.task_number, task=name, action=action, state=row.state, duration_s=row.duration_s,
            message=row.message, diff_digest=row.diff_digest, diff=text or "",
        )
        for row, name, action, text in db.execute(query)
    ]  # fmt: skip


def diff_groups(db: Session, scope: Scope, run_id: int) -> list[DiffGroup]:
    """The devices in sight that a run reached, grouped by what it changed or would change; the largest group first.

    Those that failed on the way are groups of their own, as far as they came; without a change they are in none.
    """
    query = (
        select(RunHostRow.diff_digest, RunHostRow.outcome, Device.id, Device.name)
        .join(Device, Device.number == RunHostRow.device_number)
        .where(
            RunHostRow.run_id == run_id, scope.limit(RunHostRow.annex_id), RunHostRow.outcome != "",
            or_(RunHostRow.outcome.in_(sorted(runs.SUCCESSES)), RunHostRow.diff_digest != ""),
        )
        .order_by(Device.id)
    )  # fmt: skip
    found: dict[tuple[str, bool], list[tuple[str, str]]] = {}
    for digest, outcome, id_, name in db.execute(query):
        found.setdefault((digest, outcome not in runs.SUCCESSES), []).append((id_, name))
    groups = [
        DiffGroup(digest=digest, devices=devices, is_partial=is_partial)
        for (digest, is_partial), devices in found.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.devices), group.digest, group.is_partial))


def diff_parts(db: Session, run_id: int, device_id: str) -> list[DiffPart]:
    """What each task changed, or would change, on one device; every device of a `DiffGroup` has the same."""
    query = (
        select(RunResultRow.task_number, RunTaskRow.name, RunDiffRow.text)
        .join(Device, Device.number == RunResultRow.device_number)
        .join(
            RunTaskRow,
            (RunTaskRow.run_id == RunResultRow.run_id) & (RunTaskRow.number == RunResultRow.task_number),
        )
        .join(
            RunDiffRow,
            (RunDiffRow.run_id == RunResultRow.run_id) & (RunDiffRow.digest == RunResultRow.diff_digest),
            isouter=True,
        )
        .where(RunResultRow.run_id == run_id, RunResultRow.state == "changed", Device.id == device_id)
        .order_by(RunResultRow.task_number)
    )
    return [DiffPart(task_number=number, task=name, text=text or "") for number, name, text in db.execute(query)]


def unpredictable(db: Session, run_id: int) -> list[Task]:
    """Tasks of a dry run of which nobody can tell what they would do."""
    return [task for task in tasks(db, run_id) if not task.predictable]
