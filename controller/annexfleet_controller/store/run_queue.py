"""The queue of runs, and the life of the processes that carry them out.

A run is taken by a conditional update.  `attempts` is the fencing token: each process that is started for a run gets
the next number, and whatever it writes is written only while that is still the run's.  So a process that was given up
for dead and is not can do no harm to the run's record, and learns with its next heartbeat that it has to stop.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import runs
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.rollouts import RolloutRow, RolloutTargetRow
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

NEVER_BEGUN = frozenset({"rollout_halted", "rollout_waited", "rollout_moved", "not_begun_again"})
"""Problems of a run whose skipped devices were never begun: it had no process, or its process died before them."""
MOST_WAITED = timedelta(minutes=2)
_SOON = timedelta(seconds=10)


class Heart(Struct, frozen=True):
    """A run in the state running, as its supervisor looks at it."""

    run_id: int
    attempt: int
    seen_at: datetime
    is_cancelled: bool
    deadline: datetime | None


def take(db: Session, *, now: datetime) -> int | None:
    """Take the run that waits longest, for its first attempt; its id, or None if none waits.

    One whose rollout was halted meanwhile is not begun any more, nor one of a rollout that waited for longer than
    MOST_WAITED: its window may have closed, and people may have come; nor one of which a device was moved: it was
    approved where it stood.
    """
    waiting = select(RunRow.id).where(RunRow.state == "queued", RunRow.kind == "playbook").order_by(RunRow.id)
    for run_id in db.scalars(waiting.limit(10)).all():
        if (state := _rollout_state(db, run_id)) is not None:
            problem = "rollout_halted" if state != "running" else _not_as_begun(db, run_id, now)
            if problem:
                _give_back(db, run_id, problem, now=now)
                continue
        taken = db.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.state == "queued")
            .values(state="running", started_at=now, seen_at=now, attempts=1)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount:  # type: ignore[attr-defined]
            runs.tell(db, run_id, now=now)
            return run_id
    return None


def _rollout_state(db: Session, run_id: int) -> str | None:
    """The state of the rollout that made it; None where a person did.

    On PostgreSQL the rollout's row is held until the commit: whoever stops it comes before this run begins, or after.
    """
    of_run = (
        select(RolloutRow.state)
        .join(RolloutTargetRow, RolloutTargetRow.rollout_id == RolloutRow.id)
        .where(RolloutTargetRow.run_id == run_id)
        .limit(1)
        .with_for_update(of=RolloutRow)
    )
    return db.scalar(of_run)


def _not_as_begun(db: Session, run_id: int, now: datetime) -> str:
    """Why a run that waited is not begun any more, or empty."""
    asked_at = db.scalar(select(RunRow.created_at).where(RunRow.id == run_id))
    if asked_at is not None and now - asked_at > MOST_WAITED:
        return "rollout_waited"
    return "rollout_moved" if is_moved(db, run_id) else ""


def is_moved(db: Session, run_id: int) -> bool:
    """Whether one of its devices without an outcome stands elsewhere than when it was asked for."""
    # On PostgreSQL the devices stay where they are until the commit: who moves one comes before this run, or after.
    standing = (
        select(RunHostRow.annex_id, Device.annex_id)
        .join(Device, Device.number == RunHostRow.device_number)
        .where(RunHostRow.run_id == run_id, RunHostRow.state != "ended")
        .order_by(Device.number)
        .with_for_update(read=True, of=Device)
    )
    return any(then != now_at for then, now_at in db.execute(standing))


def _give_back(db: Session, run_id: int, problem: str, *, now: datetime) -> None:
    """A run that never began ends, and its devices were never touched."""
    gone = db.execute(
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.state == "queued")
        .values(state="ended", outcome="cancelled", problem=problem, ended_at=now)
        .execution_options(synchronize_session=False)
    )
    if gone.rowcount:  # type: ignore[attr-defined]
        runs.close_hosts(db, run_id, "skipped", now=now)
        runs.release(db, run_id)
        runs.tell(db, run_id, now=now)


def is_crowded(db: Session, *, now: datetime) -> bool:
    """Whether a run has waited for a process for a while: there is none to be had now."""
    waiting = select(RunRow.id).where(
        RunRow.state == "queued", RunRow.kind == "playbook", RunRow.created_at < now - _SOON
    )
    return db.scalar(waiting.limit(1)) is not None


def is_any_queued(db: Session) -> bool:
    """Whether `take` is worth trying; costs no write."""
    waiting = select(RunRow.id).where(RunRow.state == "queued", RunRow.kind == "playbook")
    return db.scalar(waiting.limit(1)) is not None


def running(db: Session) -> list[Heart]:
    """The runs of playbooks that are being carried out, or were when their process died."""
    query = select(RunRow).where(RunRow.state == "running", RunRow.kind == "playbook").order_by(RunRow.id)
    return [
        Heart(
            row.id,
            row.attempts,
            row.seen_at or row.created_at,
            row.cancelled_at is not None,
            row.started_at and row.started_at + timedelta(seconds=row.timeout_s),
        )
        for row in db.scalars(query)
    ]


def is_halted(db: Session, run_id: int) -> bool:
    """Whether it was made by a rollout that has been stopped, paused or ended since."""
    return _rollout_state(db, run_id) not in {None, "running"}


def of_rollout(db: Session, run_id: int) -> int | None:
    """The rollout that made it; None where a person did."""
    query = select(RolloutTargetRow.rollout_id).where(RolloutTargetRow.run_id == run_id)
    return db.scalar(query.limit(1))


def unfinished(db: Session, run_id: int) -> list[int]:
    """The numbers of its devices that have no outcome."""
    query = select(RunHostRow.device_number).where(RunHostRow.run_id == run_id, RunHostRow.state != "ended")
    return list(db.scalars(query.order_by(RunHostRow.device_number)))


def take_over(db: Session, heart: Heart, *, now: datetime) -> int | None:
    """Begin the next attempt at a run whose process died.

    Its number; None if somebody else was quicker, if its rollout was halted (`is_halted`), or if one of its devices
    was moved since (`is_moved`).  Whether it is the time for it is not asked here (`rollouts/again.py`).
    """
    state = _rollout_state(db, heart.run_id)
    if state is not None and (state != "running" or is_moved(db, heart.run_id)):
        return None
    taken = db.execute(
        update(RunRow)
        .where(
            RunRow.id == heart.run_id, RunRow.state == "running", RunRow.attempts == heart.attempt,
            RunRow.seen_at == heart.seen_at,
        )
        .values(attempts=heart.attempt + 1, seen_at=now)
        .execution_options(synchronize_session=False)
    )  # fmt: skip
    return heart.attempt + 1 if taken.rowcount else None  # type: ignore[attr-defined]


def beat(db: Session, run_id: int, attempt: int, *, now: datetime) -> bool | None:
    """Say that the run's process lives.

    True where somebody asked for the run's end, False where nobody did, None where the run is not this process's any
    more.
    """
    if not _set(db, run_id, attempt, {"seen_at": now}):
        return None
    return db.scalar(select(RunRow.cancelled_at).where(RunRow.id == run_id)) is not None


def asked(db: Session, run_id: int, attempt: int) -> bool | None:
    """As `beat` answers; costs no write."""
    row = db.execute(
        select(RunRow.cancelled_at).where(RunRow.id == run_id, RunRow.state == "running", RunRow.attempts == attempt)
    ).one_or_none()
    return None if row is None else row[0] is not None


def is_ours(db: Session, run_id: int, attempt: int) -> bool:
    """Whether this attempt may still write; on PostgreSQL it stays so until the transaction ends."""
    ours = select(RunRow.id).where(RunRow.id == run_id, RunRow.state == "running", RunRow.attempts == attempt)
    return db.scalar(ours.with_for_update()) is not None


def finish(
    db: Session, run_id: int, attempt: int, *, outcome: str, problem: str = "", rest: str = "unknown",
    message: str = "", is_put_back: bool = False, now: datetime,
) -> bool:  # fmt: skip
    """End a run; its devices that have no outcome get `rest`, and the message.

    `is_put_back`: those to which Ansible never came are skipped instead.
    False if it is not this attempt's any more.
    """
    values = {"state": "ended", "outcome": outcome, "problem": problem[:64], "ended_at": now, "seen_at": now}
    if not _set(db, run_id, attempt, values):
        return False
    if is_put_back:
        runs.close_hosts(db, run_id, "skipped", now=now, is_unstarted=True)
    runs.close_hosts(db, run_id, rest, now=now, message=message)
    runs.release(db, run_id)
    runs.tell(db, run_id, now=now)
    return True


def _set(db: Session, run_id: int, attempt: int, values: dict[str, object]) -> bool:
    changed = db.execute(
        update(RunRow)
        .where(RunRow.id == run_id, RunRow.state == "running", RunRow.attempts == attempt)
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]
