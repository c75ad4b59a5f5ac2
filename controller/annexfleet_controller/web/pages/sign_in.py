"""Signing in, in one step or two, and out; the language of this browser."""

import hmac
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from annexfleet_controller.access import sessions, signing_in
from annexfleet_controller.access.asked import LANGUAGE_COOKIE, EngineOf, HomeOf, Now
from annexfleet_controller.access.door import Anybody, Needs, client_address, client_name, cookie_of
from annexfleet_controller.access.errors import CodeRefused, ForeignRequest, SignInRefused, TooManyAttempts
from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n.catalogues import CODES
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import people
from annexfleet_controller.store.database import writing
from annexfleet_controller.web import paths
from annexfleet_controller.web.paths import LONGEST, own_path
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

_A_YEAR_S = 365 * 86_400

Visitor = Annotated[Person | None, Depends(Anybody())]
Oneself = Annotated[Person, Depends(Needs("own_account"))]
Text = Annotated[str, Form(max_length=1000)]
NextOfQuery = Annotated[str, Query(alias="next", max_length=LONGEST)]
NextOfForm = Annotated[str, Form(alias="next", max_length=LONGEST)]


@router.get("/sign-in")
def ask(
    person: Visitor, page: Page, next_path: NextOfQuery = "/", ended: Annotated[str, Query(max_length=9)] = ""
) -> Response:
    """`ended`: the session was over when a form was sent, so what was typed in it is lost."""
    if person is not None:
        return RedirectResponse(own_path(next_path), 303)
    return page("sign_in.html", name_typed="", next=own_path(next_path), problem="", wait_s=0, ended=ended == "1")


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
    next_path: NextOfForm = "/",
) -> Response:
    """A new session, or half of one where a code is owed; an older one of this browser ends."""
    try:
        opened = signing_in.sign_in(
            engine, name, password, address=client_address(request), now=now, client=client_name(request)
        )
    except (SignInRefused, TooManyAttempts) as refused:
        status = 429 if isinstance(refused, TooManyAttempts) else 401
        return page(
            "sign_in.html", status=status, name_typed=name, next=own_path(next_path), problem=refused.code,
            wait_s=refused.facts.get("wait_s", 0), ended=False, here=paths.sign_in(own_path(next_path)),
        )  # fmt: skip
    if person is not None and person.via == "session":
        _end(engine, person)
    path = own_path(next_path)
    response = RedirectResponse(_code_path(path) if opened.awaits_code else path, 303)
    lasts_s = round(sessions.HALF_LASTS.total_seconds()) if opened.awaits_code else None
    set_cookie(response, opened.cookie, home.settings, lasts_s=lasts_s)
    return response


@router.get("/sign-in/code")
def ask_code(
    *, person: Visitor, request: Request, engine: EngineOf, now: Now, page: Page, next_path: NextOfQuery = "/"
) -> Response:
    """The form for the code that is owed; without a password that was right just now, back to the beginning."""
    half = signing_in.half_open(engine, cookie_of(request), now=now)
    if half is None:
        return RedirectResponse(paths.sign_in(own_path(next_path)), 303)
    return page("sign_in_code.html", half_token=half.csrf_token, next=own_path(next_path), problem="", wait_s=0)


@router.post("/sign-in/code")
def enter_code(
    *,
    person: Visitor,
    request: Request,
    engine: EngineOf,
    home: HomeOf,
    now: Now,
    page: Page,
    code: Text,
    csrf_token: Text = "",
    next_path: NextOfForm = "/",
) -> Response:
    """A whole session under a new cookie; the half one ends."""
    half = signing_in.half_open(engine, cookie_of(request), now=now)
    if half is None:
        return RedirectResponse(paths.sign_in(own_path(next_path)), 303)
    if not hmac.compare_digest(csrf_token.encode(), half.csrf_token.encode()):
        raise ForeignRequest
    try:
        cookie = signing_in.enter_code(
            engine, home, half, code, address=client_address(request), now=now, client=client_name(request)
        )
    except (CodeRefused, TooManyAttempts) as refused:
        status = 429 if isinstance(refused, TooManyAttempts) else 401
        return page(
            "sign_in_code.html", status=status, half_token=half.csrf_token, next=own_path(next_path),
            problem=refused.code, wait_s=refused.facts.get("wait_s", 0), here=_code_path(own_path(next_path)),
        )  # fmt: skip
    response = RedirectResponse(own_path(next_path), 303)
    set_cookie(response, cookie, home.settings)
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


@router.post("/language")
def choose_language(
    person: Visitor,
    engine: EngineOf,
    home: HomeOf,
    code: Annotated[str, Form(max_length=8)],
    back: Annotated[str, Form(max_length=LONGEST)] = "/",
) -> Response:
    """For this browser, and for this person wherever they sign in.

    No token guards it, because it is there before anybody signed in; other sites are refused all the same.
    """
    response = RedirectResponse(own_path(back), 303)
    if code in CODES:
        response.set_cookie(
            LANGUAGE_COOKIE, code, max_age=_A_YEAR_S, httponly=True, samesite="lax",
            secure=sessions.is_https(home.settings),
        )  # fmt: skip
        if person is not None:
            with writing(engine) as db:
                people.set_language(db, person.user_id, code)
    return response


def set_cookie(response: Response, cookie: str, settings: Settings, *, lasts_s: int | None = None) -> None:
    response.set_cookie(
        sessions.cookie_name(settings),
        cookie,
        max_age=settings.session_hours * 3600 if lasts_s is None else lasts_s,
        httponly=True,
        secure=sessions.is_https(settings),
        samesite="lax",
        path="/",
    )


def _code_path(next_path: str) -> str:
    return "/sign-in/code" if next_path == "/" else f"/sign-in/code?{urlencode({'next': next_path})}"


def _end(engine: EngineOf, person: Person) -> None:
    with writing(engine) as db:
        people.close_session(db, person.digest)
