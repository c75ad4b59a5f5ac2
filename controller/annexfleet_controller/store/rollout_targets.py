"""The devices of rollouts: how each stands in one, and what was rolled out to one over time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import RolloutChanged
from annexfleet_controller.store import rollouts
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.waves.model import ACCEPTED, BAD, MISSED, SETTLED, Target, TargetState

_AT_ONCE = 500


class NewTarget(Struct, frozen=True, kw_only=True):
    """A device as it is frozen."""

    number: int
    annex_id: str
    wave: int
    """0: in none."""
    position: int = 0
    state: TargetState = "waiting"
    """Or `compliant`, or `skipped` where it takes no commands."""
    reason: str = ""
    before: Mapping[str, str] = {}


class TargetRow(Struct, frozen=True, kw_only=True):
    """One device of a rollout, as people look at it."""

    rollout_id: int
    device_number: int
    device_id: str
    device_name: str
    annex_id: str
    """Where it stood when the targets were frozen."""
    wave: int
    """0: in none (it had it already, or takes no commands)."""
    position: int
    state: TargetState
    attempts: int
    run_id: int | None
    """The newest."""
    not_before: datetime | None
    begun_at: datetime | None
    run_ended_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    reason: str
    """A code that has words (context "rollout_target")."""
    before: Mapping[str, str]
    """The facts that matter, as it reported them before."""
    after: Mapping[str, str]


class Disturbed(Struct, frozen=True):
    """Devices by number."""

    changing: frozenset[int]
    harmed: Mapping[int, datetime]
    """With the moment at which that was clear."""


def put(db: Session, rollout_id: int, new: Iterable[NewTarget]) -> None:
    """These and no others; only while it is a draft or just being frozen."""
    db.execute(delete(RolloutTargetRow).where(RolloutTargetRow.rollout_id == rollout_id))
    rows = [
        {
            "rollout_id": rollout_id, "device_number": one.number, "annex_id": one.annex_id, "wave": one.wave,
            "position": one.position, "state": one.state, "reason": one.reason, "attempts": 0,
            "before": _text(one.before), "after": "{}",
        }
        for one in new
    ]  # fmt: skip
    for start in range(0, len(rows), _AT_ONCE):
        db.execute(insert(RolloutTargetRow), rows[start : start + _AT_ONCE])


# -- looking


def listing(
    db: Session,
    scope: Scope,
    rollout_id: int,
    *,
    wave: int | None = None,
    state: str = "",
    annex_id: str = "",
    after: tuple[int, int, int] | None = None,
    limit: int | None = None,
) -> list[TargetRow]:
    """The devices in sight, by wave and position, from after that `place`."""
    query = (
        select(RolloutTargetRow, Device.id, Device.name)
        .join(Device, Device.number == RolloutTargetRow.device_number)
        .where(RolloutTargetRow.rollout_id == rollout_id, scope.limit(RolloutTargetRow.annex_id))
        .order_by(RolloutTargetRow.wave, RolloutTargetRow.position, RolloutTargetRow.device_number)
    )
    if wave is not None:
        query = query.where(RolloutTargetRow.wave == wave)
    if state:
        query = query.where(RolloutTargetRow.state == state)
    if annex_id:
        query = query.where(RolloutTargetRow.annex_id == annex_id)
    if after is not None:
        columns = (RolloutTargetRow.wave, RolloutTargetRow.position, RolloutTargetRow.device_number)
        query = query.where(tuple_(*columns) > tuple_(*after))
    return [_row(row, id_, name) for row, id_, name in db.execute(query.limit(limit))]


def place(row: TargetRow) -> tuple[int, int, int]:
    """Its place in the list, for `after`."""
    return row.wave, row.position, row.device_number


def of_device(
    db: Session, scope: Scope, device_number: int, *, before: int | None = None, limit: int
) -> list[tuple[rollouts.Summary, TargetRow]]:
    """What was rolled out to a device, the newest first from before that rollout; only while it stood in sight."""
    query = (
        select(RolloutTargetRow, Device.id, Device.name)
        .join(Device, Device.number == RolloutTargetRow.device_number)
        .where(RolloutTargetRow.device_number == device_number, scope.limit(RolloutTargetRow.annex_id))
        .order_by(RolloutTargetRow.rollout_id.desc())
    )
    if before is not None:
        query = query.where(RolloutTargetRow.rollout_id < before)
    rows = [_row(row, id_, name) for row, id_, name in db.execute(query.limit(limit))]
    known = rollouts.summaries(db, scope, [row.rollout_id for row in rows])
    return [(known[row.rollout_id], row) for row in rows]


def waves(db: Session, scope: Scope, rollout_id: int) -> dict[int, dict[TargetState, int]]:
    """How the devices in sight stand, by wave: what the bars of the live view show."""
    query = (
        select(RolloutTargetRow.wave, RolloutTargetRow.state, func.count())
        .where(RolloutTargetRow.rollout_id == rollout_id, scope.limit(RolloutTargetRow.annex_id))
        .group_by(RolloutTargetRow.wave, RolloutTargetRow.state)
        .order_by(RolloutTargetRow.wave)
    )
    found: dict[int, dict[TargetState, int]] = {}
    for wave, state, number in db.execute(query):
        found.setdefault(wave, {})[cast("TargetState", state)] = number
    return found


def of_rollout(db: Session, rollout_id: int) -> list[Target]:
    """All devices as thinking needs them, by wave and position."""
    columns = (
        RolloutTargetRow.device_number, RolloutTargetRow.annex_id, RolloutTargetRow.wave, RolloutTargetRow.position,
        RolloutTargetRow.state, RolloutTargetRow.attempts, RolloutTargetRow.run_id, RolloutTargetRow.not_before,
        RolloutTargetRow.begun_at, RolloutTargetRow.run_ended_at, RolloutTargetRow.ended_at, RolloutTargetRow.reason,
    )  # fmt: skip
    query = select(*columns).where(RolloutTargetRow.rollout_id == rollout_id)
    query = query.order_by(RolloutTargetRow.wave, RolloutTargetRow.position, RolloutTargetRow.device_number)
    return [
        Target(
            number=row[0], annex_id=row[1], wave=row[2], position=row[3], state=cast("TargetState", row[4]),
            attempts=row[5], run_id=row[6], not_before=row[7], begun_at=row[8], run_ended_at=row[9], ended_at=row[10],
            reason=row[11],
        )
        for row in db.execute(query)
    ]  # fmt: skip


def frozen(db: Session, rollout_id: int) -> list[str]:
    """The ids of the devices in its waves, sorted: what was approved."""
    query = (
        select(Device.id)
        .join(RolloutTargetRow, RolloutTargetRow.device_number == Device.number)
        .where(RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.wave > 0)
    )
    return sorted(db.scalars(query))


# -- what becomes of them


def begin(
    db: Session,
    rollout_id: int,
    before: Mapping[int, Mapping[str, str]],
    *,
    run_id: int,
    now: datetime,
) -> None:
    """These devices, with the facts that they report now, belong to this run.

    Raises RolloutChanged where one of them is begun already or has ended: then nothing of this transaction may stay.
    """
    for number, facts in before.items():
        begun = db.execute(
            update(RolloutTargetRow)
            .where(
                RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.device_number == number,
                RolloutTargetRow.wave > 0, RolloutTargetRow.state.in_(("waiting", "deferred")),
            )
            .values(
                state="running", run_id=run_id, attempts=RolloutTargetRow.attempts + 1, begun_at=now, not_before=None,
                run_ended_at=None, reason="", before=_text(facts),
            )
            .execution_options(synchronize_session=False)
        )  # fmt: skip
        if not begun.rowcount:  # type: ignore[attr-defined]
            raise RolloutChanged(f"device {number} of rollout {rollout_id} is begun already")


def settle(
    db: Session,
    rollout_id: int,
    number: int,
    state: TargetState,
    *,
    of_state: TargetState,
    reason: str = "",
    not_before: datetime | None = None,
    run_ended_at: datetime | None = None,
    duration_s: float | None = None,
    after: Mapping[str, str] | None = None,
    now: datetime,
) -> bool:
    """A device is in another state; False where it is not in `of_state` any more."""
    values: dict[str, object] = {
        "state": state, "reason": reason[:80], "not_before": not_before, "ended_at": now if state in SETTLED else None,
    }  # fmt: skip
    if run_ended_at is not None:
        values["run_ended_at"] = run_ended_at
    if duration_s is not None:
        values["duration_s"] = duration_s
    if after is not None:
        values["after"] = _text(after)
    done = db.execute(
        update(RolloutTargetRow)
        .where(
            RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.device_number == number,
            RolloutTargetRow.state == of_state,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    return bool(done.rowcount)  # type: ignore[attr-defined]


def accept(db: Session, rollout_id: int, numbers: Collection[int]) -> None:
    """A person knows that these devices, whose runs still last, are failing."""
    for some in _some(sorted(numbers)):
        db.execute(
            update(RolloutTargetRow)
            .where(
                RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.device_number.in_(some or ()),
                RolloutTargetRow.state == "running",
            )
            .values(reason=ACCEPTED)
            .execution_options(synchronize_session=False)
        )  # fmt: skip


def skip_unbegun(
    db: Session, rollout_id: int, reason: str, *, now: datetime, numbers: Collection[int] | None = None
) -> int:
    """Devices that were not begun, or could not be reached, never will be; how many."""
    unbegun = (RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.state.in_(("waiting", "deferred")))
    total = 0
    for some in _some(numbers):
        mine: tuple[ColumnElement[bool], ...] = unbegun
        if some is not None:
            mine = (*unbegun, RolloutTargetRow.device_number.in_(some))
        done = db.execute(
            update(RolloutTargetRow)
            .where(*mine)
            .values(state="skipped", reason=reason, ended_at=now)
            .execution_options(synchronize_session=False)
        )
        total += done.rowcount  # type: ignore[attr-defined]
    return total


def count_unsettled(db: Session, rollout_id: int) -> int:
    """Devices that have not ended."""
    unsettled = (RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.state.not_in(sorted(SETTLED)))
    return db.scalar(select(func.count()).select_from(RolloutTargetRow).where(*unsettled)) or 0


def disturbed(db: Session, numbers: Collection[int]) -> Disturbed:
    """Which of these devices any rollout is changing, or left in a bad state and has not mended since."""
    changing: set[int] = set()
    harmed: dict[int, datetime] = {}
    mended: dict[int, datetime] = {}
    columns = (RolloutTargetRow.device_number, RolloutTargetRow.state, RolloutTargetRow.ended_at)
    touched = sorted({"running", "verifying", "succeeded", *BAD})
    for some in _some(numbers):
        query = select(*columns).where(
            RolloutTargetRow.device_number.in_(some or ()), RolloutTargetRow.state.in_(touched),
            or_(RolloutTargetRow.reason != MISSED, RolloutTargetRow.begun_at.is_not(None)),
        )  # fmt: skip
        for number, state, ended_at in db.execute(query):
            if state in {"running", "verifying"}:
                changing.add(number)
            elif ended_at is not None:
                of = mended if state == "succeeded" else harmed
                of[number] = max(ended_at, of.get(number, ended_at))
    return Disturbed(
        frozenset(changing),
        {number: at for number, at in harmed.items() if number not in mended or mended[number] <= at},
    )


def missed(db: Session, scope: Scope, rollout_id: int) -> dict[int, int]:
    """How many devices in sight were not reached until the deadline, by wave."""
    query = (
        select(RolloutTargetRow.wave, func.count())
        .where(
            RolloutTargetRow.rollout_id == rollout_id, RolloutTargetRow.state == "unknown",
            RolloutTargetRow.reason == MISSED, scope.limit(RolloutTargetRow.annex_id),
        )
        .group_by(RolloutTargetRow.wave)
    )  # fmt: skip
    return {row[0]: row[1] for row in db.execute(query)}


def newer(db: Session, rollout_id: int, configures: str, *, started_after: datetime) -> dict[int, int]:
    """Devices that are also of a newer rollout under way which configures the same: device to that rollout."""
    query = (
        select(RolloutTargetRow.device_number, RolloutTargetRow.rollout_id)
        .join(RolloutRow, RolloutRow.id == RolloutTargetRow.rollout_id)
        .where(
            RolloutRow.configures == configures, RolloutRow.id != rollout_id, RolloutTargetRow.wave > 0,
            RolloutRow.state.in_((*rollouts.UNDER_WAY, "done")),
            (RolloutRow.started_at > started_after)
            | ((RolloutRow.started_at == started_after) & (RolloutRow.id > rollout_id)),
        )
        .order_by(RolloutRow.started_at, RolloutRow.id)
    )  # fmt: skip
    return {number: other for number, other in db.execute(query)}  # noqa: C416  # a Row is no tuple to dict()


def begun_since(db: Session, since: datetime) -> frozenset[int]:
    """Devices that any rollout began after that moment."""
    return frozenset(db.scalars(select(RolloutTargetRow.device_number).where(RolloutTargetRow.begun_at > since)))


def durations(db: Session, playbook: str, *, limit: int) -> Sequence[float]:
    """How long this playbook took on one device, the newest measurements first."""
    query = (
        select(RolloutTargetRow.duration_s)
        .join(RolloutRow, RolloutRow.id == RolloutTargetRow.rollout_id)
        .where(RolloutRow.playbook == playbook, RolloutTargetRow.duration_s.is_not(None))
        .order_by(RolloutTargetRow.ended_at.desc())
    )
    return [seconds for seconds in db.scalars(query.limit(limit)) if seconds is not None]


def _some(keys: Collection[int] | None) -> Iterable[list[int] | None]:
    if keys is None:
        return [None]
    ordered = list(keys)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]


def _text(facts: Mapping[str, str]) -> str:
    return msgspec.json.encode(facts).decode()


def _row(row: RolloutTargetRow, device_id: str, device_name: str) -> TargetRow:
    return TargetRow(
        rollout_id=row.rollout_id, device_number=row.device_number, device_id=device_id, device_name=device_name,
        annex_id=row.annex_id, wave=row.wave, position=row.position, state=cast("TargetState", row.state),
        attempts=row.attempts, run_id=row.run_id, not_before=row.not_before, begun_at=row.begun_at,
        run_ended_at=row.run_ended_at, ended_at=row.ended_at, duration_s=row.duration_s, reason=row.reason,
        before=msgspec.json.decode(row.before), after=msgspec.json.decode(row.after),
    )  # fmt: skip
