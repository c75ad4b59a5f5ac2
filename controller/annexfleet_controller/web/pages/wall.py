"""/wall: the province, or a district of it, on a large screen that nobody touches; /wall/<link> without a password.

`/wall` asks for itself.  For an account of the role `staff` its asking keeps the session awake, up to the longest
that any session lasts.  Whoever walks up to the screen can then do what staff can: look, say that trouble is mended
(which the devices confirm or not) or ask for help, end sessions and revoke keys of that account.  What would outlast
the session, a new password, a second factor or a key, is not made without the present password.  Any other account is
signed out when nobody has used it for a while, as on every page, and the wall says so beforehand.

`/wall/<link>` stays until somebody revokes its link.  It leads nowhere, has nothing to press but the language, and
names no person.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from annexfleet_controller.access import links
from annexfleet_controller.access.asked import Db, EngineOf, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Anybody, Needs, client_address
from annexfleet_controller.access.links import Visitor
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import readiness
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.web import overview
from annexfleet_controller.web.pages.boards import PRIVATE
from annexfleet_controller.web.pages.province import AskedOf, worst
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

_INCIDENTS = 8


def _visitor(request: Request, engine: EngineOf, now: Now, link: Annotated[str, Path(max_length=100)]) -> Visitor:
    return links.wall_visitor(engine, link, address=client_address(request), now=now)


@router.get("/wall")
def show(
    *,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    home: HomeOf,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    of: AskedOf,
) -> HTMLResponse:
    """Asked by htmx, only what moves."""
    return page(
        "wall.html",
        block=block if block == "wall" else "",
        by_link=False,
        here="/wall",
        stays=person.role == "staff",
        idle_minutes=home.settings.session_idle_minutes,
        events="/api/v1/events",
        **_shown(db, person.scope, overview.Asked(district=of.district, service=of.service), language, now=now),
    )


@router.get("/wall/{link}")
def show_by_link(
    *,
    _person: Annotated[Person | None, Depends(Anybody())],
    visitor: Annotated[Visitor, Depends(_visitor)],
    link: str,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only what moves."""
    answer = page(
        "wall.html",
        block=block if block == "wall" else "",
        by_link=True,
        here=f"/wall/{link}",
        stays=True,
        events=f"/api/v1/walls/{link}/events",
        **_shown(db, visitor.scope, overview.Asked(district=visitor.district_id), language, now=now),
    )
    answer.headers.update(PRIVATE)
    return answer


def _shown(db: Session, scope: Scope, of: overview.Asked, language: Language, *, now: datetime) -> dict[str, Any]:
    known = catalogue(readiness.own_services(db))
    seen = overview.picture(db, scope, of, services=[], language=language, now=now)
    say = words.Words(language, known, seen.names)
    return {
        "asked": of,
        "seen": seen,
        "order": overview.ORDER,
        "district": dict(seen.districts).get(of.district, ""),
        "lines": worst(db, scope, of, seen, say, at_most=_INCIDENTS),
        "open_incidents": None,
    }
