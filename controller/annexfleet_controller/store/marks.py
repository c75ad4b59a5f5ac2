"""How far each installation's items are committed.  The arithmetic is in ingest.marks."""

import json
from collections.abc import Collection, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.readings import Mark

Ranges = tuple[tuple[int, int], ...]
"""First and last, rising, never touching."""


def of(db: Session, device_numbers: Collection[int]) -> dict[tuple[int, str], tuple[int, Ranges]]:
    """(upto, ahead) of every installation of these devices, by device number and install id."""
    rows = db.execute(
        select(Mark.device_number, Mark.install_id, Mark.upto, Mark.ahead).where(Mark.device_number.in_(device_numbers))
    )
    return {
        (number, install): (upto, () if ahead == "[]" else tuple((first, last) for first, last in json.loads(ahead)))
        for number, install, upto, ahead in rows
    }


def write(db: Session, marks: Iterable[tuple[int, str, int, Ranges]]) -> None:
    """(device number, install id, upto, ahead) of devices that this transaction has locked."""
    columns = ("device_number", "install_id", "upto", "ahead")
    rows = [(number, install, upto, json.dumps(ahead) if ahead else "[]") for number, install, upto, ahead in marks]
    bulk.upsert(db, Mark, columns[:2], columns, rows)
