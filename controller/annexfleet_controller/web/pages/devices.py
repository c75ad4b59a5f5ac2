"""/devices: every device in sight, searched and narrowed by the page's address."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import structs

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.store import annexes, device_list, overview
from annexfleet_controller.store.device_list import Wanted
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

PAGE = 50
_MOST_PLACES = 200
"""So many annexes can be offered to choose from; of more, one types the id."""
_PRESENCES = ("online", "silent", "never", "revoked")
ROLES = ("counter", "kiosk", "tablet", "server")


@router.get("/devices")
def show(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    q: Annotated[str, Query(max_length=80)] = "",
    annex: Annotated[str, Query(max_length=63)] = "",
    district: Annotated[str, Query(max_length=63)] = "",
    role: Annotated[str, Query(max_length=16)] = "",
    presence: Literal["", "online", "silent", "never", "revoked"] = "",
    trouble: Literal["", "yes"] = "",
    tag: Annotated[str, Query(max_length=40)] = "",
    version: Annotated[str, Query(max_length=64)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """Asked by htmx, only the list."""
    wanted = Wanted(
        search=q.strip(), annex=annex, district=district, role=role, presence=presence, troubled=bool(trouble), tag=tag,
        version=version,
    )  # fmt: skip
    devices, count = device_list.page(db, person.scope, wanted, now=now, page=number, size=PAGE)
    pages = max(1, -(-count // PAGE))
    at = min(number, pages)
    if at < number:  # the list has become shorter
        devices, _ = device_list.page(db, person.scope, wanted, now=now, page=at, size=PAGE)
    places = annexes.listing(db, person.scope, limit=_MOST_PLACES + 1) if block != "list" else []
    return page(
        "devices.html",
        block=block if block == "list" else "",
        devices=devices,
        count=count,
        first=(at - 1) * PAGE + 1,
        at=at,
        pages=pages,
        asked=wanted,
        is_narrowed=wanted != Wanted(),
        query=_query(wanted, at),
        older=f"/devices?{_query(wanted, at + 1)}" if at < pages else "",
        newer=f"/devices?{_query(wanted, at - 1)}" if at > 1 else "",
        places=[(of.id, of.name_ar if language.code == "ar" else of.name_fr) for of in places],
        districts=[
            (of.id, of.name_ar if language.code == "ar" else of.name_fr) for of in overview.districts(db)
            if len(places) > _MOST_PLACES or any(place.district_id == of.id for place in places)
        ],
        roles=ROLES,
        presences=_PRESENCES,
        tags=device_list.tags(db, person.scope) if block != "list" else [],
        versions=device_list.versions(db, person.scope) if block != "list" else [],
        may_enrol=person.may("manage_tokens"),
        events="/api/v1/events",
    )  # fmt: skip


def _query(wanted: Wanted, page: int) -> str:
    """The address's query that gives this page of this list."""
    named = structs.asdict(wanted) | {"q": wanted.search, "trouble": "yes" if wanted.troubled else ""}
    del named["search"], named["troubled"]
    return urlencode({name: value for name, value in {**named, "page": page if page > 1 else ""}.items() if value})
