"""Devices as Ansible sees them: where they stand, how they are reached, what they told of themselves."""

from collections.abc import Collection, Iterable

from msgspec import Struct
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device, DeviceTag
from annexfleet_controller.store.tables.readings import DeviceInventory, DeviceState

_AT_ONCE = 500


class Reachable(Struct, frozen=True, kw_only=True):
    """A device in service."""

    number: int
    id: str
    annex_id: str
    name: str
    role: str
    connection: str
    """mqtt or ssh"""
    ssh_address: str
    takes_commands: bool
    """Whether its runner has told the controller a key to seal to."""
    agent_version: str
    connected: bool
    inventory: bytes | None
    """What it is made of, as it came."""


def devices(
    db: Session, scope: Scope, *, ids: Collection[str] | None = None, after: str = "", limit: int | None = None
) -> list[Reachable]:
    """The devices in sight and in service by id: those of these ids, or else a page of all, from after that id."""
    query = (
        select(
            Device.number, Device.id, Device.annex_id, Device.name, Device.role, Device.connection, Device.ssh_address,
            Device.exchange_key.is_not(None).label("takes_commands"),
            func.coalesce(DeviceState.agent_version, "").label("agent_version"),
            func.coalesce(DeviceState.connected, False).label("connected"),
            DeviceInventory.payload.label("inventory"),
        )
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .join(DeviceInventory, DeviceInventory.device_number == Device.number, isouter=True)
        .where(scope.limit(Device.annex_id), Device.revoked_at.is_(None))
        .order_by(Device.id)
    )  # fmt: skip
    if ids is None:
        page = query.where(Device.id > after).limit(limit)
        return [Reachable(**row) for row in db.execute(page).mappings()]
    wanted = sorted(ids)
    found: list[Reachable] = []
    for start in range(0, len(wanted), _AT_ONCE):
        some = query.where(Device.id.in_(wanted[start : start + _AT_ONCE]))
        found += [Reachable(**row) for row in db.execute(some).mappings()]
    return found


def tags(db: Session, numbers: Collection[int] | None = None) -> dict[int, list[str]]:
    """The tags of these devices, or of all, by number and sorted; those without any are missing."""
    query = select(DeviceTag.device_number, DeviceTag.tag).order_by(DeviceTag.device_number, DeviceTag.tag)
    found: dict[int, list[str]] = {}
    for some in _some(numbers):
        for number, tag in db.execute(query if some is None else query.where(DeviceTag.device_number.in_(some))):
            found.setdefault(number, []).append(tag)
    return found


def put_tags(db: Session, device_number: int, wanted: Collection[str]) -> None:
    """These and no others."""
    db.execute(delete(DeviceTag).where(DeviceTag.device_number == device_number, DeviceTag.tag.not_in(list(wanted))))
    rows = [(device_number, tag) for tag in sorted(set(wanted))]
    bulk.insert_missing(db, DeviceTag, ("device_number", "tag"), ("device_number", "tag"), rows)


def put_connection(db: Session, device_number: int, connection: str, ssh_address: str) -> None:
    db.execute(
        update(Device)
        .where(Device.number == device_number)
        .values(connection=connection, ssh_address=ssh_address, version=Device.version + 1)
        .execution_options(synchronize_session=False)
    )


def _some(keys: Collection[object] | None) -> Iterable[list[object] | None]:
    if keys is None:
        return [None]
    ordered = list(keys)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
