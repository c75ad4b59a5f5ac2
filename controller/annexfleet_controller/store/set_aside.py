"""Messages that could not be decoded, kept for whoever looks for the reason."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.readings import SetAside

HEAD_BYTES = 512


def add(db: Session, messages: Iterable[tuple[str, str, float, str, str, bytes]]) -> None:
    """(device id, topic, received at, reason, detail, payload); of the payload only the head is kept."""
    columns = ("device_id", "topic", "received_at", "reason", "detail", "size_bytes", "head")
    rows = [
        (device, topic[:200], bulk.micros(at), reason[:64], detail[:200], len(payload), payload[:HEAD_BYTES])
        for device, topic, at, reason, detail, payload in messages
    ]
    bulk.insert(db, SetAside, columns, rows)


def newest(db: Session, *, device_id: str = "", limit: int = 50) -> list[SetAside]:
    """What was set aside last, newest first; of one device, or of all."""
    statement = select(SetAside).order_by(SetAside.id.desc()).limit(limit)
    return list(db.scalars(statement.where(SetAside.device_id == device_id) if device_id else statement))


def count(db: Session) -> int:
    """How many are kept."""
    return db.scalar(select(func.count()).select_from(SetAside)) or 0


def count_each(db: Session, device_ids: Collection[str], *, since: datetime) -> dict[str, int]:
    """How many are kept of these devices since then; a device of which there are none is left out."""
    counted = select(SetAside.device_id, func.count()).where(
        SetAside.device_id.in_(device_ids), SetAside.received_at >= since
    )
    return dict(iter(db.execute(counted.group_by(SetAside.device_id))))


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget what was received before this moment; gives how many rows went."""
    ids = db.scalars(select(SetAside.id).where(SetAside.received_at < before).limit(at_most)).all()
    db.execute(delete(SetAside).where(SetAside.id.in_(ids)))
    return len(ids)
