"""Taking an act back: what stood there before is written again, where nothing that it touched was changed since."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_controller.errors import RuleWrong
from annexfleet_controller.store import annexes, closing, devices, districts, fleet, links, reaching, undoing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending import calendars, contacts, putting_back, rules, services
from annexfleet_controller.tending import devices as tended
from annexfleet_controller.tending.errors import UndoRefused, UndoUnknown
from annexfleet_controller.tending.putting_back import FOR, Touched
from annexfleet_controller.tending.trace import Hand, note

Restorer = Callable[[Session, Hand, Step, datetime], None]


def newest(db: Session, hand: Hand, *, now: datetime) -> Step | None:
    """The last act of this person, if it may still be taken back as far as time goes."""
    step = undoing.newest(db, user_id=hand.user_id, since=now - FOR)
    return step if step is not None and step.at <= now and step.act in RESTORERS else None


def undo(db: Session, hand: Hand, step_id: int, *, now: datetime) -> Step:
    """Take an act back; which one it was.

    Raises UndoUnknown if it is not one of this person's, and UndoRefused (`reason`, one of `putting_back.REASONS`).
    """
    step = undoing.find(db, step_id, user_id=hand.user_id)
    if step is None or step.act not in RESTORERS:
        raise UndoUnknown(f"no act {step_id}")
    _refuse(putting_back.why_not(step.at, (), undone=step.undone, now=now))
    RESTORERS[step.act](db, hand, step, now)
    if not undoing.close(db, step.id, now=now):
        raise UndoRefused(reason="undone")
    note(
        db, hand, "settings.undo", step.subject, now=now, annex_id=step.annex_id, facts={"act": step.act, "of": step.id}
    )
    return step


def _of_devices(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """Name, place, role, tags, annex, and whether they are in service."""
    old = {int(one["number"]): one for one in step.before["devices"]}
    there = {number: devices.by_number(db, number) for number in old}
    _refuse(putting_back.why_not(step.at, _touched(hand, old, there), undone=False, now=now))
    places = {str(one["annex_id"]) for one in old.values()}
    closed = {one.id for one in annexes.listing(db, with_retired=True) if one.retired_at is not None}
    if places & closed:
        raise UndoRefused(reason="annex_closed")
    _write_back(db, step, old, [device for device in there.values() if device is not None], now)


def _write_back(
    db: Session, step: Step, old: Mapping[int, tended.Before], rows: Sequence[Device], now: datetime
) -> None:
    places = {device.annex_id for device in rows}
    for device in rows:
        was = old[device.number]
        if was["annex_id"] != device.annex_id:
            labelled = {*fleet.local_printers(db, device), *was.get("labels", ())}
            links.carry_labels(db, labelled, was["annex_id"], places=was.get("labels"))
        back: dict[str, None] = {}
        if was["in_service"] and device.revoked_at is not None:
            devices.let_in_again(db, device.number, revoked_at=device.revoked_at, now=now)
            back["revoked_at"] = None
        if not was["was_retired"]:
            back["retired_at"] = None
        devices.change(
            db, device, version=device.version, name=was["name"], place=was["place"], role=was["role"],
            annex_id=was["annex_id"], replaced_by=was["replaced_by"],
            connection=was["connection"],
            ssh_address=was["ssh_address"], **back,
        )  # fmt: skip
        reaching.put_tags(db, device.number, was["tags"])
        places.add(device.annex_id)
    tended.tell(db, rows, now=now, annexes=sorted(places))


def _touched(
    hand: Hand, old: Mapping[int, tended.Before], there: Mapping[int, Device | None]
) -> list[Touched]:  # fmt: skip
    """Who takes back must see where each device is and where it goes."""
    return [
        Touched(
            was["left"], None if (row := there[number]) is None else row.version,
            in_sight=row is None or (hand.scope.covers(row.annex_id) and hand.scope.covers(str(was["annex_id"]))),
        )
        for number, was in old.items()
    ]  # fmt: skip


def _of_annex(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    annex = annexes.get(db, hand.scope, step.annex_id)
    _refuse(putting_back.why_not(step.at, [Touched(step.version, annex.version)], undone=False, now=now))
    back = dict(step.before)
    if back["district_id"] not in {"", *(district.id for district in districts.listing(db))}:
        back["district_id"] = ""
    annexes.change(db, annex, version=annex.version, **back)
    tended.tell(db, (), now=now, annexes=[annex.id])


def _of_closing(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """The annex, its devices, its tokens and the links to its board."""
    annex = annexes.get(db, hand.scope, step.annex_id)
    old = {int(one["number"]): one for one in step.before["devices"]}
    there = {number: devices.by_number(db, number) for number in old}
    touched = [Touched(step.version, annex.version), *_touched(hand, old, there)]
    _refuse(putting_back.why_not(step.at, touched, undone=False, now=now))
    ended_at = annex.retired_at
    annexes.change(db, annex, version=annex.version, retired_at=None)
    if ended_at is not None:
        closing.begin_again(db, step.before["tokens"], step.before["links"], ended_at=ended_at)
    _write_back(db, step, old, [device for device in there.values() if device is not None], now)
    tended.tell(db, (), now=now, annexes=[annex.id])


def _of_district(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    if hand.scope != WHOLE:  # a district is the province's
        raise UndoRefused(reason="out_of_sight")
    district = next((one for one in districts.listing(db) if f"district:{one.id}" == step.subject), None)
    names = None if district is None else [district.name_fr, district.name_ar]
    _refuse(putting_back.why_not(step.at, [Touched(step.before["left"], names)], undone=False, now=now))
    if district is not None:
        district.name_fr, district.name_ar = step.before["names"]
        db.flush()


def _of_service(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """What an annex says of a service; for an empty annex, what the province does."""
    of = step.subject.partition(":")[2].rpartition("/")[2]
    if step.annex_id:
        annexes.get(db, hand.scope, step.annex_id)
    elif hand.scope != WHOLE:
        raise UndoRefused(reason="out_of_sight")
    stands = services.stands(db, step.annex_id, of)
    _refuse(putting_back.why_not(step.at, [Touched(step.before["left"], stands)], undone=False, now=now))
    services.write_back(db, step.annex_id, of, step.before["was"], by=hand.name, now=now)


def _of_contact(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """One that was made, changed or removed."""
    if hand.scope != WHOLE:  # contacts are the province's
        raise UndoRefused(reason="out_of_sight")
    stands = contacts.stands(db, step)
    if step.act != "contact.remove":
        _refuse(putting_back.why_not(step.at, [Touched(step.before["left"], stands)], undone=False, now=now))
    contacts.put_back(db, step)


def _of_calendar(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """Hours, of an annex or the province; holidays; Ramadans."""
    if step.annex_id:
        annexes.get(db, hand.scope, step.annex_id)
    elif hand.scope != WHOLE:
        raise UndoRefused(reason="out_of_sight")
    stands = calendars.stands(db, step.act, step.annex_id)
    _refuse(putting_back.why_not(step.at, [Touched(step.before["left"], stands)], undone=False, now=now))
    calendars.put_back(db, step, by=hand.name, now=now)


def _of_rule(db: Session, hand: Hand, step: Step, now: datetime) -> None:
    """What an annex, or the province, changed of a rule."""
    if step.annex_id:
        annexes.get(db, hand.scope, step.annex_id)
    elif hand.scope != WHOLE:
        raise UndoRefused(reason="out_of_sight")
    stands = rules.stands(db, step.annex_id, step.subject.partition(":")[2])
    _refuse(putting_back.why_not(step.at, [Touched(step.before["left"], stands)], undone=False, now=now))
    try:
        rules.put_back(db, step, by=hand.name, now=now)
    except RuleWrong:
        raise UndoRefused(reason="changed") from None


RESTORERS: Mapping[str, Restorer] = {
    "annex.change": _of_annex,
    "annex.retire": _of_closing,
    "district.rename": _of_district,
    "device.change": _of_devices,
    "device.tags": _of_devices,
    "device.move": _of_devices,
    "device.retire": _of_devices,
    "device.replace": _of_devices,
    "service.change": _of_service,
    "contact.create": _of_contact,
    "contact.change": _of_contact,
    "contact.remove": _of_contact,
    "calendar.change": _of_calendar,
    "calendar.holidays": _of_calendar,
    "calendar.ramadan": _of_calendar,
    "rule.change": _of_rule,
    "rule.reset": _of_rule,
}
"""How each kind of act is taken back; what is not here stays."""


def _refuse(reason: putting_back.Reason | None) -> None:
    if reason is not None:
        raise UndoRefused(f"cannot be taken back: {reason}", reason=reason)
