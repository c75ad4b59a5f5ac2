"""The story of a rollout: every change of its state, its wave and its gate, in order."""

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.rollouts import RolloutEventRow

Fact = str | int | float | bool | list[str] | None

KINDS = (
    "created", "edited", "submitted", "approved", "rejected", "withdrawn", "dry_run", "started", "paused", "resumed",
    "stopped", "aborted", "done", "superseded", "wave", "soaking", "stragglers", "gate", "begun",
)  # fmt: skip
"""Codes that have words (context "rollout_event")."""


class Event(Struct, frozen=True, kw_only=True):
    """One line of the story."""

    id: int
    rollout_id: int
    at: datetime
    kind: str
    """One of KINDS."""
    actor: str
    """Empty: the conductor."""
    facts: Mapping[str, Fact]
    """What fills the words: `wave`, `devices` (a number), `run`, `reason`, `word` (a gate's)."""


def add(
    db: Session,
    rollout_id: int,
    kind: str,
    *,
    now: datetime,
    actor: str = "",
    facts: Mapping[str, Fact] | None = None,
) -> None:
    """Write a line in the caller's transaction."""
    text = msgspec.json.encode(facts or {}).decode()
    db.add(RolloutEventRow(rollout_id=rollout_id, at=now, kind=kind, actor=actor[:80], facts=text))


def actors(db: Session, rollout_id: int, kinds: Collection[str]) -> set[str]:
    """The people behind lines of these kinds."""
    query = select(RolloutEventRow.actor).where(RolloutEventRow.rollout_id == rollout_id)
    return set(db.scalars(query.where(RolloutEventRow.kind.in_(kinds)).distinct()))


def of(db: Session, rollout_id: int, *, before: int | None = None, limit: int | None = None) -> list[Event]:
    """The story, the newest first, from before that line's id.  Whoever asks has found the rollout in sight before."""
    query = select(RolloutEventRow).where(RolloutEventRow.rollout_id == rollout_id).order_by(RolloutEventRow.id.desc())
    if before is not None:
        query = query.where(RolloutEventRow.id < before)
    return [
        Event(
            id=row.id, rollout_id=row.rollout_id, at=row.at, kind=row.kind, actor=row.actor,
            facts=msgspec.json.decode(row.facts),
        )
        for row in db.scalars(query.limit(limit))
    ]  # fmt: skip


def is_any(db: Session, rollout_id: int, kind: str) -> bool:
    """Whether its story has a line of this kind."""
    query = select(RolloutEventRow.id).where(RolloutEventRow.rollout_id == rollout_id, RolloutEventRow.kind == kind)
    return db.scalar(query.limit(1)) is not None
