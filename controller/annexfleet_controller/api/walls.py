"""/api/v1/walls: wall screens that open without a password."""

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
from annexfleet_controller.store import links

router = APIRouter(prefix="/api/v1/walls", tags=["links"], responses=problems.RESPONSES)

Managing = Annotated[Person, Depends(Needs("manage_walls"))]
Id = Annotated[int, Path(ge=1, le=paging.LARGEST_ID)]


class NewWall(BaseModel):
    """`label` says where the screen hangs; `district` what it shows, empty for the whole province."""

    label: Annotated[str, Field(min_length=1, max_length=links.LONGEST_LABEL)]
    district: Annotated[str, Field(max_length=63)] = ""

    model_config = {"json_schema_extra": {"examples": [{"label": "hall", "district": "ahfir"}]}}


class WallOut(BaseModel):
    id: int
    district: str
    """Empty: the whole province."""
    label: str
    created_at: datetime
    created_by: str
    used_at: datetime | None
    """To the hour; null if nobody opened it yet."""
    revoked_at: datetime | None
    url: str | None = None
    """The screen's address; only in the answer that creates it."""


class WallPage(BaseModel):
    items: list[WallOut]


@router.get("")
def list_walls(_person: Managing, db: Db) -> WallPage:
    """The links to wall screens, those that open something first, without their secrets."""
    return WallPage(items=[_out(wall) for wall in links.walls(db)])


@router.post("", status_code=201, responses={409: {"model": problems.Problem}})
def create_wall(*, new: NewWall, request: Request, person: Managing, once: OnceOf, now: Now) -> WallOut:
    """Make a link to a wall screen.  Its address is shown in this answer and never again.

    With an `Idempotency-Key` a repeat within a day makes none and answers the same.
    """
    address = address_of(request)

    def work(db: Session) -> dict[str, Any]:
        wall, secret = making.new_wall(db, person, new.district, label=new.label, now=now)
        made = _out(wall).model_copy(update={"url": address.of(f"/wall/{secret}")})
        return made.model_dump(mode="json")

    return WallOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.delete("/{wall_id}", status_code=204)
def revoke_wall(wall_id: Id, person: Managing, db: WritingDb, now: Now) -> None:
    """It opens nothing from the next request on."""
    making.revoke_wall(db, wall_id, by=person.name, via=person.via, now=now)


def _out(wall: links.Wall) -> WallOut:
    return WallOut(
        id=wall.id, district=wall.district_id, label=wall.label, created_at=wall.created_at,
        created_by=wall.created_by, used_at=wall.used_at, revoked_at=wall.revoked_at,
    )  # fmt: skip
