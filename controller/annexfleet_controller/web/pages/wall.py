"""/wall: the province, or a district of it, on a large screen that nobody touches.

The screen asks for itself.  For an account of the role `staff` its asking keeps the session awake, up to the longest
that any session lasts.  Whoever walks up to the screen can then do what staff can: look, say that trouble is mended
(which the devices confirm or not) or ask for help, end sessions and revoke keys of that account.  What would outlast
the session, a new password, a second factor or a key, is not made without the present password.  Any other account is
signed out when nobody has used it for a while, as on every page, and the wall says so beforehand.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import words
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import readiness
from annexfleet_controller.web import overview
from annexfleet_controller.web.pages.province import AskedOf, worst
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

_INCIDENTS = 8


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
    of = overview.Asked(district=of.district, service=of.service)
    known = catalogue(readiness.own_services(db))
    seen = overview.picture(db, person.scope, of, services=[], language=language, now=now)
    say = words.Words(language, known, seen.names)
    return page(
        "wall.html",
        block=block if block == "wall" else "",
        asked=of,
        seen=seen,
        order=overview.ORDER,
        district=dict(seen.districts).get(of.district, ""),
        lines=worst(db, person, of, seen, say, at_most=_INCIDENTS),
        stays=person.role == "staff",
        idle_minutes=home.settings.session_idle_minutes,
        open_incidents=None,
        events="/api/v1/events",
    )
