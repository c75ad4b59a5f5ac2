"""The settings that are meant for devices."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import DesiredSettings
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.store.tables.talk import DesiredConfig

_NONE = DesiredSettings()


class Desired(NamedTuple):
    """What a device shall be told."""

    device_id: str
    version: int
    settings: DesiredSettings


def of(db: Session, device_number: int) -> DesiredSettings:
    """The settings meant for a device; all None if nobody wished for anything."""
    row = db.get(DesiredConfig, device_number)
    return _decode(row.settings) if row else _NONE


def of_all(db: Session) -> dict[int, DesiredSettings]:
    """The settings meant for every device for which there are any, by number."""
    rows = db.execute(select(DesiredConfig.device_number, DesiredConfig.settings))
    return {number: _decode(settings) for number, settings in rows}


def put(db: Session, device_number: int, settings: DesiredSettings, *, now: datetime) -> int:
    """Wish for these settings; gives their version, which is the old one if nothing changes."""
    text = msgspec.json.encode(settings).decode()
    row = db.get(DesiredConfig, device_number, with_for_update=True)
    if row is None:
        # The version follows what the device says it has, so that one that was enrolled anew is told again.
        has = db.scalar(select(DeviceState.config_version).where(DeviceState.device_number == device_number)) or 0
        row = DesiredConfig(device_number=device_number, version=has + 1, settings=text, updated_at=now)
        db.add(row)
    elif row.settings != text:
        row.version, row.settings, row.updated_at = row.version + 1, text, now
    db.flush()
    return row.version


def newer_than_devices_have(
    db: Session, *, device_ids: Iterable[str] = (), since: datetime | None = None
) -> list[Desired]:
    """What has to be sent: of these devices, or of all whose settings changed since this moment and are connected."""
    statement = (
        select(Device.id, DesiredConfig.version, DesiredConfig.settings)
        .join(DesiredConfig, DesiredConfig.device_number == Device.number)
        .join(DeviceState, DeviceState.device_number == Device.number)
        .where(DesiredConfig.version > DeviceState.config_version, Device.revoked_at.is_(None))
        .order_by(Device.number)
    )
    if since is None:
        statement = statement.where(Device.id.in_(list(device_ids)))
    else:
        statement = statement.where(DesiredConfig.updated_at >= since, DeviceState.connected)
    return [Desired(id_, version, _decode(settings)) for id_, version, settings in db.execute(statement)]


def _decode(text: str) -> DesiredSettings:
    return msgspec.json.decode(text.encode(), type=DesiredSettings)
