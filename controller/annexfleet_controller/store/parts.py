"""What each collector of a device told last."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DevicePart, DeviceState


def replace(db: Session, parts: Iterable[tuple[int, str, str, int, float, bytes]]) -> None:
    """(device number, collector, installation, number of the item, at, payload).

    Of one installation, an item with a lower number never replaces one with a higher.  Another installation's always
    does: the caller writes for that of the device's last hello.
    """
    columns = ("device_number", "collector", "install_id", "seq", "at", "payload")
    rows = [(n, collector, install, seq, bulk.micros(at), payload) for n, collector, install, seq, at, payload in parts]
    bulk.upsert(db, DevicePart, columns[:2], columns, rows, newer="seq", within="install_id")


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
