"""What happened to devices, newest last in the table."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

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


class Happening(NamedTuple):
    """One row, as little of it as is needed."""

    device_number: int
    at: datetime
    received_at: datetime
    kind: str
    collector: str
    payload: bytes


def happenings(
    db: Session,
    *,
    since: datetime,
    kinds: Collection[str],
    collectors: Collection[str] = (),
    numbers: Collection[int] | None = None,
    until: datetime | None = None,
) -> list[Happening]:
    """What happened to devices after this moment, oldest first: of these kinds and, if told, of these collectors.

    Of all devices, or of some.
    """
    columns = (
        ChangeRow.device_number, ChangeRow.at, ChangeRow.received_at, ChangeRow.kind, ChangeRow.collector,
        ChangeRow.payload,
    )  # fmt: skip
    query = select(*columns).where(ChangeRow.kind.in_(kinds)).order_by(ChangeRow.at, ChangeRow.id)
    if collectors:
        query = query.where(ChangeRow.collector.in_(collectors))
    if until is not None:
        query = query.where(ChangeRow.at <= until)
    if numbers is None:
        # What happened after a moment was received after it, and for that there is an index.
        return [Happening(*row) for row in db.execute(query.where(ChangeRow.received_at > since, ChangeRow.at > since))]
    found: list[Happening] = []
    ordered = sorted(numbers)
    for start in range(0, len(ordered), 500):
        some = query.where(ChangeRow.device_number.in_(ordered[start : start + 500]), ChangeRow.at > since)
        found += [Happening(*row) for row in db.execute(some)]
    return found
