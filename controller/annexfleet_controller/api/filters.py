"""/api/v1/filters: lists as one wants to see them again, under names; each person's own, the same as on the pages."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.store import saved_filters
from annexfleet_controller.store.saved_filters import LONGEST_NAME, LONGEST_VALUE, Saved
from annexfleet_controller.things import IncidentKind, Severity

router = APIRouter(prefix="/api/v1/filters", tags=["filters"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
ListPath = Literal["/alerts"]
"""The lists that have filters."""
Words = Annotated[str, Field(max_length=LONGEST_VALUE)]

_NARROWED: dict[str, JsonValue] = {"kind": "printer", "who": "free"}


class AlertsNarrowed(BaseModel):
    """What `/alerts` can be narrowed to; what is left out, or empty, stays open."""

    state: Literal["", "open", "over"] = ""
    period: Annotated[Literal["", "24h", "7d", "30d", "90d"], Field(description="Of those that are over")] = ""
    annex: Annotated[Words, Field(description="Its id, or words of its name")] = ""
    kind: IncidentKind | Literal[""] = ""
    severity: Severity | Literal[""] = ""
    who: Annotated[Literal["", "free", "taken", "mine"], Field(description="Who has it in charge")] = ""
    q: Annotated[Words, Field(description="Words of a title, a thing or a place")] = ""

    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [_NARROWED]}}


class NewFilter(BaseModel):
    page: ListPath = "/alerts"
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    narrowed: AlertsNarrowed

    model_config = {"json_schema_extra": {"examples": [{"name": "Printers nobody has", "narrowed": _NARROWED}]}}


class FilterOut(BaseModel):
    page: Annotated[str, Field(description="The path of its list")]
    name: str
    narrowed: Annotated[dict[str, str], Field(description="What the list is narrowed to; empty: to nothing")]
    address: Annotated[str, Field(description="Path and query of the page that shows it")]

    model_config = {
        "json_schema_extra": {
            "examples": [{
                "page": "/alerts", "name": "Printers nobody has", "narrowed": _NARROWED,
                "address": "/alerts?kind=printer&who=free",
            }]
        }
    }  # fmt: skip


class FilterPage(BaseModel):
    items: list[FilterOut]


@router.get("")
def list_filters(person: Looking, db: Db, page: ListPath = "/alerts") -> FilterPage:
    """Your filters for a list, by name; at most 20."""
    return FilterPage(items=[_out(page, one) for one in saved_filters.of(db, person.user_id, page)])


@router.post("", status_code=201)
def save_filter(new: NewFilter, person: Looking, once: OnceOf, now: Now) -> FilterOut:
    """Keep one under a name; one that you have under this name is replaced.

    409 `too_many_filters` where you have 20 already.
    """
    told = new.narrowed.model_dump()
    if told["state"] != "over":
        told |= {"state": "", "period": ""}  # as the page writes its address: open ones are what it shows anyway
    query = urlencode({name: value for name, value in told.items() if value})

    def work(db: Session) -> dict[str, Any]:
        return _out(new.page, saved_filters.save(db, person.user_id, new.page, new.name, query, now=now)).model_dump()

    return FilterOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.delete("", status_code=204)
def remove_filter(
    person: Looking,
    db: WritingDb,
    name: Annotated[str, Query(min_length=1, max_length=LONGEST_NAME)],
    page: ListPath = "/alerts",
) -> None:
    """Forget the one of this name.  404 `filter_unknown` where you have none."""
    saved_filters.remove(db, person.user_id, page, name)


def _out(page: str, one: Saved) -> FilterOut:
    return FilterOut(
        page=page, name=one.name, narrowed=one.narrowed, address=f"{page}?{one.query}" if one.query else page
    )
