"""Devices as they come and go, and as people change them."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, bindparam, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import DeviceUnknown, SettingChanged
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Certificate, Device, DeviceTag
from annexfleet_controller.store.types import UtcDateTime


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
    """One that is revoked already keeps its moment; its version rises all the same: nothing older is taken back."""
    db.execute(
        update(Device)
        .where(Device.number == device_number)
        .values(
            revoked_at=func.coalesce(Device.revoked_at, bindparam("now", now, UtcDateTime)), version=Device.version + 1
        )
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


# -- as people change them


_AT_ONCE = 500


def seen(db: Session, scope: Scope, device_id: str) -> Device:
    """The row of a device in sight, in service or not.  Raises DeviceUnknown."""
    device = db.scalar(select(Device).where(Device.id == device_id, scope.limit(Device.annex_id)))
    if device is None:
        raise DeviceUnknown(f"no device {device_id!r}")
    return device


def chosen(db: Session, scope: Scope, device_ids: Collection[str]) -> list[Device]:
    """The rows of these devices in sight and in service, by id.  Raises DeviceUnknown if one of them is not."""
    wanted, found = sorted(set(device_ids)), []
    for start in range(0, len(wanted), _AT_ONCE):
        some = Device.id.in_(wanted[start : start + _AT_ONCE])
        found += list(db.scalars(_in_service(scope, some)))
    if len(found) < len(wanted):
        raise DeviceUnknown("a device is not there or not in sight")
    return found


def of_annex(db: Session, annex_id: str) -> Sequence[Device]:
    """The rows of the devices in service there, by id."""
    return db.scalars(_in_service(Scope(None), Device.annex_id == annex_id)).all()


def change(db: Session, device: Device, *, version: int, **values: object) -> None:
    """Write these columns; its version rises.  Raises SettingChanged unless it still is as it was read."""
    done = db.execute(
        update(Device)
        .where(Device.number == device.number, Device.version == version)
        .values(version=version + 1, **values)
        .execution_options(synchronize_session=False)
    )
    db.refresh(device)
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise SettingChanged("device changed meanwhile", version=device.version)


def predecessors(db: Session, number: int) -> list[Device]:
    """The devices whose place this one took, one after another, the last one first: their past is its past."""
    found: list[Device] = []
    wanted = {number}
    seen_numbers = {number}
    while rows := db.scalars(
        select(Device).where(Device.replaced_by.in_(wanted), Device.number.not_in(seen_numbers))
        .order_by(Device.retired_at.desc(), Device.number)
    ).all():  # fmt: skip
        found += rows
        wanted = {row.number for row in rows}
        seen_numbers |= wanted
    return found


def known_tags(db: Session, scope: Scope) -> list[str]:
    """Every tag that a device in sight bears."""
    query = select(DeviceTag.tag).join(Device, Device.number == DeviceTag.device_number).distinct()
    return list(db.scalars(query.where(scope.limit(Device.annex_id)).order_by(DeviceTag.tag)))


def let_in_again(db: Session, number: int, *, revoked_at: datetime, now: datetime) -> None:
    """Certificates that were revoked at this moment count again, if they have not ended; the device itself, too."""
    db.execute(
        update(Certificate)
        .where(
            Certificate.device_number == number, Certificate.revoked_at == revoked_at, Certificate.expires_at > now,
        )
        .values(revoked_at=None)
        .execution_options(synchronize_session=False)
    )  # fmt: skip


def _in_service(scope: Scope, condition: ColumnElement[bool]) -> Select[Device]:
    return (
        select(Device).where(condition, scope.limit(Device.annex_id), Device.revoked_at.is_(None)).order_by(Device.id)
    )
