"""Devices as people look at them: rows with their state, narrowed to a scope."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device, DeviceTag
from annexfleet_controller.store.tables.readings import (
    ChangeRow,
    DeviceInventory,
    DevicePart,
    DeviceState,
    LiveSample,
    SetAside,
)

_T = TypeVar("_T")


class DeviceRow(Struct, frozen=True):
    """A device with what is known of its connection and its newest beat."""

    number: int
    id: str
    annex_id: str
    name: str
    role: str
    model: str
    hardware_serial: str
    enrolled_at: datetime
    revoked_at: datetime | None
    connected: bool
    agent_version: str
    clock_offset_s: float
    connected_at: datetime | None
    gone_at: datetime | None
    heard_at: datetime | None
    beat_at: datetime | None
    beat: bytes | None
    inventory_at: datetime | None
    place: str = ""
    """Room or counter."""
    retired_at: datetime | None = None
    replaced_by: int | None = None
    version: int = 1

    def presence(self, now: datetime) -> state.Presence:
        return state.presence(connected=self.connected, heard_at=self.heard_at, revoked_at=self.revoked_at, now=now)


class SeenPrinter(Struct, frozen=True):
    """A printer with the device that tells most of it, and all that see it."""

    id: str
    annex_id: str
    printer: state.Printer
    seen_by: list[DeviceRow]
    """The one whose word is shown comes first."""

    def unknown_since(self, now: datetime) -> datetime | None:
        """Since when nobody can tell how it is, because none of those that see it can be heard; None while one can."""
        return _unheard_since(self.seen_by, now) if self.seen_by else self.printer.at


class SeenQueue(Struct, frozen=True):
    id: str
    annex_id: str
    queue: state.Queue
    device: DeviceRow

    def unknown_since(self, now: datetime) -> datetime | None:
        """Since when nobody can tell who waits: its device cannot be heard, or its source stopped; None while known."""
        unheard = _unheard_since([self.device], now)
        if not self.queue.stale:
            return unheard
        stopped = self.queue.observed_at or self.queue.at
        return min(stopped, unheard) if unheard else stopped


class Happened(Struct, frozen=True):
    """One line of a device's past."""

    id: int
    at: datetime
    received_at: datetime
    kind: str
    collector: str
    payload: bytes


class RefusedMessage(Struct, frozen=True):
    """A message that was set aside."""

    id: int
    device_id: str
    device_name: str
    topic: str
    received_at: datetime
    reason: str
    detail: str
    size_bytes: int


_SEARCHED = (Device.name, Device.id, Device.model, Device.hardware_serial, Device.place)


# In the order of DeviceRow's fields.
_COLUMNS: tuple[Any, ...] = (
    Device.number, Device.id, Device.annex_id, Device.name, Device.role, Device.model, Device.hardware_serial,
    Device.enrolled_at, Device.revoked_at, func.coalesce(DeviceState.connected, False),
    func.coalesce(DeviceState.agent_version, ""), func.coalesce(DeviceState.clock_offset_s, 0.0),
    DeviceState.connected_at, DeviceState.gone_at, DeviceState.heard_at, DeviceState.beat_at, DeviceState.beat,
    DeviceState.inventory_at, Device.place, Device.retired_at, Device.replaced_by, Device.version,
)  # fmt: skip


def _rows(scope: Scope) -> "Select[Any]":
    """Every query for devices starts here, so that none forgets the scope."""
    return (
        select(*_COLUMNS)
        .join_from(Device, DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .where(scope.limit(Device.annex_id))
    )


def devices(
    db: Session,
    scope: Scope,
    *,
    now: datetime,
    annex_id: str = "",
    role: str = "",
    tag: str = "",
    presence: str = "",
    search: str = "",
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[DeviceRow]:
    """Devices in sight by name and id, from after that pair.  The revoked only where `presence` asks for them."""
    query = _rows(scope).order_by(Device.name, Device.id)
    query = query.where(Device.revoked_at.is_not(None) if presence == "revoked" else Device.revoked_at.is_(None))
    online = and_(DeviceState.connected, DeviceState.heard_at > now - state.SILENT_AFTER)
    if presence == "online":
        query = query.where(online)
    elif presence == "silent":
        query = query.where(
            DeviceState.heard_at.is_not(None),
            or_(DeviceState.connected.is_(False), DeviceState.heard_at <= now - state.SILENT_AFTER),
        )
    elif presence == "never":
        query = query.where(DeviceState.heard_at.is_(None))
    if annex_id:
        query = query.where(Device.annex_id == annex_id)
    if role:
        query = query.where(Device.role == role)
    if tag:
        query = query.where(Device.number.in_(select(DeviceTag.device_number).where(DeviceTag.tag == tag)))
    if search:
        pattern = like(search)
        query = query.where(or_(*(column.ilike(pattern, escape="\\") for column in _SEARCHED)))
    if after is not None:
        name, device_id = after
        query = query.where(or_(Device.name > name, and_(Device.name == name, Device.id > device_id)))
    return [DeviceRow(*row) for row in db.execute(query.limit(limit))]


def telling(db: Session, scope: Scope, collector: str, *, device_ids: Collection[str]) -> list[DeviceRow]:
    """Those of these devices that are in sight and in service and ever told of a collector, by id."""
    query = (
        _rows(scope)
        .join(DevicePart, and_(DevicePart.device_number == Device.number, DevicePart.collector == collector))
        .where(Device.revoked_at.is_(None))
        .order_by(Device.id)
    )
    return [
        DeviceRow(*row) for some in _chunks(sorted(device_ids)) for row in db.execute(query.where(Device.id.in_(some)))
    ]


def device(db: Session, scope: Scope, device_id: str) -> DeviceRow:
    """Raises DeviceUnknown where there is none, or none in sight."""
    found = db.execute(_rows(scope).where(Device.id == device_id)).first()
    if found is None:
        raise DeviceUnknown(f"no device {device_id!r}")
    return DeviceRow(*found)


def by_number(db: Session, scope: Scope, numbers: Collection[int]) -> list[DeviceRow]:
    """The devices of these numbers that are in sight."""
    return [DeviceRow(*row) for row in db.execute(_rows(scope).where(Device.number.in_(numbers)))]


def placements(db: Session) -> dict[int, tuple[str, str, str]]:
    """Annex, name and role of every device in service, by number."""
    query = select(Device.number, Device.annex_id, Device.name, Device.role).where(Device.revoked_at.is_(None))
    return {number: (annex_id, name, role) for number, annex_id, name, role in db.execute(query)}


def names(db: Session, scope: Scope, numbers: Collection[int]) -> dict[int, tuple[str, str]]:
    """Id and annex of devices in sight, by number."""
    query = select(Device.number, Device.id, Device.annex_id).where(
        scope.limit(Device.annex_id), Device.number.in_(numbers)
    )
    return {number: (device_id, annex_id) for number, device_id, annex_id in db.execute(query)}


def device_names(db: Session, scope: Scope, device_ids: Collection[str]) -> dict[str, str]:
    """Names of these devices, of those in sight, by id; also of those out of service."""
    query = select(Device.id, Device.name).where(scope.limit(Device.annex_id), Device.id.in_(device_ids))
    return {row.id: row.name for row in db.execute(query)}


def numbers(db: Session, scope: Scope, device_ids: Collection[str]) -> set[int]:
    """The numbers of these devices, of those in sight and in service."""
    query = select(Device.number).where(
        scope.limit(Device.annex_id), Device.id.in_(device_ids), Device.revoked_at.is_(None)
    )
    return set(db.scalars(query))


def known(
    db: Session, rows: Sequence[DeviceRow], *, collectors: Collection[str] = (), live: bool = False
) -> dict[int, state.Known]:
    """What these devices told, by number; all collectors, or only some."""
    numbers = [row.number for row in rows]
    parts: dict[int, list[state.Part]] = {number: [] for number in numbers}
    for some in _chunks(numbers):
        query = select(DevicePart.device_number, DevicePart.collector, DevicePart.at, DevicePart.payload).where(
            DevicePart.device_number.in_(some)
        )
        if collectors:
            query = query.where(DevicePart.collector.in_(collectors))
        for number, collector, at, payload in db.execute(query):
            parts[number].append(state.Part(collector, at, payload))
    samples: dict[int, LiveSample] = {}
    if live:
        for some in _chunks(numbers):
            query_live = select(LiveSample).where(LiveSample.device_number.in_(some))
            samples |= {sample.device_number: sample for sample in db.scalars(query_live)}
    return {
        row.number: state.merge(
            parts[row.number],
            beat_at=row.beat_at,
            beat=row.beat,
            live_at=samples[row.number].at if row.number in samples else None,
            live=samples[row.number].payload if row.number in samples else None,
            collectors=collectors,
        )
        for row in rows
    }


def inventory(db: Session, number: int) -> bytes | None:
    """The newest inventory of a device as it came."""
    return db.scalar(select(DeviceInventory.payload).where(DeviceInventory.device_number == number))


def _unheard_since(rows: Sequence[DeviceRow], now: datetime) -> datetime | None:
    """When the last of these devices was heard; None if one of them can be heard."""
    if any(row.presence(now) == "online" for row in rows):
        return None
    return max((row.heard_at for row in rows if row.heard_at is not None), default=rows[0].enrolled_at)


def printers(
    rows: Sequence[DeviceRow], known_of: dict[int, state.Known], *, now: datetime | None = None
) -> list[SeenPrinter]:
    """Each printer once, whichever devices see it; the blocked first, then those in trouble, then by name.

    With `now` the word of a device that can be heard goes before that of a silent one, whatever that could tell.
    """
    heard = {row.number for row in rows if now is not None and row.presence(now) == "online"}
    seen: dict[str, list[tuple[state.Printer, DeviceRow]]] = {}
    for row in rows:
        for printer in state.printers(known_of[row.number]):
            identity = state.printer_identity(row.annex_id, row.id, printer)
            places = seen.setdefault(identity, [])
            if places and _is_better((printer, row), places[0], heard):
                places.insert(0, (printer, row))
            else:
                places.append((printer, row))
    found = [
        SeenPrinter(identity, places[0][1].annex_id, places[0][0], [row for _, row in places])
        for identity, places in seen.items()
    ]
    return sorted(found, key=lambda p: (not p.printer.blocked, not p.printer.in_trouble, p.printer.name, p.id))


def _is_better(a: tuple[state.Printer, DeviceRow], b: tuple[state.Printer, DeviceRow], heard: Collection[int]) -> bool:
    a_heard, b_heard = a[1].number in heard, b[1].number in heard
    return a_heard if a_heard != b_heard else state.better_seen(a[0], b[0])


def local_printers(db: Session, device: Device) -> list[str]:
    """Ids of the printers that hang on this device alone, and that keep them wherever it goes."""
    query = select(DevicePart).where(DevicePart.device_number == device.number, DevicePart.collector == "printers")
    parts = [state.Part(part.collector, part.at, part.payload) for part in db.scalars(query)]
    found = state.printers(state.merge(parts))
    return [state.printer_identity("", device.id, printer) for printer in found if state.is_local(printer)]


def queues(rows: Sequence[DeviceRow], known_of: dict[int, state.Known]) -> list[SeenQueue]:
    """Each service queue of each device, by annex and service."""
    found = [
        SeenQueue(f"{row.id}.{queue.service}", row.annex_id, queue, row)
        for row in rows
        for queue in state.queues(known_of[row.number])
    ]
    return sorted(found, key=lambda q: (q.annex_id, q.queue.service, q.id))


def believed_queues(found: Iterable[SeenQueue], now: datetime) -> list[SeenQueue]:
    """Each service of each annex once: of the device that can be heard and has fresh figures, else the newest."""
    best: dict[tuple[str, str], SeenQueue] = {}

    def order(seen: SeenQueue) -> tuple[bool, bool, datetime]:
        return seen.unknown_since(now) is None, seen.queue.waiting is not None, seen.queue.at

    for seen in found:
        key = (seen.annex_id, seen.queue.service)
        if key not in best or order(seen) > order(best[key]):
            best[key] = seen
    return list(best.values())


def changes(db: Session, number: int, *, before: tuple[datetime, int] | None = None, limit: int = 50) -> list[Happened]:
    """What happened to a device, the newest first, from before that moment and row."""
    query = select(ChangeRow).where(ChangeRow.device_number == number)
    if before is not None:
        at, row_id = before
        query = query.where(or_(ChangeRow.at < at, and_(ChangeRow.at == at, ChangeRow.id < row_id)))
    query = query.order_by(ChangeRow.at.desc(), ChangeRow.id.desc()).limit(limit)
    return [Happened(c.id, c.at, c.received_at, c.kind, c.collector, c.payload) for c in db.scalars(query)]


def set_aside(db: Session, scope: Scope, *, before: int | None = None, limit: int = 100) -> list[RefusedMessage]:
    """Messages set aside, the newest first.  One of no known device is shown only to who sees the whole province."""
    query = (
        select(SetAside, Device.name)
        .join(Device, Device.id == SetAside.device_id, isouter=scope.annexes is None)
        .where(scope.limit(Device.annex_id))
        .order_by(SetAside.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(SetAside.id < before)
    return [
        RefusedMessage(
            row.id, row.device_id, name or "", row.topic, row.received_at, row.reason, row.detail, row.size_bytes
        )
        for row, name in db.execute(query)
    ]


def _chunks(keys: Sequence[_T], size: int = 500) -> Iterable[Sequence[_T]]:
    """Pieces that stay below SQLite's limit on variables in a statement."""
    return (keys[start : start + size] for start in range(0, len(keys), size))
