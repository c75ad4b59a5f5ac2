"""Whose turn a rollout is: leases of conductors, and the fence that keeps out what an older one still writes.

Each conductor that takes a rollout gets the next number of its fence.  Whatever it writes, it writes in a transaction
in which `fenced` was asked first: with that number, the version and the state that it had read.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import RolloutChanged
from annexfleet_controller.store import rollouts
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.tables.rollouts import RolloutRow


class Claim(Struct, frozen=True):
    """A rollout that is ours until the lease runs out."""

    id: int
    fence: int


class LeaseLost(Exception):
    """Another conductor has this rollout by now."""


def is_any_due(db: Session, *, now: datetime) -> bool:
    """Whether `claim` is worth trying; costs no write."""
    return db.scalar(select(RolloutRow.id).where(*_free(now)).limit(1)) is not None


def claim(db: Session, owner: str, *, now: datetime, lease: timedelta) -> Claim | None:
    """Take a rollout that is under way, or has devices that still are, and that no conductor holds."""
    for rollout_id, fence in db.execute(
        select(RolloutRow.id, RolloutRow.fence).where(*_free(now)).order_by(RolloutRow.id).limit(10)
    ).all():
        taken = db.execute(
            update(RolloutRow)
            .where(RolloutRow.id == rollout_id, RolloutRow.fence == fence, *_free(now))
            .values(owner=owner[:64], leased_until=now + lease, fence=fence + 1)
            .execution_options(synchronize_session=False)
        )
        if taken.rowcount:  # type: ignore[attr-defined]
            return Claim(rollout_id, fence + 1)
    return None


def keep(db: Session, claims: Collection[Claim], *, now: datetime, lease: timedelta) -> list[Claim]:
    """Hold these for longer; those that are still ours, and not over."""
    kept = []
    for one in claims:
        held = db.execute(
            update(RolloutRow)
            .where(RolloutRow.id == one.id, RolloutRow.fence == one.fence, RolloutRow.ended_at.is_(None))
            .values(leased_until=now + lease)
            .execution_options(synchronize_session=False)
        )
        if held.rowcount:  # type: ignore[attr-defined]
            kept.append(one)
    return kept


def release(db: Session, claims: Collection[Claim]) -> None:
    """Another conductor may have these at once."""
    for one in claims:
        db.execute(
            update(RolloutRow)
            .where(RolloutRow.id == one.id, RolloutRow.fence == one.fence)
            .values(owner="", leased_until=None)
            .execution_options(synchronize_session=False)
        )


def fenced(db: Session, held: Claim, *, version: int, state: str) -> None:
    """Hold the rollout as it was read until the transaction ends: same lease, version and state.

    Whoever pauses it meanwhile waits, and whoever did so before has raised the version.  Raises LeaseLost where it is
    another conductor's, and RolloutChanged where it is not as it was read.
    """
    mine = (RolloutRow.id == held.id, RolloutRow.fence == held.fence)
    same = db.execute(
        update(RolloutRow)
        .where(*mine, RolloutRow.version == version, RolloutRow.state == state)
        .values(fence=held.fence)
        .execution_options(synchronize_session=False)
    )
    if same.rowcount:  # type: ignore[attr-defined]
        return
    if db.scalar(select(RolloutRow.id).where(*mine)) is None:
        raise LeaseLost(f"rollout {held.id}")
    raise RolloutChanged(f"rollout {held.id} was changed meanwhile")


def conduct(db: Session, held: Claim, values: Mapping[str, Any], *, raises_version: bool) -> None:
    """Write what a conductor decided, in a transaction in which `fenced` was asked.  Raises LeaseLost."""
    risen = {"version": RolloutRow.version + 1} if raises_version else {}
    done = db.execute(
        update(RolloutRow)
        .where(RolloutRow.id == held.id, RolloutRow.fence == held.fence)
        .values(**values, **risen)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise LeaseLost(f"rollout {held.id}")
    db.expire_all()


def of_conductor(db: Session, held: Claim) -> Detail:
    """A rollout that is ours, as it stands, without its tally.  Raises LeaseLost."""
    row = db.scalar(select(RolloutRow).where(RolloutRow.id == held.id, RolloutRow.fence == held.fence))
    if row is None:
        raise LeaseLost(f"rollout {held.id}")
    return rollouts.detail(row, {})


def _free(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Begun, not at its end, and nobody's: either its holder gave it back or the lease ran out."""
    unheld = or_(RolloutRow.leased_until.is_(None), RolloutRow.leased_until < now)
    return RolloutRow.started_at.is_not(None), RolloutRow.ended_at.is_(None), unheld
