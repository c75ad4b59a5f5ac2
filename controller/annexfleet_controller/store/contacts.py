"""Contacts and their routes: whom notices go to, and what each wants to hear."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, ContactUnknown, SettingChanged
from annexfleet_controller.store.tables.notices import Contact, ContactRoute
from annexfleet_controller.store.tables.people import User
from annexfleet_controller.store.tables.places import Annex


class NewContact(Struct, frozen=True, kw_only=True):
    """What a person decides about a contact."""

    name: str
    kind: str
    address: str
    secret: str = ""
    language: str
    enabled: bool = True
    user_id: int | None = None


class NewRoute(Struct, frozen=True, kw_only=True):
    """What a person decides about a route, as the table holds it."""

    audiences: str
    annexes: str | None
    annex_ids: tuple[str, ...] = ()
    """Those in `annexes`, which must exist."""
    min_severity: str
    hours: str
    week: str | None = None
    critical_always: bool = True
    level: int = 0
    after_s: float = 0.0


def listing(db: Session) -> Sequence[Contact]:
    """All of them, by name."""
    return db.scalars(select(Contact).order_by(Contact.name, Contact.id)).all()


def listening(db: Session) -> Sequence[Contact]:
    """Those that are switched on and do not belong to a person who may no longer come in."""
    query = select(Contact).join(User, User.id == Contact.user_id, isouter=True).order_by(Contact.id)
    return db.scalars(query.where(Contact.enabled, User.disabled_at.is_(None))).all()


def of_person(db: Session, user_id: int, email: str) -> Sequence[Contact]:
    """The contacts that are this person, by name: given to them, or nobody's and with their e-mail address."""
    own = Contact.user_id == user_id
    if email:
        by_address = and_(
            Contact.user_id.is_(None), Contact.kind == "email", func.lower(Contact.address) == email.lower()
        )  # fmt: skip
        own = or_(own, by_address)
    return db.scalars(select(Contact).where(own).order_by(Contact.name, Contact.id)).all()


def get(db: Session, contact_id: int) -> Contact:
    """Raises ContactUnknown."""
    contact = find(db, contact_id)
    if contact is None:
        raise ContactUnknown(f"no contact {contact_id}")
    return contact


def find(db: Session, contact_id: int) -> Contact | None:
    return db.get(Contact, contact_id)


def routes(db: Session, contact_id: int | None = None) -> Mapping[int, list[ContactRoute]]:
    """The routes by contact, of one or of all, each contact's in the order of their levels."""
    query = select(ContactRoute).order_by(ContactRoute.contact_id, ContactRoute.level, ContactRoute.id)
    if contact_id is not None:
        query = query.where(ContactRoute.contact_id == contact_id)
    found: dict[int, list[ContactRoute]] = {}
    for route in db.scalars(query):
        found.setdefault(route.contact_id, []).append(route)
    return found


def create(db: Session, new: NewContact, new_routes: Sequence[NewRoute], *, by: str, now: datetime) -> Contact:
    """Raises AnnexUnknown if a route names an annex that does not exist."""
    contact = Contact(
        name=new.name, kind=new.kind, address=new.address, secret=new.secret, language=new.language,
        enabled=new.enabled, user_id=new.user_id, created_at=now, created_by=by,
    )  # fmt: skip
    db.add(contact)
    db.flush()
    _put_routes(db, contact.id, new_routes)
    return contact


def change(
    db: Session, contact_id: int, new: NewContact, new_routes: Sequence[NewRoute], *, version: int | None = None
) -> Contact:
    """All of it anew.  Raises ContactUnknown, AnnexUnknown, or SettingChanged if it is not as it was read.

    Without a version it is written over whatever stands.
    """
    contact = get(db, contact_id)
    claimed = db.execute(
        update(Contact)
        .where(Contact.id == contact_id, Contact.version == (contact.version if version is None else version))
        .values(version=Contact.version + 1)
        .execution_options(synchronize_session=False)
    )
    if claimed.rowcount != 1:  # type: ignore[attr-defined]
        raise SettingChanged("contact changed meanwhile", version=contact.version)
    db.refresh(contact)
    if (contact.kind, contact.address, contact.secret) != (new.kind, new.address, new.secret):
        contact.verified_at = None
    contact.name, contact.kind, contact.address, contact.secret = new.name, new.kind, new.address, new.secret
    contact.language, contact.enabled, contact.user_id = new.language, new.enabled, new.user_id
    db.flush()
    db.execute(delete(ContactRoute).where(ContactRoute.contact_id == contact_id))
    _put_routes(db, contact_id, new_routes)
    return contact


def remove(db: Session, contact_id: int) -> None:
    """With its routes and its notices.  Raises ContactUnknown."""
    db.delete(get(db, contact_id))
    db.flush()


def verified(db: Session, contact_id: int, *, address: str, now: datetime) -> None:
    """A test message got through to this address, unless the contact has another one by now."""
    db.execute(update(Contact).where(Contact.id == contact_id, Contact.address == address).values(verified_at=now))


def _put_routes(db: Session, contact_id: int, new_routes: Sequence[NewRoute]) -> None:
    for route in new_routes:
        for annex_id in route.annex_ids:
            if db.get(Annex, annex_id) is None:
                raise AnnexUnknown(f"no annex {annex_id!r}")
        db.add(
            ContactRoute(
                contact_id=contact_id, audiences=route.audiences, annexes=route.annexes,
                min_severity=route.min_severity, hours=route.hours, week=route.week,
                critical_always=route.critical_always, level=route.level, after_s=route.after_s,
            )
        )  # fmt: skip
    db.flush()
