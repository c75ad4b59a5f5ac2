"""Contacts, as people change them.  Every function works in the caller's transaction.

The audit names no address, as it may hold secrets.  A step that can be taken back holds one only where the act
replaced or removed it, and is forgotten as soon as ten minutes have passed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from annexfleet_controller.errors import SettingChanged
from annexfleet_controller.store import contact_records, contacts
from annexfleet_controller.store.contacts import NewContact, NewRoute
from annexfleet_controller.store.tables.notices import Contact
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending.trace import Hand, note

_HELD_APART = ("address", "secret", "verified_at")
"""Not kept a second time where the act left them as they were."""


def create(db: Session, hand: Hand, new: NewContact, routes: Sequence[NewRoute], *, now: datetime) -> Contact:
    """Raises AnnexUnknown if a route names an annex that does not exist."""
    made = contacts.create(db, new, routes, by=hand.name, now=now)
    _note(db, hand, "contact.create", made, {}, now=now)
    return made


def change(
    db: Session, hand: Hand, contact_id: int, new: NewContact, routes: Sequence[NewRoute], *, version: int,
    now: datetime,
) -> Contact:  # fmt: skip
    """All of it anew.  Raises ContactUnknown, AnnexUnknown, or SettingChanged if it is not as it was read."""
    was = contact_records.of(db, contacts.get(db, contact_id))
    changed = contacts.change(db, contact_id, new, routes, version=version)
    if (changed.kind, changed.address, changed.secret) == tuple(
        was["contact"][name] for name in ("kind", "address", "secret")
    ):
        for name in _HELD_APART:
            del was["contact"][name]
    _note(db, hand, "contact.change", changed, was, now=now)
    return changed


def remove(db: Session, hand: Hand, contact_id: int, *, version: int | None = None, now: datetime) -> None:
    """With its routes and the record of its notices.  Raises ContactUnknown, or SettingChanged as `change`."""
    contact = contacts.get(db, contact_id)
    if version is not None and version != contact.version:
        raise SettingChanged("contact changed meanwhile", version=contact.version)
    was = contact_records.of(db, contact) | contact_records.notices_of(db, contact_id)
    contacts.remove(db, contact_id)
    _note(db, hand, "contact.remove", contact, was, now=now)


def stands(db: Session, step: Step) -> list[Any] | None:
    """What stands for the version of the contact that an act was about; None if it is there no more."""
    found = contacts.find(db, int(step.subject.partition(":")[2]))
    return None if found is None else _stands(found)


def put_back(db: Session, step: Step) -> None:
    """What was there before the act; that nobody changed it since is the caller's matter."""
    contact = contacts.find(db, int(step.subject.partition(":")[2]))
    if step.act == "contact.remove":
        contact_records.make_again(db, step.before["was"])
    elif contact is not None and step.act == "contact.create":
        contacts.remove(db, contact.id)
    elif contact is not None:
        contact_records.write_back(db, contact, step.before["was"])


def _stands(contact: Contact) -> list[Any]:
    """Its number alone does not tell it from a later one."""
    return [contact.version, contact.created_at.isoformat()]


def _note(db: Session, hand: Hand, act: str, contact: Contact, was: dict[str, Any], *, now: datetime) -> None:
    left = None if act == "contact.remove" else _stands(contact)
    note(db, hand, act, f"contact:{contact.id}", now=now, before={"was": was, "left": left})
