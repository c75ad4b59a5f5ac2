"""The one row a device: what is known of its connection, and its last beat."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, delete, exists, func, select, type_coerce, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceInventory, DeviceState, LiveSample


class Known(NamedTuple):
    """What ingest must know of a device to judge its messages.  Moments are Unix seconds; 0 for never."""

    number: int
    id: str
    connected: bool
    session_id: str
    boot_id: str
    install_id: str
    agent_version: str
    config_version: int
    clock_offset_s: float
    connected_at: float
    gone_at: float
    heard_at: float
    beat_seq: int
    inventory_seq: int


class Silent(NamedTuple):
    """A device that counts as connected and was not heard for a while."""

    number: int
    session_id: str
    heard_at: datetime | None
    beat: bytes | None


_KNOWN = (
    Device.number,
    Device.id,
    DeviceState.connected,
    DeviceState.session_id,
    DeviceState.boot_id,
    DeviceState.install_id,
    DeviceState.agent_version,
    DeviceState.config_version,
    DeviceState.clock_offset_s,
    # As the whole microseconds they are kept as: thousands of datetimes a second would be made for nothing.
    type_coerce(DeviceState.connected_at, BigInteger),
    type_coerce(DeviceState.gone_at, BigInteger),
    type_coerce(DeviceState.heard_at, BigInteger),
    DeviceState.beat_seq,
    DeviceState.inventory_seq,
)


def lock(db: Session, device_ids: Collection[str]) -> dict[str, Known]:
    """What is known of these devices, and nobody else writes their rows until this transaction ends.

    Devices that are unknown or revoked are left out.  Rows are locked in the devices' order, so that two ingest
    processes never wait for each other in a circle.
    """
    admitted = Device.id.in_(device_ids) & Device.revoked_at.is_(None)
    without = select(Device.number).where(admitted, ~exists().where(DeviceState.device_number == Device.number))
    if new := db.scalars(without.order_by(Device.number)).all():
        begin(db, new)
    rows = db.execute(
        select(*_KNOWN)
        .join(DeviceState, DeviceState.device_number == Device.number)
        .where(admitted)
        .order_by(Device.number)
        .with_for_update(of=DeviceState)
    )
    return {row[1]: Known(*row[:9], *map(_seconds, row[9:12]), *row[12:]) for row in rows}  # type: ignore[arg-type]


def begin(db: Session, device_numbers: Iterable[int]) -> None:
    """Give devices their row, if they have none; nothing is known yet."""
    columns = ("device_number", *(name for name, _ in _BLANK))
    values = tuple(value for _, value in _BLANK)
    # The row may have come meanwhile from another process: then nothing in it may change.
    bulk.insert_missing(db, DeviceState, columns[:1], columns, [(number, *values) for number in device_numbers])


_BLANK: tuple[tuple[str, object], ...] = (
    ("connected", False),
    ("session_id", ""),
    ("boot_id", ""),
    ("install_id", ""),
    ("agent_version", ""),
    ("config_version", 0),
    ("clock_offset_s", 0.0),
    ("beat_seq", 0),
    ("inventory_digest", ""),
    ("inventory_seq", 0),
)


def write_connections(db: Session, devices: Iterable[Known]) -> None:
    """What is known of the connections of devices that this transaction has locked."""
    columns = (
        "device_number", "connected", "session_id", "boot_id", "install_id", "agent_version", "config_version",
        "clock_offset_s", "connected_at", "gone_at", "heard_at", "beat_seq", "inventory_seq",
    )  # fmt: skip
    rows = [(d.number, *d[2:9], *map(_micros, d[9:12]), *d[12:]) for d in devices]
    bulk.update(db, DeviceState, columns, rows)


def write_heard(db: Session, heard: Iterable[tuple[int, float]]) -> None:
    """(device number, Unix seconds) of the last message of devices that this transaction has locked."""
    columns = ("device_number", "heard_at")
    bulk.update(db, DeviceState, columns, [(number, bulk.micros(at)) for number, at in heard])


def write_beats(db: Session, beats: Iterable[tuple[int, float, int, float, bytes]]) -> None:
    """(device number, heard at, number of the beat, beat at, payload).

    The caller knows that these beats are newer than what is there.
    """
    columns = ("device_number", "heard_at", "beat_seq", "beat_at", "beat")
    rows = [
        (number, bulk.micros(heard_at), seq, bulk.micros(at), payload) for number, heard_at, seq, at, payload in beats
    ]
    bulk.update(db, DeviceState, columns, rows)


def write_inventories(db: Session, inventories: Iterable[tuple[int, int, float, str, bytes]]) -> None:
    """(device number, number of the item, at, digest, payload); newer than what is there."""
    rows = [(number, seq, bulk.micros(at), digest, payload) for number, seq, at, digest, payload in inventories]
    state_columns = ("device_number", "inventory_seq", "inventory_at", "inventory_digest")
    bulk.update(db, DeviceState, state_columns, [row[:4] for row in rows])
    columns = ("device_number", "at", "payload")
    bulk.upsert(
        db, DeviceInventory, columns[:1], columns, [(number, at, payload) for number, _, at, _, payload in rows]
    )


def write_live(db: Session, samples: Iterable[tuple[int, float, bytes]]) -> None:
    """(device number, at, payload) of the newest sample of watched devices."""
    columns = ("device_number", "at", "payload")
    rows = [(number, bulk.micros(at), payload) for number, at, payload in samples]
    bulk.upsert(db, LiveSample, columns[:1], columns, rows, newer="at")


def silent(db: Session, *, since: datetime) -> list[Silent]:
    """Devices that count as connected and were last heard before this moment."""
    rows = db.execute(
        select(DeviceState.device_number, DeviceState.session_id, DeviceState.heard_at, DeviceState.beat)
        .where(DeviceState.connected, (DeviceState.heard_at < since) | DeviceState.heard_at.is_(None))
        .order_by(DeviceState.device_number)
    )
    return [Silent(*row) for row in rows]


def disconnect(db: Session, devices: Iterable[Silent], *, now: datetime) -> set[int]:
    """These devices are connected no more; gives their numbers, without those that were heard since they were read."""
    lost = set()
    for device in sorted(devices):
        unheard = DeviceState.heard_at.is_not_distinct_from(device.heard_at)
        mine = (DeviceState.device_number == device.number) & DeviceState.connected & unheard
        gone = db.execute(update(DeviceState).where(mine).values(connected=False, gone_at=now))
        if gone.rowcount:  # type: ignore[attr-defined]
            lost.add(device.number)
    return lost


def prune_live(db: Session, *, before: datetime) -> None:
    """Forget samples of devices that nobody has watched since."""
    db.execute(delete(LiveSample).where(LiveSample.at < before))


def count_connected(db: Session) -> int:
    """How many devices count as connected."""
    return db.scalar(select(func.count()).select_from(DeviceState).where(DeviceState.connected)) or 0


def _seconds(micros: Any) -> float:
    return micros / 1e6 if micros else 0.0


def _micros(seconds: float) -> int | None:
    return bulk.micros(seconds) if seconds else None
