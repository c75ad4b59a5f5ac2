"""Devices, as people change them: one or many at once.  Every function works in the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from annexfleet_controller.errors import DeviceUnknown, OutOfService, SettingChanged, SettingWrong
from annexfleet_controller.store import annexes, certificates, devices, fleet, links, pulses, reaching
from annexfleet_controller.store.audit import Fact
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.tending import effects, typed
from annexfleet_controller.tending.reach import Reach
from annexfleet_controller.tending.trace import Hand, note
from annexfleet_controller.tending.typed import DeviceWish

Before = dict[str, Any]
_NAMED_IN_FACTS = 50


def change(db: Session, hand: Hand, device_id: str, wish: DeviceWish, *, version: int, now: datetime) -> int:
    """Name, place, tags and how it is reached; the step by which it can be taken back, 0 where nothing differs.

    Raises DeviceUnknown, OutOfService, SettingWrong or SettingChanged.
    """
    device = _in_service(devices.seen(db, hand.scope, device_id))
    if device.version != version:
        raise SettingChanged(version=device.version)
    wish = typed.device(wish)
    before = kept(db, device)
    tags = before["tags"] if wish.tags is None else list(wish.tags)
    facts: dict[str, Fact] = {}
    facts |= {"name": wish.name} if wish.name != device.name else {}
    facts |= {"place": wish.place} if wish.place != device.place else {}
    facts |= {"tags": tags} if tags != before["tags"] else {}
    connection, address = wish.connection or (device.connection, device.ssh_address)
    if (connection, address) != (device.connection, device.ssh_address):
        facts |= {"connection": connection, "ssh_address": address}
    if not facts:
        return 0
    devices.change(
        db, device, version=version, name=wish.name, place=wish.place, connection=connection, ssh_address=address
    )
    reaching.put_tags(db, device.number, tags)
    return _done(db, hand, "device.change", [device], [before], now=now, facts=facts)


def tag(db: Session, hand: Hand, chosen: Sequence[Device], *, add: str, remove: str, now: datetime) -> int:
    """Words put on these devices and taken off; the step by which it can be taken back.  Raises SettingWrong."""
    added, removed = set(typed.tags(add.split())), set(typed.tags(remove.split()))
    if not added | removed:
        raise SettingWrong(field="tags", reason="missing")
    before = [kept(db, device) for device in chosen]
    for device, old in zip(chosen, before, strict=True):
        reaching.put_tags(db, device.number, typed.tags({*old["tags"], *added} - removed))
        devices.change(db, device, version=device.version)
    facts: dict[str, Fact] = {"added": sorted(added), "removed": sorted(removed)}
    return _done(db, hand, "device.tags", chosen, before, now=now, facts=facts)


def moving(db: Session, hand: Hand, device_ids: Collection[str], to: str) -> tuple[list[Device], Annex, Reach]:
    """The devices, where they go, and what that touches.

    Raises DeviceUnknown for one that is not in sight, SettingWrong (field `annex`) for an annex that is not or that is
    closed, or that is theirs already: who moves must see both.
    """
    chosen = devices.chosen(db, hand.scope, device_ids)
    place = next((one for one in annexes.listing(db, hand.scope) if one.id == to), None)
    if place is None:
        raise SettingWrong(field="annex", reason="unknown")
    if not chosen or all(device.annex_id == to for device in chosen):
        raise SettingWrong(field="annex", reason="same_annex" if chosen else "missing")
    chosen = [device for device in chosen if device.annex_id != to]
    return chosen, place, effects.of_devices(db, "device.move", chosen, [f"annex {to}"])


def move(db: Session, hand: Hand, device_ids: Collection[str], to: str, *, confirmed: str, now: datetime) -> int:
    """The step by which it can be taken back.  A place such as a counter is the old annex's, and is emptied.

    The codes on printers that hang on these devices alone go with them.

    Raises what `moving` does, and Unconfirmed unless `confirmed` is the digest of what it touches now.
    """
    annexes.hold(db, [to])
    chosen, place, reach = moving(db, hand, device_ids, to)
    effects.demand(reach, confirmed, always=True)
    before = [kept(db, device) for device in chosen]
    for device, old in zip(chosen, before, strict=True):
        devices.change(db, device, version=device.version, annex_id=place.id, place="")
        old["labels"] = links.carry_labels(db, fleet.local_printers(db, device), place.id)
    froms = sorted({str(old["annex_id"]) for old in before})
    return _done(db, hand, "device.move", chosen, before, now=now, facts={"from": froms, "to": to})


def retiring(db: Session, hand: Hand, device_ids: Collection[str]) -> tuple[list[Device], Reach]:
    """The devices and what retiring them touches.  Raises DeviceUnknown for one that is not in sight or in service."""
    chosen = devices.chosen(db, hand.scope, device_ids)
    if not chosen:
        raise DeviceUnknown("no device is named")
    return chosen, effects.of_devices(db, "device.retire", chosen)


def retire(db: Session, hand: Hand, device_ids: Collection[str], *, confirmed: str, now: datetime) -> int:
    """Out of service for good, the past stays; the step by which it can be taken back.

    Raises what `retiring` does, and Unconfirmed unless `confirmed` is the digest of what it touches now.
    """
    chosen, reach = retiring(db, hand, device_ids)
    effects.demand(reach, confirmed, always=True)
    before = [kept(db, device) for device in chosen]
    for device in chosen:
        shut_out(db, device, now=now)
    return _done(db, hand, "device.retire", chosen, before, now=now, facts={})


def replacing(db: Session, hand: Hand, old_id: str, new_id: str) -> tuple[Device, Device, Reach]:
    """The old device, the new one, and what it touches.

    The old one may be out of service already.  Raises DeviceUnknown, or SettingWrong (field `new`) if the new one is
    the old one, out of service, of another annex, or took another's place before.
    """
    old, new = devices.seen(db, hand.scope, old_id), devices.seen(db, hand.scope, new_id)
    if old.number == new.number:
        raise SettingWrong(field="new", reason="same_device")
    if new.revoked_at is not None:
        raise SettingWrong(field="new", reason="out_of_service")
    if new.annex_id != old.annex_id:
        raise SettingWrong(field="new", reason="other_annex")
    if old.replaced_by is not None:
        raise OutOfService("it was replaced before", field="new")
    if old.number in {before.number for before in devices.predecessors(db, old.number)}:
        raise SettingWrong(field="new", reason="same_device")
    return old, new, effects.of_devices(db, "device.replace", [old], [f"{new.id} {new.version}"])


def replace(db: Session, hand: Hand, old_id: str, new_id: str, *, confirmed: str, now: datetime) -> int:
    """The new device takes name, place, tags and role of the old one, which is retired and leads to it.

    Gives the step by which it can be taken back.  Raises what `replacing` does, and Unconfirmed.
    """
    old, new, reach = replacing(db, hand, old_id, new_id)
    effects.demand(reach, confirmed, always=True)
    before = [kept(db, old), kept(db, new)]
    name, place, role, tags = old.name, old.place, old.role, before[0]["tags"]
    if old.revoked_at is None:
        shut_out(db, old, now=now)
    devices.change(db, old, version=old.version, replaced_by=new.number, retired_at=old.retired_at or now)
    devices.change(db, new, version=new.version, name=name, place=place or new.place, role=role)
    reaching.put_tags(db, new.number, typed.tags({*tags, *before[1]["tags"]}))
    return _done(db, hand, "device.replace", [old, new], before, now=now, facts={"new": new.id, "name": name})


# -- what other acts need too


def kept(db: Session, device: Device) -> Before:
    """All that an act may change, as it stands."""
    return {
        "number": device.number, "id": device.id, "name": device.name, "place": device.place, "role": device.role,
        "annex_id": device.annex_id, "replaced_by": device.replaced_by, "connection": device.connection,
        "ssh_address": device.ssh_address, "in_service": device.revoked_at is None,
        "was_retired": device.retired_at is not None, "tags": reaching.tags(db, [device.number]).get(device.number, []),
    }  # fmt: skip


def shut_out(db: Session, device: Device, *, now: datetime) -> None:
    """Its messages are refused from the next one on; `work` has the broker end its connection."""
    devices.change(db, device, version=device.version, retired_at=now, revoked_at=now)
    certificates.revoke_of_device(db, device.number, now)


def tell(db: Session, touched: Iterable[Device], *, now: datetime, annexes: Collection[str] = ()) -> None:
    """Open pages and the watch look at these devices and annexes at once."""
    pulses.add(
        db, {device.number: "h" for device in touched}, now=now, origin="settings",
        annexes=dict.fromkeys(annexes, "r"),
    )  # fmt: skip


def _done(
    db: Session, hand: Hand, act: str, touched: Sequence[Device], before: Sequence[Before], *, now: datetime,
    facts: dict[str, Fact],
) -> int:  # fmt: skip
    """Tell everybody, and leave one trace for all of them."""
    places = sorted({device.annex_id for device in touched} | {str(old["annex_id"]) for old in before})
    tell(db, touched, now=now, annexes=places)
    whole = [{**old, "left": device.version} for old, device in zip(before, touched, strict=True)]
    is_one = len(touched) == 1 or act == "device.replace"
    if not is_one:
        facts = {**facts, "count": len(touched), "devices": [device.id for device in touched[:_NAMED_IN_FACTS]]}
    subject = f"device:{touched[0].id}" if is_one else f"devices:{len(touched)}"
    # An entry of several annexes is the province's: a person confined to one would else read of the others.
    annex_id = places[0] if len(places) == 1 else ""
    return note(
        db, hand, act, subject, now=now, annex_id=annex_id, facts=facts, before={"devices": whole},
        version=touched[0].version,
    )  # fmt: skip


def _in_service(device: Device) -> Device:
    if device.revoked_at is not None:
        raise OutOfService(f"device {device.id!r} is out of service")
    return device
