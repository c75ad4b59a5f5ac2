"""What acts upon settings replaced, for as long as they may be taken back."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.undoing import UndoStep


class Step(Struct, frozen=True):
    """One act, with what stood there before."""

    id: int
    at: datetime
    user_id: int
    act: str
    subject: str
    annex_id: str
    before: dict[str, Any]
    version: int
    undone: bool


def add(
    db: Session, *, now: datetime, user_id: int, act: str, subject: str, annex_id: str, before: Mapping[str, Any],
    version: int,
) -> int:  # fmt: skip
    """Keep what an act replaced, in its transaction; the number by which it may be taken back."""
    row = UndoStep(
        at=now, user_id=user_id, act=act, subject=subject[:120], annex_id=annex_id,
        before=json.dumps(before, ensure_ascii=False, sort_keys=True), version=version,
    )  # fmt: skip
    db.add(row)
    db.flush()
    return row.id


def find(db: Session, step_id: int, *, user_id: int) -> Step | None:
    """An act of this person's own."""
    row = db.scalar(select(UndoStep).where(UndoStep.id == step_id, UndoStep.user_id == user_id))
    return None if row is None else _step(row)


def newest(db: Session, *, user_id: int, since: datetime) -> Step | None:
    """The last act of this person since then, unless it was taken back."""
    row = db.scalar(
        select(UndoStep).where(UndoStep.user_id == user_id, UndoStep.at >= since).order_by(UndoStep.id.desc()).limit(1)
    )
    return None if row is None or row.undone_at is not None else _step(row)


def close(db: Session, step_id: int, *, now: datetime) -> bool:
    """Mark it as taken back; False if somebody did so before."""
    done = db.execute(
        update(UndoStep)
        .where(UndoStep.id == step_id, UndoStep.undone_at.is_(None))
        .values(undone_at=now)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount == 1)  # type: ignore[attr-defined]


def prune(db: Session, *, before: datetime, contacts_before: datetime) -> None:
    """Forget what can be taken back no more: it may hold names and notes, and that of contacts secrets."""
    of_contacts = and_(UndoStep.act.like("contact.%"), UndoStep.at < contacts_before)
    gone = delete(UndoStep).where(or_(UndoStep.at < before, of_contacts))
    db.execute(gone.execution_options(synchronize_session=False))


def _step(row: UndoStep) -> Step:
    return Step(
        row.id, row.at, row.user_id, row.act, row.subject, row.annex_id, json.loads(row.before), row.version,
        row.undone_at is not None,
    )  # fmt: skip
