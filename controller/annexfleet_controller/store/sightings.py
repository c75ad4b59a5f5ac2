"""Which device of which annex tells of which printers and queues: kept in memory by each process that asks.

What a device told is deflated, so no database can look into it; a search, or the question where a printer of an
identity stands, would have every device's words read anew, seconds of a whole country.  What is kept here is found by a
look at when each device told last, and only what is newer is read.  It says where to look, and never what is shown:
of the annexes that it names everything is read from the rows.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DevicePart

Of = Literal["printers", "queues"]
"""The collectors whose words are kept."""

FRESH_FOR = timedelta(seconds=90)
"""Of very many devices; the web process reads the news of each minute beside its answers (`web.beside`)."""
MANY = 1_000
"""Of fewer devices the news is read each time somebody asks."""
_AT_ONCE = 500


class Sighting(Struct, frozen=True):
    """A printer or a queue as devices name it."""

    id: str
    """As it stands in lists: `state.printer_identity`, or the device's id and the service."""
    annex_id: str
    words: str
    """What a search looks through, in small letters."""
    in_trouble: bool = False
    """Whether a device says so."""
    devices: tuple[str, ...] = ()
    """The ids of those that name it."""


class _Told(Struct, frozen=True):
    """What one device said."""

    at: datetime
    seq: int
    annex_id: str
    sightings: tuple[Sighting, ...]


class _Kept:
    """Of one collector."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at: datetime | None = None
        self.of_device: dict[int, _Told] = {}
        """By number; every device in service that tells of it."""
        self.all: list[Sighting] = []
        """By annex and id."""

    def is_fresh(self, now: datetime) -> bool:
        return self.at is not None and len(self.of_device) >= MANY and timedelta(0) <= now - self.at < FRESH_FOR


_kept: "WeakKeyDictionary[Engine, dict[Of, _Kept]]" = WeakKeyDictionary()
_kept_lock = threading.Lock()


def found(db: Session, scope: Scope, of: Of, *, now: datetime) -> list[Sighting]:
    """Each printer or queue in sight once, by annex and id.  Of very many, as it was a minute ago."""
    kept = _of(db, of)
    with kept.lock:
        if not kept.is_fresh(now):
            _read(db, of, kept, now)
        seen = kept.all
    return seen if scope.annexes is None else [one for one in seen if scope.covers(one.annex_id)]


def renew(db: Session, of: Of, *, now: datetime) -> None:
    """Read what was told since the last time, of the whole province; seconds at the first time, for a country."""
    kept = _of(db, of)
    with kept.lock:
        _read(db, of, kept, now)


def _of(db: Session, of: Of) -> _Kept:
    with _kept_lock:
        return _kept.setdefault(db.get_bind().engine, {}).setdefault(of, _Kept())


def _read(db: Session, of: Of, kept: _Kept, now: datetime) -> None:
    """The list is put in the old one's place, so that whoever goes through that one is not disturbed."""
    rows = db.execute(
        select(Device.number, Device.id, Device.annex_id, DevicePart.at, DevicePart.seq)
        .join(DevicePart, DevicePart.device_number == Device.number)
        .where(DevicePart.collector == of, Device.revoked_at.is_(None))
    ).all()
    told: dict[int, _Told] = {}
    news: list[tuple[int, str, str]] = []
    for number, device_id, annex_id, at, seq in rows:
        before = kept.of_device.get(number)
        if before is not None and (before.at, before.seq, before.annex_id) == (at, seq, annex_id):
            told[number] = before
        else:
            news.append((number, device_id, annex_id))
    for start in range(0, len(news), _AT_ONCE):
        told |= _newly_told(db, of, news[start : start + _AT_ONCE])
    if news or len(told) != len(kept.of_device):
        kept.of_device, kept.all = told, _once(told.values())
    kept.at = now


def _newly_told(db: Session, of: Of, some: Sequence[tuple[int, str, str]]) -> dict[int, _Told]:
    """Of these devices, by number, id and annex."""
    parts = select(DevicePart).where(
        DevicePart.collector == of, DevicePart.device_number.in_([number for number, _, _ in some])
    )
    payloads = {part.device_number: part for part in db.scalars(parts)}
    return {
        number: _Told(part.at, part.seq, annex_id, _SEEN[of](_known(part), annex_id, device_id))
        for number, device_id, annex_id in some
        if (part := payloads.get(number)) is not None
    }


def _known(part: DevicePart) -> state.Known:
    return state.merge([state.Part(part.collector, part.at, part.payload)])


def _once(told: Iterable[_Told]) -> list[Sighting]:
    """What several devices name, under all the words that they have for it."""
    by_id: dict[str, Sighting] = {}
    for one in (one for device in told for one in device.sightings):
        before = by_id.setdefault(one.id, one)
        if before is not one:
            words = before.words if one.words in before.words else f"{before.words}\n{one.words}"
            by_id[one.id] = Sighting(
                one.id, one.annex_id, words, before.in_trouble or one.in_trouble, before.devices + one.devices
            )
    return sorted(by_id.values(), key=lambda one: (one.annex_id, one.id))


def _printers(known: state.Known, annex_id: str, device_id: str) -> tuple[Sighting, ...]:
    found = []
    for printer in state.printers(known):
        identity = state.printer_identity(annex_id, device_id, printer)
        found.append(Sighting(identity, annex_id, searched(identity, printer), printer.in_trouble, (device_id,)))
    return tuple(found)


def _queues(known: state.Known, annex_id: str, device_id: str) -> tuple[Sighting, ...]:
    ids = [f"{device_id}.{queue.service}" for queue in state.queues(known)]
    return tuple(Sighting(id_, annex_id, id_.casefold(), devices=(device_id,)) for id_ in ids)


def searched(identity: str, printer: state.Printer) -> str:
    """What of a printer a search looks through."""
    return f"{identity} {printer.name} {printer.model}".casefold()


_SEEN: dict[Of, Callable[[state.Known, str, str], tuple[Sighting, ...]]] = {"printers": _printers, "queues": _queues}
