"""Devices as they come and go."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Device


def insert(db: Session, device: Device) -> Device:
    """The device with its number.  Raises IntegrityError for an unknown annex."""
    db.add(device)
    db.flush()
    return device


def find(db: Session, device_id: str) -> Device | None:
    return db.scalar(select(Device).where(Device.id == device_id))


def by_number(db: Session, number: int) -> Device | None:
    return db.get(Device, number)


def revoke(db: Session, device_number: int, now: datetime) -> None:
    """One that is revoked already keeps its moment."""
    db.execute(
        update(Device)
        .where(Device.number == device_number, Device.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )


def set_exchange_key(db: Session, device_number: int, key: bytes) -> None:
    """From now on what is meant for its runner alone is sealed to this key: X25519, public, 32 bytes."""
    db.execute(
        update(Device)
        .where(Device.number == device_number)
        .values(exchange_key=key)
        .execution_options(synchronize_session=False)
    )
