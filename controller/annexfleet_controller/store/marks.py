"""How far each installation's items are committed.  The arithmetic is in ingest.marks."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Select, delete, select, tuple_
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.readings import DeviceState, Mark

Ranges = tuple[tuple[int, int], ...]
"""First and last, rising, never touching."""


KEPT = 8
"""Installations of one device.  A machine is set up anew once in years; a forged one could be new with every hello."""
_AT_ONCE = 500


def of(
    db: Session, device_numbers: Collection[int], *, others: Collection[tuple[int, str]] = ()
) -> dict[tuple[int, str], tuple[int, Ranges]]:
    """(upto, ahead) by device number and install id: of these devices' present installations, and of these others."""
    current = (Mark.device_number == DeviceState.device_number) & (Mark.install_id == DeviceState.install_id)
    found = _of(db, select(*_COLUMNS).join(DeviceState, current).where(Mark.device_number.in_(device_numbers)))
    asked = sorted(set(others))
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        found |= _of(db, select(*_COLUMNS).where(tuple_(Mark.device_number, Mark.install_id).in_(some)))
    return found


def write(db: Session, marks: Iterable[tuple[int, str, int, Ranges]], *, now: datetime) -> None:
    """(device number, install id, upto, ahead) of devices that this transaction has locked."""
    columns = ("device_number", "install_id", "upto", "ahead", "moved_at")
    moved_at = bulk.micros(now.timestamp())
    rows = [
        (number, install, upto, json.dumps(ahead) if ahead else "[]", moved_at)
        for number, install, upto, ahead in marks
    ]
    bulk.upsert(db, Mark, columns[:2], columns, rows)


def keep_newest(db: Session, installs: Iterable[tuple[int, str]]) -> None:
    """Forget all but this installation and the newest few of each of these devices."""
    for number, install in installs:
        newest = select(Mark.install_id).where(Mark.device_number == number, Mark.install_id != install)
        newest = newest.order_by(Mark.moved_at.desc(), Mark.install_id).limit(KEPT - 1)
        old = Mark.install_id.not_in(newest.scalar_subquery()) & (Mark.install_id != install)
        db.execute(delete(Mark).where(Mark.device_number == number, old).execution_options(synchronize_session=False))


_COLUMNS = (Mark.device_number, Mark.install_id, Mark.upto, Mark.ahead)


def _of(db: Session, marks: Select[int, str, int, str]) -> dict[tuple[int, str], tuple[int, Ranges]]:
    return {
        (number, install): (upto, () if ahead == "[]" else tuple((first, last) for first, last in json.loads(ahead)))
        for number, install, upto, ahead in db.execute(marks)
    }
