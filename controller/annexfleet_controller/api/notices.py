"""/api/v1/notices: what was said to whom, what waits, and what failed."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.paging import LARGEST_ID, Cursor, Limit, cursor, keys
from annexfleet_controller.errors import Invalid
from annexfleet_controller.notify.model import NoticeState
from annexfleet_controller.store import contacts, notices
from annexfleet_controller.store.tables.notices import NoticeItem, NoticeRow

router = APIRouter(prefix="/api/v1/notices", tags=["notices"], responses=problems.RESPONSES)

Editing = Annotated[Person, Depends(Needs("edit_contacts"))]
NoticeId = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class ItemOut(BaseModel):
    incident: int
    what: str
    severity: str
    left_out: bool
    """Whether it held no more when the notice went out, and was not said."""


class NoticeOut(BaseModel):
    id: int
    contact: int
    contact_name: str
    kind: str
    state: NoticeState
    created_at: datetime
    due_at: datetime
    ended_at: datetime | None
    """When it was sent, failed for good or was dropped."""
    attempts: int
    reason: str
    """A code: what it failed of last, or why it was dropped."""
    detail: str
    items: list[ItemOut]


class NoticePage(BaseModel):
    items: list[NoticeOut]
    next: str | None


@router.get("")
def list_notices(
    *,
    person: Editing,
    db: Db,
    limit: Limit = 100,
    state: NoticeState | None = None,
    contact: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    cursor_: Annotated[Cursor, Query(alias="cursor")] = "",
) -> NoticePage:
    """Notices, newest first; `state=failed` are those that failed for good."""
    found = notices.listing(db, state=state or "", contact_id=contact, before=_before(cursor_), limit=limit + 1)
    items = [_out(row, name, of) for row, name, of in found[:limit]]
    return NoticePage(items=items, next=cursor(str(items[-1].id)) if len(found) > limit else None)


@router.get("/{notice_id}")
def one_notice(notice_id: NoticeId, person: Editing, db: Db) -> NoticeOut:
    return notice_out(db, notice_id)


@router.post("/{notice_id}/retry")
def retry_notice(notice_id: NoticeId, person: Editing, db: WritingDb, now: Now) -> NoticeOut:
    """Let one that failed for good, or waits for another attempt, be sent now; 409 where something newer was said."""
    notices.retry(db, notice_id, now=now)
    return notice_out(db, notice_id)


def notice_out(db: Session, notice_id: int) -> NoticeOut:
    """Raises NoticeUnknown."""
    row = notices.find(db, notice_id)
    return _out(row, contacts.get(db, row.contact_id).name, notices.items_of(db, notice_id))


def _before(text: str) -> int | None:
    found = keys(text, 1)
    if found is None:
        return None
    if not found[0].isdecimal() or not 1 <= int(found[0][:20]) <= LARGEST_ID:
        raise Invalid("not a cursor", field="cursor")
    return int(found[0])


def _out(row: NoticeRow, contact_name: str, items: list[NoticeItem]) -> NoticeOut:
    return NoticeOut(
        id=row.id, contact=row.contact_id, contact_name=contact_name, kind=row.kind,
        state=row.state,  # type: ignore[arg-type]  # written by us alone
        created_at=row.created_at, due_at=row.due_at, ended_at=row.ended_at, attempts=row.attempts,
        reason=row.reason, detail=row.detail,
        items=[
            ItemOut(incident=one.incident_id, what=one.what, severity=one.severity, left_out=one.left_out)
            for one in items
        ],
    )  # fmt: skip
