"""/api/v1/audit: who did what, and when."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from annexfleet_controller.access.asked import Db
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.paging import LARGEST_ID, Cursor, Limit, cursor, keys
from annexfleet_controller.errors import Invalid
from annexfleet_controller.store import audit

router = APIRouter(prefix="/api/v1/audit", tags=["audit"], responses=problems.RESPONSES)

Part = Annotated[str, Query(max_length=120)]


class EntryOut(BaseModel):
    id: int
    at: datetime
    actor: str
    via: str
    """session, key, console or worker"""
    act: str
    subject: str
    """`run:12`, `device:d-...`"""
    annex: str
    """Empty: the province."""
    facts: dict[str, str | int | float | bool | list[str] | None]
    digest: str
    """SHA-256 over this entry and the digest of the one before it."""


class EntryPage(BaseModel):
    items: list[EntryOut]
    next: str | None


@router.get("")
def list_entries(
    *,
    person: Annotated[Person, Depends(Needs("see_audit"))],
    db: Db,
    actor: Annotated[Part, Query(description="Part of a name")] = "",
    act: Annotated[Part, Query(description="Such as `run.create`; or its first half, `run`")] = "",
    subject: Annotated[Part, Query(description="Part of it")] = "",
    cursor_: Annotated[Cursor, Query(alias="cursor")] = "",
    limit: Limit = 100,
) -> EntryPage:
    """What was done in your annexes, newest first; what concerns the province only for who sees all of it.

    `annexfleet audit verify` on the controller checks that nothing was changed or left out.
    """
    found = audit.entries(
        db, person.scope, actor=actor, act=act, subject=subject, before=_before(cursor_), limit=limit + 1
    )
    items = [_out(entry) for entry in found[:limit]]
    return EntryPage(items=items, next=cursor(str(items[-1].id)) if len(found) > limit else None)


def _before(text: str) -> int | None:
    found = keys(text, 1)
    if found is None:
        return None
    if not (found[0].isascii() and found[0].isdecimal()) or not 1 <= int(found[0][:20]) <= LARGEST_ID:
        raise Invalid("not a cursor", field="cursor")
    return int(found[0])


def _out(entry: audit.Entry) -> EntryOut:
    return EntryOut(
        id=entry.id, at=entry.at, actor=entry.actor, via=entry.via, act=entry.act, subject=entry.subject,
        annex=entry.annex_id, facts=dict(entry.facts), digest=entry.digest,
    )  # fmt: skip
