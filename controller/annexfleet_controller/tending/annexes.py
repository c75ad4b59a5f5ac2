"""Annexes and their districts, as people change them.  Every function works in the caller's transaction."""

from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.errors import OutOfService, SettingChanged
from annexfleet_controller.store import annexes, closing, devices, districts, links, pulses
from annexfleet_controller.store.audit import Fact
from annexfleet_controller.store.tables.places import Annex, District
from annexfleet_controller.tending import devices as tended
from annexfleet_controller.tending import effects, typed
from annexfleet_controller.tending.reach import Reach
from annexfleet_controller.tending.trace import Hand, note
from annexfleet_controller.tending.typed import AnnexWish


def create(db: Session, hand: Hand, annex_id: str, wish: AnnexWish, *, now: datetime) -> Annex:
    """Raises SettingWrong or AnnexExists."""
    annex_id = typed.short_name(annex_id)
    wish = _checked(db, wish)
    annex = annexes.create(db, annex_id, name_fr=wish.name_fr, name_ar=wish.name_ar, time_zone=wish.time_zone, now=now)
    annex.district_id, annex.note = wish.district, wish.note
    db.flush()
    note(db, hand, "annex.create", f"annex:{annex.id}", now=now, annex_id=annex.id)
    return annex


def change(db: Session, hand: Hand, annex_id: str, wish: AnnexWish, *, version: int, now: datetime) -> int:
    """The step by which it can be taken back; 0 where nothing differs.

    Raises AnnexUnknown, SettingWrong, SettingChanged, or OutOfService for one that is closed.
    """
    annex = annexes.get(db, hand.scope, annex_id)
    if annex.retired_at is not None:
        raise OutOfService(f"annex {annex_id!r} is closed")
    if annex.version != version:
        raise SettingChanged(version=annex.version)
    wanted, before = values(_checked(db, wish)), kept(annex)
    differing = {name: value for name, value in wanted.items() if before[name] != value}
    if not differing:
        return 0
    left = annexes.change(db, annex, version=version, **differing)
    _tell(db, annex.id, now)
    facts: dict[str, Fact] = {name: str(value) for name, value in differing.items() if name != "note"}
    return note(
        db, hand, "annex.change", f"annex:{annex.id}", now=now, annex_id=annex.id, facts=facts, before=before,
        version=left,
    )  # fmt: skip


def retiring(db: Session, hand: Hand, annex_id: str, *, now: datetime) -> tuple[Annex, Reach]:
    """The annex and what closing it touches.  Raises AnnexUnknown, or OutOfService if it is closed."""
    annex = annexes.get(db, hand.scope, annex_id)
    if annex.retired_at is not None:
        raise OutOfService(f"annex {annex_id!r} is closed")
    return annex, effects.of_annex(db, annex, devices.of_annex(db, annex.id), now=now)


def retire(db: Session, hand: Hand, annex_id: str, *, confirmed: str, now: datetime) -> int:
    """Close it for good, with its devices, tokens and board links; the step by which it can be taken back.

    Raises what `retiring` does, and Unconfirmed unless `confirmed` is the digest of what it touches now.
    """
    annexes.hold(db, [annex_id])
    annex, reach = retiring(db, hand, annex_id, now=now)
    effects.demand(reach, confirmed, always=True)
    there = devices.of_annex(db, annex.id)
    before = {"devices": [tended.kept(db, device) for device in there]}
    for device in there:
        tended.shut_out(db, device, now=now)
    for entry, device in zip(before["devices"], there, strict=True):
        entry["left"] = device.version
    tokens, links = closing.open_tokens(db, annex.id, now=now), closing.open_links(db, annex.id)
    closing.end(db, tokens, links, now)
    left = annexes.change(db, annex, version=annex.version, retired_at=now)
    tended.tell(db, there, now=now, annexes=[annex.id])
    return note(
        db, hand, "annex.retire", f"annex:{annex.id}", now=now, annex_id=annex.id,
        facts={"devices": len(there), "tokens": len(tokens), "boards": len(links)},
        before={**before, "tokens": tokens, "links": links}, version=left,
    )  # fmt: skip


def reopen(db: Session, hand: Hand, annex_id: str, *, version: int, now: datetime) -> None:
    """Open a closed annex again, without any device.  Raises AnnexUnknown or SettingChanged."""
    annex = annexes.get(db, hand.scope, annex_id)
    if annex.retired_at is None:
        raise SettingChanged("it is open", version=annex.version)
    annexes.change(db, annex, version=version, retired_at=None)
    _tell(db, annex.id, now)
    note(db, hand, "annex.reopen", f"annex:{annex.id}", now=now, annex_id=annex.id)


def create_district(
    db: Session, hand: Hand, district_id: str, *, name_fr: str, name_ar: str, now: datetime
) -> District:
    """Raises SettingWrong."""
    made = districts.create(
        db, typed.short_name(district_id), name_fr=typed.line(name_fr, "name_fr", typed.LONGEST_NAME),
        name_ar=typed.line(name_ar, "name_ar", typed.LONGEST_NAME), now=now,
    )  # fmt: skip
    note(db, hand, "district.create", f"district:{made.id}", now=now)
    return made


def rename_district(db: Session, hand: Hand, district_id: str, *, name_fr: str, name_ar: str, now: datetime) -> int:
    """The step by which it can be taken back; 0 where nothing differs.  Raises DistrictUnknown or SettingWrong."""
    district = districts.get(db, district_id)
    before = [district.name_fr, district.name_ar]
    left = [
        typed.line(name_fr, "name_fr", typed.LONGEST_NAME), typed.line(name_ar, "name_ar", typed.LONGEST_NAME),
    ]  # fmt: skip
    if left == before:
        return 0
    district.name_fr, district.name_ar = left
    db.flush()
    return note(
        db, hand, "district.rename", f"district:{district.id}", now=now, facts={"names": left},
        before={"names": before, "left": left},
    )  # fmt: skip


def remove_district(db: Session, hand: Hand, district_id: str, *, now: datetime) -> None:
    """Its wall screens then show nothing.  Raises DistrictUnknown, or SettingWrong while annexes belong to it."""
    districts.remove(db, districts.get(db, district_id))
    links.revoke_walls_of(db, district_id, now=now)
    note(db, hand, "district.remove", f"district:{district_id}", now=now)


def kept(annex: Annex) -> dict[str, str]:
    """What `change` may change, as it stands."""
    return {
        "name_fr": annex.name_fr, "name_ar": annex.name_ar, "time_zone": annex.time_zone,
        "district_id": annex.district_id, "note": annex.note,
    }  # fmt: skip


def values(wish: AnnexWish) -> dict[str, str]:
    """A wish by the names of columns."""
    return {
        "name_fr": wish.name_fr, "name_ar": wish.name_ar, "time_zone": wish.time_zone,
        "district_id": wish.district, "note": wish.note,
    }  # fmt: skip


def _checked(db: Session, wish: AnnexWish) -> AnnexWish:
    return typed.annex(wish, districts={district.id for district in districts.listing(db)})


def _tell(db: Session, annex_id: str, now: datetime) -> None:
    """Open pages and the watch look again: its hours may have another zone."""
    pulses.add(db, {}, now=now, origin="settings", annexes={annex_id: "m"})
