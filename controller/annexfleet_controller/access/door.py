"""The door: who asks, and whether they may.

Every route names its policy, and app.py refuses to start with one that does not: `Needs("look")` admits whoever is
signed in with that right, `Anybody()` admits all.  A request that changes something and comes with a session must come
from our own pages: by the browser's own word on its origin, and by the session's token.
"""

import hmac
from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from sqlalchemy import Engine

from annexfleet_controller.access import sessions
from annexfleet_controller.access.errors import (
    BySessionOnly,
    ForeignRequest,
    KeyReadsOnly,
    PasswordMustChange,
    SecondFactorMissing,
    SignedOut,
)
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.roles import Right
from annexfleet_controller.clock import Clock
from annexfleet_controller.errors import Forbidden
from annexfleet_controller.settings import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf_token"
BY_ITSELF_HEADER = "x-by-itself"
"""Sent by our own script where the page asks, not the person."""


async def _csrf_given(request: Request) -> str:
    """The token that a form or a script sent along."""
    if request.method in SAFE_METHODS:
        return ""
    if token := request.headers.get(CSRF_HEADER):
        return token
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        field = (await request.form()).get(CSRF_FIELD)  # parsed once and kept by the request
        return field if isinstance(field, str) else ""
    return ""


class Anybody:
    """A route for everybody, signed in or not; the handler gets None or who it is.

    It still refuses forms of other sites, so that nobody is signed in as somebody else.
    """

    def __call__(self, request: Request) -> Person | None:
        if request.method not in SAFE_METHODS:
            _refuse_other_sites(request)
        person = _who(request)
        _refuse_reader(request, person)
        return person


class Needs:
    """A route for those who have a right; `in_person`: not by a key, whatever it may."""

    def __init__(self, right: Right, *, in_person: bool = False) -> None:
        self.right: Right = right
        self.in_person = in_person or right == "own_account"

    def __call__(self, request: Request, csrf_given: Annotated[str, Depends(_csrf_given)]) -> Person:
        person = _who(request)
        if person is None:
            raise SignedOut
        _refuse_reader(request, person)
        if self.in_person and person.via == "key":
            raise BySessionOnly
        if person.owes and self.right != "own_account":  # there it is paid
            raise PasswordMustChange if person.owes == "password" else SecondFactorMissing
        if not person.may(self.right):
            raise Forbidden
        if person.via == "session" and request.method not in SAFE_METHODS:
            _refuse_other_sites(request)
            if not hmac.compare_digest(csrf_given.encode(), person.csrf_token.encode()):
                raise ForeignRequest
        return person


Policy = Needs | Anybody


def client_address(request: Request) -> str:
    return request.client.host if request.client else ""


def _who(request: Request) -> Person | None:
    engine: Engine = request.app.state.engine
    settings: Settings = request.app.state.home.settings
    clock: Clock = request.app.state.clock
    person = _recognise(request, engine, settings, clock.now())
    request.state.person = person
    return person


def _recognise(request: Request, engine: Engine, settings: Settings, now: datetime) -> Person | None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":  # a program says who it is; a cookie beside it does not count
        return sessions.by_key(engine, credential.strip(), now=now)
    cookie = request.cookies.get(sessions.cookie_name(settings))
    if cookie is None:
        return None
    is_use = BY_ITSELF_HEADER not in request.headers and not request.url.path.endswith("/events")
    return sessions.by_cookie(engine, cookie, settings, now=now, is_use=is_use)


def _refuse_reader(request: Request, person: Person | None) -> None:
    """Raises KeyReadsOnly if a key that only reads is used to change something."""
    if person is not None and person.reads_only and request.method not in SAFE_METHODS:
        raise KeyReadsOnly


def cookie_of(request: Request) -> str:
    """The session's cookie as it came; empty where there is none."""
    return request.cookies.get(sessions.cookie_name(request.app.state.home.settings), "")


def client_name(request: Request) -> str:
    """What the browser calls itself: a stranger's word, cut and without what cannot be shown."""
    return "".join(letter for letter in request.headers.get("user-agent", "") if letter.isprintable())[:200]


def _refuse_other_sites(request: Request) -> None:
    """Raises ForeignRequest if the browser says that the request comes from elsewhere."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise ForeignRequest
    origin = request.headers.get("origin")
    if origin is not None and _host(origin) not in own_hosts(request):
        raise ForeignRequest


def own_hosts(request: Request) -> set[str]:
    """By which names, with their ports, browsers know this site."""
    settings: Settings = request.app.state.home.settings
    if settings.public_url:
        return {_host(settings.public_url)}
    return {request.headers.get("host", "")}


def _host(url: str) -> str:
    return urlsplit(url).netloc
