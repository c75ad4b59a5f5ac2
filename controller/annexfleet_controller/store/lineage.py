"""Where a device stands within its annex, and which machine stood there before or does so now."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device

_AT_MOST = 10


class Relative(Struct, frozen=True):
    """A device that came before or after another."""

    id: str
    name: str
    enrolled_at: datetime
    retired_at: datetime | None


class Lineage(Struct, frozen=True):
    place: str
    """Room or counter; empty: nobody said."""
    retired_at: datetime | None
    successor: Relative | None
    """None also where it is out of sight."""
    predecessors: list[Relative]
    """The newest first, of those in sight."""


def of(db: Session, scope: Scope, number: int) -> Lineage:
    """Of the device of this number, which the caller has found in sight already."""
    place, retired_at, replaced_by = db.execute(
        select(Device.place, Device.retired_at, Device.replaced_by).where(Device.number == number)
    ).one()
    after = db.scalar(select(Device).where(Device.number == replaced_by, scope.limit(Device.annex_id)))
    before = db.scalars(
        select(Device).where(Device.replaced_by == number, scope.limit(Device.annex_id))
        .order_by(Device.enrolled_at.desc(), Device.number.desc()).limit(_AT_MOST)
    )  # fmt: skip
    return Lineage(place, retired_at, _relative(after) if after else None, [_relative(one) for one in before])


def _relative(row: Device) -> Relative:
    return Relative(row.id, row.name, row.enrolled_at, row.retired_at)
