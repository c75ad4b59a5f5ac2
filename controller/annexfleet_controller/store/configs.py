"""The settings that are meant for devices."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import DesiredSettings
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState
from annexfleet_controller.store.tables.talk import DesiredConfig

MOST_VERSION = 2**30
"""No higher version is believed of a device or given to it, so that none overflows a column."""

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


class Meant(NamedTuple):
    version: int
    settings: DesiredSettings


def meant(db: Session, device_numbers: Collection[int]) -> dict[int, Meant]:
    """The settings meant for these devices with their version; those for which there are none are missing."""
    query = select(DesiredConfig.device_number, DesiredConfig.version, DesiredConfig.settings)
    found: dict[int, Meant] = {}
    ordered = sorted(device_numbers)
    for start in range(0, len(ordered), 500):
        some = query.where(DesiredConfig.device_number.in_(ordered[start : start + 500]))
        found |= {number: Meant(version, _decode(settings)) for number, version, settings in db.execute(some)}
    return found


def versions(db: Session, device_numbers: Collection[int] | None = None) -> dict[int, tuple[int, datetime]]:
    """Version of the settings meant for these devices, or for all, and since when; those without any are missing."""
    query = select(DesiredConfig.device_number, DesiredConfig.version, DesiredConfig.updated_at)
    if device_numbers is None:
        return {number: (version, at) for number, version, at in db.execute(query)}
    found: dict[int, tuple[int, datetime]] = {}
    ordered = sorted(device_numbers)
    for start in range(0, len(ordered), 500):
        some = query.where(DesiredConfig.device_number.in_(ordered[start : start + 500]))
        found |= {number: (version, at) for number, version, at in db.execute(some)}
    return found


def put(db: Session, device_number: int, settings: DesiredSettings, *, now: datetime) -> int:
    """Wish for these settings; gives their version, which is the old one if nothing changes."""
    text = msgspec.json.encode(settings).decode()
    row = db.get(DesiredConfig, device_number, with_for_update=True)
    if row is not None and row.settings == text:
        return row.version
    # Above what the device says it has: ours may be a database that was restored from an older copy.
    has = db.scalar(select(DeviceState.config_version).where(DeviceState.device_number == device_number)) or 0
    version = min(MOST_VERSION, max(row.version if row else 0, has) + 1)
    if row is None:
        row = DesiredConfig(device_number=device_number, version=version, settings=text, updated_at=now)
        db.add(row)
    else:
        row.version, row.settings, row.updated_at = version, text, now
    db.flush()
    return version


def not_in_force(db: Session, *, device_ids: Iterable[str] = (), since: datetime | None = None) -> list[Desired]:
    """What has to be sent: of these devices, or of all whose settings changed since this moment and are connected.

    A device that says it has a higher version is sent ours too: it was told that by a database which is no more.
    """
    statement = (
        select(Device.id, DesiredConfig.version, DesiredConfig.settings)
        .join(DesiredConfig, DesiredConfig.device_number == Device.number)
        .join(DeviceState, DeviceState.device_number == Device.number)
        .where(DesiredConfig.version != DeviceState.config_version, Device.revoked_at.is_(None))
        .order_by(Device.number)
    )
    if since is None:
        statement = statement.where(Device.id.in_(list(device_ids)))
    else:
        statement = statement.where(DesiredConfig.updated_at >= since, DeviceState.connected)
    return [Desired(id_, version, _decode(settings)) for id_, version, settings in db.execute(statement)]


def _decode(text: str) -> DesiredSettings:
    return msgspec.json.decode(text.encode(), type=DesiredSettings)
