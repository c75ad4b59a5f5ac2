"""Certificates that devices were given."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Certificate, Device


def insert(
    db: Session, *, serial: int, device_number: int, public_key_digest: str, issued_at: datetime, expires_at: datetime
) -> None:
    """Raises IntegrityError, at once, if this key was certified before."""
    db.add(
        Certificate(
            serial=f"{serial:x}",
            device_number=device_number,
            public_key_digest=public_key_digest,
            issued_at=issued_at,
            expires_at=expires_at,
        )
    )
    db.flush()


def find_by_serial(db: Session, serial: int) -> Certificate | None:
    return db.get(Certificate, f"{serial:x}")


def find_by_key(db: Session, public_key_digest: str) -> Certificate | None:
    return db.scalar(select(Certificate).where(Certificate.public_key_digest == public_key_digest))


def revoke_of_device(db: Session, device_number: int, now: datetime) -> None:
    """All of a device's certificates; one that is revoked already keeps its moment."""
    db.execute(
        update(Certificate)
        .where(Certificate.device_number == device_number, Certificate.revoked_at.is_(None))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )


def revoked(db: Session, *, ending_after: datetime) -> dict[int, datetime]:
    """Since when, by serial number; certificates that have ended before are left out."""
    rows = db.execute(
        select(Certificate.serial, Certificate.revoked_at).where(
            Certificate.revoked_at.is_not(None), Certificate.expires_at > ending_after
        )
    )
    return {int(serial, 16): since for serial, since in rows if since is not None}


def any_in_force(db: Session, serials: Collection[int]) -> bool:
    """Whether one of these is not revoked."""
    return any(
        db.scalar(
            select(Certificate.serial).where(Certificate.serial.in_(some), Certificate.revoked_at.is_(None)).limit(1)
        )
        for some in _some(serials)
    )


def devices_of(db: Session, serials: Collection[int]) -> list[str]:
    """The ids of the devices that these were given to."""
    found: set[str] = set()
    for some in _some(serials):
        query = select(Device.id).join(Certificate, Certificate.device_number == Device.number)
        found |= set(db.scalars(query.where(Certificate.serial.in_(some))))
    return sorted(found)


def _some(serials: Collection[int], size: int = 500) -> Iterable[list[str]]:
    ordered = [f"{serial:x}" for serial in sorted(serials)]
    return (ordered[start : start + size] for start in range(0, len(ordered), size))
