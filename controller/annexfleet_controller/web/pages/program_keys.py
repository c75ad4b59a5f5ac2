"""/admin/keys: every program that comes in with a key, for whom, and within which bounds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller.access import keys
from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.store import program_keys
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin/keys", include_in_schema=False)

Managing = Annotated[Person, Depends(Needs("manage_people"))]
_SHOWN = 50


@router.get("")
def list_keys(
    *,
    person: Managing,
    db: Db,
    now: Now,
    page: Page,
    search: Annotated[str, Query(max_length=100)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """Fifty a page, the newest first; searched by what they are for and by person."""
    found = program_keys.listing(db, search=search.strip(), offset=(number - 1) * _SHOWN, limit=_SHOWN + 1)
    return page(
        "keys.html",
        keys=keys.shown(db, found[:_SHOWN], now=now),
        search=search.strip(),
        number=number,
        has_more=len(found) > _SHOWN,
    )


@router.post("/{key_id}/revoke")
def revoke_key(key_id: str, person: Managing, db: WritingDb, now: Now) -> Response:
    keys.revoke(db, key_id, person, everybody=True, now=now)
    return RedirectResponse("/admin/keys", 303)
