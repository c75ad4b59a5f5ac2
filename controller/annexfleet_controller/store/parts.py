"""What each collector of a device told last."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DevicePart, DeviceState


def replace(db: Session, parts: Iterable[tuple[int, str, float, bytes]]) -> None:
    """(device number, collector, at, payload); an older report never replaces a newer one."""
    columns = ("device_number", "collector", "at", "payload")
    rows = [(number, collector, bulk.micros(at), payload) for number, collector, at, payload in parts]
    bulk.upsert(db, DevicePart, columns[:2], columns, rows, newer="at")


def of_collector(db: Session, collector: str) -> list[tuple[int, str, bool, bytes]]:
    """(device number, annex, connected, payload) of every device in service that told of this collector."""
    rows = db.execute(
        select(Device.number, Device.annex_id, DeviceState.connected, DevicePart.payload)
        .join(DevicePart, DevicePart.device_number == Device.number)
        .join(DeviceState, DeviceState.device_number == Device.number)
        .where(DevicePart.collector == collector, Device.revoked_at.is_(None))
        .order_by(Device.number)
    )
    return [(number, annex, connected, payload) for number, annex, connected, payload in rows]
