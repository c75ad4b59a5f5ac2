"""/api/v1/annexes"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.api.versions import IfMatch, Version, demanded, etag
from annexfleet_controller.store import annexes
from annexfleet_controller.store.annexes import Counts
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.tending import annexes as tending
from annexfleet_controller.tending.typed import AnnexWish

router = APIRouter(prefix="/api/v1/annexes", tags=["annexes"], responses=problems.RESPONSES)

Editing = Annotated[Person, Depends(Needs("edit_annexes"))]

_EXAMPLE: dict[str, JsonValue] = {
    "id": "berkane-1",
    "name_fr": "Annexe administrative 1",
    "name_ar": "الملحقة الإدارية 1",
    "time_zone": "Africa/Casablanca",
}


class NewAnnex(BaseModel):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$")]
    name_fr: Annotated[str, Field(min_length=1, max_length=200)]
    name_ar: Annotated[str, Field(min_length=1, max_length=200)]
    time_zone: Annotated[str, Field(max_length=64)] = "Africa/Casablanca"

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class DeviceCounts(BaseModel):
    """Devices in service, by presence."""

    online: int
    silent: int
    never: int


class AnnexOut(BaseModel):
    id: str
    name_fr: str
    name_ar: str
    time_zone: str
    district: str = ""
    note: str = ""
    retired_at: datetime | None = None
    version: int = 1
    created_at: datetime
    devices: DeviceCounts

    model_config = {
        "json_schema_extra": {
            "examples": [
                {**_EXAMPLE, "created_at": "2026-11-23T08:00:00Z", "devices": {"online": 12, "silent": 1, "never": 0}}
            ]
        }
    }


class AnnexChange(BaseModel):
    """What is left out stays as it is."""

    name_fr: Annotated[str | None, Field(max_length=200)] = None
    name_ar: Annotated[str | None, Field(max_length=200)] = None
    time_zone: Annotated[str | None, Field(max_length=64)] = None
    district: Annotated[str | None, Field(max_length=63, description="Its id; empty: none")] = None
    note: Annotated[str | None, Field(max_length=500)] = None
    version: Version = None

    model_config = {"json_schema_extra": {"examples": [{"name_fr": "Annexe Al Qods", "version": 1}]}}


class Confirmed(BaseModel):
    digest: Annotated[str, Field(max_length=64, description="Of the 409 that said what it touches")] = ""


class AnnexPage(BaseModel):
    items: list[AnnexOut]
    next: str | None = None


@router.get("")
def list_annexes(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    search: paging.Search = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> AnnexPage:
    """The annexes in your sight, by id."""
    after = paging.keys(cursor, 1)
    rows = annexes.listing(db, person.scope, search=search, after=after[0] if after else "", limit=limit + 1)
    counts = annexes.counts(db, person.scope, now=now)
    return AnnexPage(
        items=[_out(row, counts) for row in rows[:limit]],
        next=paging.cursor(rows[limit - 1].id) if len(rows) > limit else None,
    )


@router.get("/{annex_id}")
def show_annex(annex_id: str, person: Annotated[Person, Depends(Needs("look"))], db: Db, now: Now) -> AnnexOut:
    """One annex."""
    return _out(annexes.get(db, person.scope, annex_id), annexes.counts(db, person.scope, now=now))


@router.post("", status_code=201, responses={409: {"model": problems.Problem}})
def create_annex(
    new: NewAnnex, person: Annotated[Person, Depends(Needs("create_annexes"))], once: OnceOf, now: Now
) -> AnnexOut:
    """Add an annex.  With an `Idempotency-Key` a repeat within a day does nothing and answers the same."""

    def work(db: Session) -> dict[str, Any]:
        annex = annexes.create(db, new.id, name_fr=new.name_fr, name_ar=new.name_ar, time_zone=new.time_zone, now=now)
        return _out(annex, {}).model_dump(mode="json")

    return AnnexOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.patch("/{annex_id}", responses={409: {"model": problems.Problem}, 428: {"model": problems.Problem}})
def change_annex(
    *, annex_id: str, body: AnnexChange, person: Editing, db: WritingDb, now: Now, response: Response,
    if_match: IfMatch = "",
) -> AnnexOut:  # fmt: skip
    """Change an annex as it was read; 409 if somebody changed it since."""
    annex = annexes.get(db, person.scope, annex_id)
    wish = AnnexWish(
        name_fr=annex.name_fr if body.name_fr is None else body.name_fr,
        name_ar=annex.name_ar if body.name_ar is None else body.name_ar,
        time_zone=annex.time_zone if body.time_zone is None else body.time_zone,
        district=annex.district_id if body.district is None else body.district,
        note=annex.note if body.note is None else body.note,
    )
    tending.change(db, hand(person), annex_id, wish, version=demanded(if_match, body.version), now=now)
    response.headers["ETag"] = etag(annex.version)
    return _out(annex, annexes.counts(db, person.scope, now=now))


@router.post("/{annex_id}/retire", responses={409: {"model": problems.Problem}})
def retire_annex(annex_id: str, person: Editing, db: WritingDb, now: Now, body: Confirmed | None = None) -> AnnexOut:
    """Close it for good, with its devices.

    Without a digest it answers 409 with the one that confirms what closing it touches now.
    """
    tending.retire(db, hand(person), annex_id, confirmed=body.digest if body else "", now=now)
    return _out(annexes.get(db, person.scope, annex_id), {})


@router.post("/{annex_id}/reopen", responses={409: {"model": problems.Problem}})
def reopen_annex(annex_id: str, person: Editing, db: WritingDb, now: Now) -> AnnexOut:
    """Open a closed annex again, without its devices."""
    annex = annexes.get(db, person.scope, annex_id)
    tending.reopen(db, hand(person), annex_id, version=annex.version, now=now)
    return _out(annex, {})


def _out(annex: Annex, counts: dict[str, Counts]) -> AnnexOut:
    of = counts.get(annex.id, Counts())
    return AnnexOut(
        id=annex.id,
        name_fr=annex.name_fr,
        name_ar=annex.name_ar,
        time_zone=annex.time_zone,
        district=annex.district_id,
        note=annex.note,
        retired_at=annex.retired_at,
        version=annex.version,
        created_at=annex.created_at,
        devices=DeviceCounts(online=of.online, silent=of.silent, never=of.never),
    )
