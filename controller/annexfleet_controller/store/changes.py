"""What happened to devices, newest last in the table."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.readings import ChangeRow


def add(db: Session, changes: Iterable[tuple[int, float, float, str, str, bytes]]) -> None:
    """(device number, at, received at, kind, collector, payload)."""
    columns = ("device_number", "at", "received_at", "kind", "collector", "payload")
    rows = [(number, bulk.micros(at), bulk.micros(received), *rest) for number, at, received, *rest in changes]
    bulk.insert(db, ChangeRow, columns, rows)


def newest(db: Session, device_number: int, *, limit: int) -> list[ChangeRow]:
    """What happened to a device last, newest first."""
    order = (ChangeRow.at.desc(), ChangeRow.id.desc())
    of_device = select(ChangeRow).where(ChangeRow.device_number == device_number)
    return list(db.scalars(of_device.order_by(*order).limit(limit)))


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget what was received before this moment; gives how many rows went, so that the caller knows to come back."""
    old = select(ChangeRow.id).where(ChangeRow.received_at < before).order_by(ChangeRow.received_at).limit(at_most)
    ids = db.scalars(old).all()
    db.execute(delete(ChangeRow).where(ChangeRow.id.in_(ids)))
    return len(ids)
