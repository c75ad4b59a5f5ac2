"""In which room, or at which counter, things of an annex stand, as far as somebody said."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import PrinterLabel


def of_devices(db: Session, annex_id: str) -> dict[int, str]:
    """By device number; only those of which it is said."""
    query = select(Device.number, Device.place).where(Device.annex_id == annex_id, Device.place != "")
    return {row[0]: row[1] for row in db.execute(query)}


def of_printers(db: Session, annex_id: str) -> dict[str, str]:
    """By printer identity; only those of which it is said."""
    query = select(PrinterLabel.printer_id, PrinterLabel.place).where(
        PrinterLabel.annex_id == annex_id, PrinterLabel.place != ""
    )
    return {row[0]: row[1] for row in db.execute(query)}
