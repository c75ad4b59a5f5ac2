"""What is one's own: signing in and out, the password, the language."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller.access import sessions, users
from annexfleet_controller.access.asked import LANGUAGE_COOKIE, EngineOf, HomeOf, Now
from annexfleet_controller.access.door import Anybody, Needs, client_address
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import PasswordWeak, SignInRefused, TooManyAttempts
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import people
from annexfleet_controller.store.database import writing
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

_OWN_PATH = re.compile(r"/(?![/\\])[\w\-./~%]*")
_A_YEAR_S = 365 * 86_400

Visitor = Annotated[Person | None, Depends(Anybody())]
Oneself = Annotated[Person, Depends(Needs("own_account"))]
Text = Annotated[str, Form(max_length=1000)]


@router.get("/sign-in")
def ask(person: Visitor, page: Page, next_path: Annotated[str, Query(alias="next", max_length=300)] = "/") -> Response:
    if person is not None:
        return RedirectResponse(_own_path(next_path), 303)
    return page("sign_in.html", name_typed="", next=_own_path(next_path), problem="", wait_s=0)


@router.post("/sign-in")
def sign_in(
    *,
    person: Visitor,
    request: Request,
    engine: EngineOf,
    home: HomeOf,
    now: Now,
    page: Page,
    name: Text,
    password: Text,
    next_path: Annotated[str, Form(alias="next", max_length=300)] = "/",
) -> Response:
    """A new session; an older one of this browser ends."""
    try:
        cookie = users.sign_in(engine, name, password, address=client_address(request), now=now)
    except (SignInRefused, TooManyAttempts) as refused:
        status = 429 if isinstance(refused, TooManyAttempts) else 401
        return page(
            "sign_in.html", status=status, name_typed=name, next=_own_path(next_path), problem=refused.code,
            wait_s=refused.facts.get("wait_s", 0),
        )  # fmt: skip
    if person is not None and person.via == "session":
        _end(engine, person)
    response = RedirectResponse(_own_path(next_path), 303)
    _set_cookie(response, cookie, home.settings)
    return response


@router.post("/sign-out")
def sign_out(person: Oneself, engine: EngineOf, home: HomeOf) -> Response:
    _end(engine, person)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(
        sessions.cookie_name(home.settings),
        secure=sessions.is_https(home.settings),
        httponly=True,
        samesite="lax",
    )
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.get("/password")
def ask_password(person: Oneself, page: Page) -> HTMLResponse:
    return page("password.html", problem="", reason="", wait_s=0)


@router.post("/password")
def change_password(
    *,
    person: Oneself,
    request: Request,
    engine: EngineOf,
    home: HomeOf,
    now: Now,
    page: Page,
    old: Text,
    new: Text,
    again: Text,
) -> Response:
    """A new password; every other session of this person ends."""
    if new != again:
        return page("password.html", status=422, problem="passwords_differ", reason="", wait_s=0)
    try:
        cookie = users.change_password(engine, person.name, old, new, address=client_address(request), now=now)
    except (PasswordWeak, SignInRefused, TooManyAttempts) as refused:
        reason = str(refused.facts.get("reason", ""))
        wait_s = refused.facts.get("wait_s", 0)
        problem = "old_password_wrong" if isinstance(refused, SignInRefused) else refused.code
        return page("password.html", status=422, problem=problem, reason=reason, wait_s=wait_s)
    response = RedirectResponse("/", 303)
    _set_cookie(response, cookie, home.settings)
    return response


@router.post("/language")
def choose_language(
    person: Visitor,
    engine: EngineOf,
    home: HomeOf,
    code: Annotated[str, Form(max_length=8)],
    back: Annotated[str, Form(max_length=300)] = "/",
) -> Response:
    """For this browser, and for this person wherever they sign in.

    No token guards it, because it is there before anybody signed in; other sites are refused all the same.
    """
    response = RedirectResponse(_own_path(back), 303)
    if code in CODES:
        response.set_cookie(
            LANGUAGE_COOKIE, code, max_age=_A_YEAR_S, httponly=True, samesite="lax",
            secure=sessions.is_https(home.settings),
        )  # fmt: skip
        if person is not None:
            with writing(engine) as db:
                people.set_language(db, person.user_id, code)
    return response


def _own_path(path: str) -> str:
    """A path of this site, or `/`: a link must not lead elsewhere after signing in."""
    return path if _OWN_PATH.fullmatch(path) else "/"


def _end(engine: EngineOf, person: Person) -> None:
    with writing(engine) as db:
        people.close_session(db, person.digest)


def _set_cookie(response: Response, cookie: str, settings: Settings) -> None:
    response.set_cookie(
        sessions.cookie_name(settings),
        cookie,
        max_age=settings.session_hours * 3600,
        httponly=True,
        secure=sessions.is_https(settings),
        samesite="lax",
        path="/",
    )
