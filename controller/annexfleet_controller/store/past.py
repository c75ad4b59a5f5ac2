"""What was known of an annex's devices at some moment, and what came after it."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.changes import Happening
from annexfleet_controller.store.history import AS_IT_CAME
from annexfleet_controller.store.tables.readings import ChangeRow, DevicePart, History

_KINDS = ("change", "connected", "gone")


class PastBeat(NamedTuple):
    """A beat as it came."""

    device_number: int
    at: datetime
    payload: bytes


def standing(db: Session, numbers: Collection[int], *, at: datetime) -> list[Happening]:
    """What each collector of these devices had told last by then, and whether each had come or gone; oldest first.

    Changes are kept 90 days; what did not change for longer is known from what stands now, if it is as old.
    """
    columns = (
        ChangeRow.device_number, ChangeRow.at, ChangeRow.received_at, ChangeRow.kind, ChangeRow.collector,
        ChangeRow.payload,
    )  # fmt: skip
    # Coming and going bear no collector, so that the newest of both counts.
    newest_first = func.row_number().over(
        partition_by=(ChangeRow.device_number, ChangeRow.collector), order_by=(ChangeRow.at.desc(), ChangeRow.id.desc())
    )
    ranked = (
        select(*columns, newest_first.label("place"))
        .where(ChangeRow.device_number.in_(numbers), ChangeRow.kind.in_(_KINDS), ChangeRow.at <= at)
        .subquery()
    )
    rows = db.execute(select(*(ranked.c[column.key] for column in columns)).where(ranked.c.place == 1))
    found = [Happening(*row) for row in rows]
    told = {(row.device_number, row.collector) for row in found}
    parts = db.scalars(select(DevicePart).where(DevicePart.device_number.in_(numbers), DevicePart.at <= at))
    found += [
        Happening(part.device_number, part.at, part.at, "change", part.collector, part.payload)
        for part in parts
        if (part.device_number, part.collector) not in told
    ]
    return sorted(found, key=lambda row: row.at)


def beats(db: Session, numbers: Collection[int], *, since: datetime, until: datetime) -> list[PastBeat]:
    """The beats of these devices as they came, oldest first.  Those older than a week were folded and are not there."""
    rows = db.execute(
        select(History.device_number, History.at, History.payload)
        .where(
            History.device_number.in_(numbers), History.resolution_s == AS_IT_CAME, History.at > since,
            History.at <= until,
        )
        .order_by(History.at, History.id)
    )  # fmt: skip
    return [PastBeat(*row) for row in rows]
