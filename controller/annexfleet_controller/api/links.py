"""/api/v1/annexes/<id>/links: boards of an annex that open without a password."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access import links as making
from annexfleet_controller.access.address import address_of
from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import LinkUnknown
from annexfleet_controller.store import annexes, links

router = APIRouter(prefix="/api/v1/annexes/{annex_id}/links", tags=["links"], responses=problems.RESPONSES)

Managing = Annotated[Person, Depends(Needs("manage_links"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]


class NewLink(BaseModel):
    """`label` says where the board hangs; it stands in the story of whatever is done from there."""

    label: Annotated[str, Field(min_length=1, max_length=links.LONGEST_LABEL)]

    model_config = {"json_schema_extra": {"examples": [{"label": "hall"}]}}


class LinkOut(BaseModel):
    id: int
    annex: str
    label: str
    created_at: datetime
    created_by: str
    used_at: datetime | None
    """To the hour; null if nobody opened it yet."""
    revoked_at: datetime | None
    url: str | None = None
    """The board's address; only in the answer that creates it."""


class LinkPage(BaseModel):
    items: list[LinkOut]


@router.get("")
def list_links(annex_id: str, person: Managing, db: Db) -> LinkPage:
    """The boards of an annex, those that open something first, without their secrets."""
    annexes.get(db, person.scope, annex_id)
    return LinkPage(items=[_out(board) for board in links.boards(db, person.scope, annex_id)])


@router.post("", status_code=201, responses={409: {"model": problems.Problem}})
def create_link(*, annex_id: str, new: NewLink, request: Request, person: Managing, once: OnceOf, now: Now) -> LinkOut:
    """Make a board's link.  Its address is shown in this answer and never again.

    With an `Idempotency-Key` a repeat within a day makes none and answers the same.
    """
    address = address_of(request)

    def work(db: Session) -> dict[str, Any]:
        board, secret = making.new_board(db, person, annex_id, label=new.label, now=now)
        made = _out(board).model_copy(update={"url": address.of(f"/board/{secret}")})
        return made.model_dump(mode="json")

    return LinkOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.delete("/{link_id}", status_code=204)
def revoke_link(annex_id: str, link_id: Id, person: Managing, db: WritingDb, now: Now) -> None:
    """It opens nothing from the next request on."""
    if links.board(db, person.scope, link_id).annex_id != annex_id:
        raise LinkUnknown(f"no board {link_id}")
    making.revoke_board(db, person.scope, link_id, by=person.name, via=person.via, now=now)


def _out(board: links.Board) -> LinkOut:
    return LinkOut(
        id=board.id, annex=board.annex_id, label=board.label, created_at=board.created_at, created_by=board.created_by,
        used_at=board.used_at, revoked_at=board.revoked_at,
    )  # fmt: skip
