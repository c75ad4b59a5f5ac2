"""When which trouble began at which printer."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.printers import PrinterEvent


class Onset(NamedTuple):
    """A cause began."""

    printer_id: str
    annex_id: str
    cause: str
    at: datetime


def add(db: Session, onsets: Iterable[Onset]) -> None:
    columns = ("printer_id", "annex_id", "cause", "at")
    rows = [(o.printer_id, o.annex_id, o.cause, bulk.micros(o.at.timestamp())) for o in onsets]
    bulk.insert(db, PrinterEvent, columns, rows)


def since(db: Session, moment: datetime, *, cause: str = "") -> list[Onset]:
    """What began after this moment, oldest first; of one cause, or of all."""
    query = select(PrinterEvent.printer_id, PrinterEvent.annex_id, PrinterEvent.cause, PrinterEvent.at)
    query = query.where(PrinterEvent.at > moment).order_by(PrinterEvent.at, PrinterEvent.id)
    return [Onset(*row) for row in db.execute(query.where(PrinterEvent.cause == cause) if cause else query)]


def of_printer(db: Session, printer_id: str, *, since: datetime, limit: int = 500) -> list[Onset]:
    """What began at one printer after this moment, the newest first."""
    query = select(PrinterEvent.printer_id, PrinterEvent.annex_id, PrinterEvent.cause, PrinterEvent.at)
    query = query.where(PrinterEvent.printer_id == printer_id, PrinterEvent.at > since)
    return [
        Onset(*row) for row in db.execute(query.order_by(PrinterEvent.at.desc(), PrinterEvent.id.desc()).limit(limit))
    ]


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget what began before this moment; gives how many rows went."""
    ids = db.scalars(
        select(PrinterEvent.id).where(PrinterEvent.at < before).order_by(PrinterEvent.at).limit(at_most)
    ).all()
    db.execute(delete(PrinterEvent).where(PrinterEvent.id.in_(ids)))
    return len(ids)
