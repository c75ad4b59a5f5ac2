"""Between the database's rows and what the plan speaks of: receivers, notices of before, notices to be stored."""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import msgspec
from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar, parse
from annexfleet_controller.calendars.calendar import DEFAULT_TIME_ZONE, Week
from annexfleet_controller.notify.model import (
    ContactKind,
    Hours,
    Item,
    Notice,
    NoticeKind,
    NoticeState,
    Receiver,
    Route,
    Told,
    What,
)
from annexfleet_controller.store import contacts, notices
from annexfleet_controller.store.tables.notices import Contact, ContactRoute, NoticeItem
from annexfleet_controller.things import Audience, Severity

_COUNTED = timedelta(hours=1)
"""How far back the plan counts what a receiver got."""


def receivers(db: Session) -> list[Receiver]:
    """Every contact that is switched on, whose person may come in, and that has a route."""
    by_contact = contacts.routes(db)
    return [
        Receiver(
            contact_id=contact.id, kind=kind_of(contact), routes=tuple(route(row) for row in by_contact[contact.id])
        )
        for contact in contacts.listening(db)
        if contact.id in by_contact
    ]


def kind_of(contact: Contact) -> ContactKind:
    return cast("ContactKind", contact.kind)


def route(row: ContactRoute) -> Route:
    return Route(
        audiences=cast("tuple[Audience, ...]", tuple(filter(None, row.audiences.split(",")))),
        annexes=None if row.annexes is None else tuple(msgspec.json.decode(row.annexes, type=list[str])),
        min_severity=cast("Severity", row.min_severity),
        hours=cast("Hours", row.hours),
        own_hours=None if row.week is None else _own_hours(row.week),
        critical_always=row.critical_always,
        level=row.level,
        after_s=row.after_s,
    )


def week_of(document: object) -> Week:
    """The week of a route's own hours, from JSON as a calendar has it.  Raises CalendarWrong."""
    return parse({"week": document}).week or ((),) * 7


def week_document(row: ContactRoute) -> dict[str, list[list[str]]] | None:
    """The week of a route's own hours as a person entered it; None where it has none."""
    return None if row.week is None else msgspec.json.decode(row.week, type=dict[str, list[list[str]]])


@lru_cache(256)
def _own_hours(week: str) -> Calendar:
    hours = week_of(msgspec.json.decode(week, type=dict[str, Any]))
    return Calendar(DEFAULT_TIME_ZONE, hours, hours, closed_on_holidays=False)


def told(db: Session, incident_ids: Collection[int], *, now: datetime) -> list[Told]:
    """Every notice about these incidents, and all that count against a receiver's limits."""
    found = []
    for row, items in notices.history(db, incident_ids, since=now - _COUNTED):
        said = tuple(item(one) for one in items if not one.left_out)
        unsaid = tuple(item(one) for one in items if one.left_out)
        same = Told(
            contact_id=row.contact_id, kind=cast("NoticeKind", row.kind), items=said,
            state=cast("NoticeState", row.state), created_at=row.created_at, ended_at=row.ended_at,
        )  # fmt: skip
        found.append(same)
        if unsaid:
            found.append(msgspec.structs.replace(same, items=unsaid, state="dropped"))
    return found


def item(row: NoticeItem) -> Item:
    return Item(
        incident_id=row.incident_id, what=cast("What", row.what), severity=cast("Severity", row.severity),
        level=row.level,
    )  # fmt: skip


def stored(notice: Notice) -> notices.NewNotice:
    return notices.NewNotice(
        contact_id=notice.contact_id,
        kind=notice.kind,
        items=tuple(
            notices.NewItem(incident_id=one.incident_id, what=one.what, severity=one.severity, level=one.level)
            for one in notice.items
        ),
        due_at=notice.due_at,
        dedupe_key=notice.dedupe_key,
    )
