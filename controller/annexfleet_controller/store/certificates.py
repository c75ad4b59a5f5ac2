"""Certificates that devices were given."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Certificate


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
