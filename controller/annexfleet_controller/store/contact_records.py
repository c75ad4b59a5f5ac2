"""A contact as it stood, as plain values: what taking an act back writes again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import delete, inspect, select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.alerts import IncidentRow
from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.notices import Contact, ContactRoute, NoticeItem, NoticeRow
from annexfleet_controller.store.types import UtcDateTime

MOST_NOTICES = 1000
"""The newest of a contact, which come back with it."""

Row = TypeVar("Row", bound=Base)
Record = dict[str, Any]
"""The values of a row by column, moments as ISO text."""


def of(db: Session, contact: Contact) -> Record:
    """The contact with its routes."""
    routes = db.scalars(select(ContactRoute).where(ContactRoute.contact_id == contact.id).order_by(ContactRoute.id))
    return {"contact": _record(contact), "routes": [_record(route) for route in routes]}


def notices_of(db: Session, contact_id: int) -> Record:
    """What it was told and will be, with what each is about."""
    rows = db.scalars(
        select(NoticeRow).where(NoticeRow.contact_id == contact_id).order_by(NoticeRow.id.desc()).limit(MOST_NOTICES)
    ).all()
    items = db.scalars(select(NoticeItem).where(NoticeItem.notice_id.in_([row.id for row in rows])))
    return {"notices": [_record(row) for row in rows], "items": [_record(item) for item in items]}


def write_back(db: Session, contact: Contact, record: Mapping[str, Any]) -> None:
    """The same contact as it stood, under a new version; what `record` leaves out stays as it is."""
    for name, value in _values(Contact, record["contact"]).items():
        if name not in {"id", "version"}:
            setattr(contact, name, value)
    contact.version += 1
    db.flush()
    db.execute(delete(ContactRoute).where(ContactRoute.contact_id == contact.id))
    _put_routes(db, contact.id, record["routes"])


def make_again(db: Session, record: Mapping[str, Any]) -> int:
    """The contact that was removed, with its routes and its notices; its number.

    Where another one has its number by now it gets a new one, and its notices are not told of it.
    """
    values = _values(Contact, record["contact"])
    is_free = db.get(Contact, values["id"]) is None
    if not is_free:
        del values["id"]
    contact = Contact(**values | {"version": values["version"] + 1})
    db.add(contact)
    db.flush()
    _put_routes(db, contact.id, record["routes"])
    if is_free:
        _put_notices(db, record["notices"], record["items"])
    return contact.id


def _put_routes(db: Session, contact_id: int, routes: Sequence[Record]) -> None:
    for route in routes:
        values = _values(ContactRoute, route) | {"contact_id": contact_id}
        del values["id"]
        db.add(ContactRoute(**values))
    db.flush()


def _put_notices(db: Session, notices: Sequence[Record], items: Sequence[Record]) -> None:
    """Nobody holds them; those whose number another one has by now, and items of incidents that are gone, stay away."""
    taken = set(db.scalars(select(NoticeRow.id).where(NoticeRow.id.in_([one["id"] for one in notices]))))
    there = {one["id"] for one in notices} - taken
    for one in notices:
        if one["id"] in there:
            db.add(NoticeRow(**_values(NoticeRow, one) | {"claimed_by": "", "claimed_until": None}))
    db.flush()
    known = set(db.scalars(select(IncidentRow.id).where(IncidentRow.id.in_({item["incident_id"] for item in items}))))
    for item in items:
        if item["notice_id"] in there and item["incident_id"] in known:
            db.add(NoticeItem(**_values(NoticeItem, item)))
    db.flush()


def _record(row: Base) -> Record:
    found = {column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs}
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in found.items()}


def _values(kind: type[Row], record: Mapping[str, Any]) -> dict[str, Any]:
    columns = kind.__table__.columns
    return {
        key: datetime.fromisoformat(value)
        if value is not None and isinstance(columns[key].type, UtcDateTime)
        else value
        for key, value in record.items()
    }
