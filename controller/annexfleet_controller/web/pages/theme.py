"""How bright the pages are: as the system, light or dark, kept in this browser."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from fastapi.responses import RedirectResponse, Response

from annexfleet_controller.access import sessions
from annexfleet_controller.access.asked import HomeOf
from annexfleet_controller.access.door import Anybody
from annexfleet_controller.access.person import Person
from annexfleet_controller.web.paths import LONGEST, own_path
from annexfleet_controller.web.render import THEME_COOKIE, THEMES

router = APIRouter(include_in_schema=False)

_A_YEAR_S = 365 * 86_400


@router.post("/theme")
def choose(
    _visitor: Annotated[Person | None, Depends(Anybody())],
    home: HomeOf,
    theme: Annotated[str, Form(max_length=8)],
    back: Annotated[str, Form(max_length=LONGEST)] = "/",
) -> Response:
    """For this browser only: a screen on a wall and a phone differ.  Anything but a known theme follows the system."""
    response = RedirectResponse(own_path(back), 303)
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE, theme, max_age=_A_YEAR_S, httponly=True, samesite="lax",
            secure=sessions.is_https(home.settings),
        )  # fmt: skip
    else:
        response.delete_cookie(THEME_COOKIE)
    return response
