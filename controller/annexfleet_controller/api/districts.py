"""/api/v1/districts: annexes that are looked after together."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.store import districts
from annexfleet_controller.store.tables.places import District
from annexfleet_controller.tending import annexes as tending

router = APIRouter(prefix="/api/v1/districts", tags=["annexes"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("create_annexes"))]


class Names(BaseModel):
    name_fr: Annotated[str, Field(min_length=1, max_length=200)]
    name_ar: Annotated[str, Field(min_length=1, max_length=200)]


class NewDistrict(Names):
    id: Annotated[str, Field(max_length=63)]

    model_config = {"json_schema_extra": {"examples": [{"id": "ahfir", "name_fr": "Ahfir", "name_ar": "أحفير"}]}}


class DistrictOut(NewDistrict):
    annexes: int
    """In your sight, without those that are closed."""


class DistrictList(BaseModel):
    items: list[DistrictOut]


@router.get("")
def list_districts(person: Looking, db: Db) -> DistrictList:
    """All districts, by id."""
    counts = districts.counts(db, person.scope)
    return DistrictList(items=[_out(one, counts) for one in districts.listing(db)])


@router.post("", status_code=201)
def create_district(new: NewDistrict, person: Editing, db: WritingDb, now: Now) -> DistrictOut:
    """Add a district."""
    made = tending.create_district(db, hand(person), new.id, name_fr=new.name_fr, name_ar=new.name_ar, now=now)
    return _out(made, {})


@router.patch("/{district_id}")
def rename_district(district_id: str, names: Names, person: Editing, db: WritingDb, now: Now) -> DistrictOut:
    """Give it other names."""
    tending.rename_district(db, hand(person), district_id, name_fr=names.name_fr, name_ar=names.name_ar, now=now)
    return _out(districts.get(db, district_id), districts.counts(db, person.scope))


@router.delete("/{district_id}", status_code=204)
def remove_district(district_id: str, person: Editing, db: WritingDb, now: Now) -> Response:
    """Remove one to which no annex belongs."""
    tending.remove_district(db, hand(person), district_id, now=now)
    return Response(status_code=204)


def _out(one: District, counts: dict[str, int]) -> DistrictOut:
    return DistrictOut(id=one.id, name_fr=one.name_fr, name_ar=one.name_ar, annexes=counts.get(one.id, 0))
