"""What was done to devices in a span of time, for whoever asks what came just before trouble, or beside a curve."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal

from msgspec import Struct
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

DeedKind = Literal["run", "rollout", "command"]

_AT_ONCE = 500


class Deed(Struct, frozen=True):
    """One run, rollout or command, with how many of the devices asked about it touched."""

    kind: DeedKind
    id: str
    name: str
    """A run's playbook, a rollout's name, a command's code."""
    by: str
    began_at: datetime
    """On the first of these devices."""
    ended_at: datetime | None
    """On the last of them; None while it lasts."""
    devices: int
    outcome: str = ""
    """Where it touched one device: how that ended, as a run's host, a rollout's target or a command has it."""


def deeds(
    db: Session, scope: Scope, numbers: Collection[int], *, since: datetime, until: datetime, limit: int = 100
) -> list[Deed]:
    """What lasted at some moment of this span on any of these devices, the newest first.

    A dry run changes nothing and is left out, and so are the runs that a rollout makes: the rollout is told.  Only what
    was done while the devices stood in annexes in sight.
    """
    found: dict[tuple[str, str], Deed] = {}
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        for deed in (*_rollouts(db, scope, some, since, until), *_runs(db, scope, some, since, until),
                     *_commands(db, scope, some, since, until)):  # fmt: skip
            key = (deed.kind, deed.id)
            found[key] = _both(found[key], deed) if key in found else deed
    return sorted(found.values(), key=lambda deed: (deed.began_at, deed.id), reverse=True)[:limit]


def _rollouts(db: Session, scope: Scope, numbers: Collection[int], since: datetime, until: datetime) -> list[Deed]:
    of = RolloutTargetRow
    query = (
        select(
            RolloutRow.id, RolloutRow.name, RolloutRow.author, func.min(of.begun_at), func.max(of.ended_at),
            func.count(), func.count(of.ended_at), func.max(of.state),
        )
        .join(of, of.rollout_id == RolloutRow.id)
        .where(
            of.device_number.in_(numbers), scope.limit(of.annex_id), of.begun_at.is_not(None), of.begun_at <= until,
            or_(of.ended_at.is_(None), of.ended_at >= since),
        )
        .group_by(RolloutRow.id, RolloutRow.name, RolloutRow.author)
    )  # fmt: skip
    return [
        Deed("rollout", str(id_), name, by, began, ended if count == over else None, count, state if count == 1 else "")
        for id_, name, by, began, ended, count, over, state in db.execute(query)
        if began is not None
    ]


def _runs(db: Session, scope: Scope, numbers: Collection[int], since: datetime, until: datetime) -> list[Deed]:
    of = RunHostRow
    of_a_rollout = select(RolloutTargetRow.run_id).where(
        RolloutTargetRow.device_number.in_(numbers), RolloutTargetRow.run_id.is_not(None)
    )
    query = (
        select(
            RunRow.id, RunRow.playbook, RunRow.author, func.min(of.started_at), func.max(of.ended_at), func.count(),
            func.count(of.ended_at), func.max(of.outcome),
        )
        .join(of, of.run_id == RunRow.id)
        .where(
            of.device_number.in_(numbers), scope.limit(of.annex_id), of.started_at.is_not(None),
            of.started_at <= until, or_(of.ended_at.is_(None), of.ended_at >= since), RunRow.check.is_(False),
            RunRow.id.not_in(of_a_rollout),
        )
        .group_by(RunRow.id, RunRow.playbook, RunRow.author)
    )  # fmt: skip
    return [
        Deed("run", str(id_), name, by, began, ended if count == over else None, count, out if count == 1 else "")
        for id_, name, by, began, ended, count, over, out in db.execute(query)
        if began is not None
    ]


def _commands(db: Session, scope: Scope, numbers: Collection[int], since: datetime, until: datetime) -> list[Deed]:
    of = CommandRow
    query = (
        select(of.id, of.name, of.author, of.sent_at, of.ended_at, of.outcome)
        .join(Device, Device.number == of.device_number)
        .where(
            of.device_number.in_(numbers), scope.limit(Device.annex_id), of.sent_at.is_not(None), of.sent_at <= until,
            or_(of.ended_at.is_(None), of.ended_at >= since), of.created_at >= since - (until - since),
            of.name != "watch",  # it only looks
        )
    )  # fmt: skip
    return [
        Deed("command", id_, name, by, sent, ended, 1, outcome)
        for id_, name, by, sent, ended, outcome in db.execute(query)
        if sent is not None
    ]


def _both(a: Deed, b: Deed) -> Deed:
    """The same deed of two groups of devices."""
    lasts = a.ended_at is None or b.ended_at is None
    ended = None if lasts else max(e for e in (a.ended_at, b.ended_at) if e is not None)
    return Deed(a.kind, a.id, a.name, a.by, min(a.began_at, b.began_at), ended, a.devices + b.devices)
