"""The web application: pages for people, JSON for programs, and what goes around every answer."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, OperationalError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount
from starlette.types import Message, Receive, Scope, Send

from annexfleet_controller import api, web
from annexfleet_controller.access import sessions
from annexfleet_controller.access.asked import language_of
from annexfleet_controller.access.door import SAFE_METHODS, Anybody, Needs, Policy
from annexfleet_controller.access.errors import (
    ForeignRequest,
    PasswordMustChange,
    PasswordWeak,
    SecondFactorMissing,
    SignedOut,
    SignInRefused,
    TooManyAttempts,
)
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.hub import Hub
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import (
    AnnexfleetError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RuleWrong,
    TooManyStreams,
    VersionMissing,
)
from annexfleet_controller.identity.tokens import TokenRefused
from annexfleet_controller.paper.errors import PaperBusy, PaperFailed, PaperUnavailable
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database
from annexfleet_controller.web import packing, paths, render
from annexfleet_controller.web.beside import Beside
from annexfleet_controller.web.pages import problem as problem_page

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024

_STATUS: tuple[tuple[type[AnnexfleetError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (SignedOut, 401),
    (SignInRefused, 401),
    (Forbidden, 403),
    (ForeignRequest, 403),
    (PasswordMustChange, 403),
    (SecondFactorMissing, 403),
    (TooManyAttempts, 429),
    (TooManyStreams, 429),
    (PaperBusy, 429),
    (PaperUnavailable, 503),
    (PaperFailed, 503),
    (PasswordWeak, 422),
    (Invalid, 422),
    (RuleWrong, 422),
    (TokenRefused, 422),
    (VersionMissing, 428),
)

_HEADERS = {
    # No inline script, no inline style, nothing from elsewhere: a device's word that slips through does nothing.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


_ABOUT: dict[str, Any] = {
    "title": "annexfleet",
    "version": "1",
    "description": "What the devices of digital administrative annexes tell of themselves.",
}


class _Web(FastAPI):
    """Puts the headers on every answer, whoever gives it: also on one that no handler of ours made; packs the long."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        wanted = dict(_HEADERS)
        if not scope["path"].startswith("/static/"):
            wanted["Cache-Control"] = "no-store"  # everything else is about now, and for one person
        if sessions.is_https(self.state.home.settings):
            wanted["Strict-Transport-Security"] = "max-age=31536000"

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await super().__call__(scope, receive, packing.packed(scope, dressed))


def create_web(home: Home, *, engine: Engine | None = None, clock: Clock = SYSTEM) -> FastAPI:
    """All pages and the API over plain HTTP, for this machine or the TLS proxy in front.

    The database must have its tables already (`store.migrate`).
    """
    app = _Web(
        **_ABOUT,
        # The description is below, behind the door.  No page draws it: the usual ones load scripts from foreign hosts.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        max_body_size=MAX_BODY_BYTES,
        routes=[*_routes()],
    )
    app.state.home = home
    app.state.engine = engine or open_database(home.database_url)
    app.state.clock = clock
    app.state.hub = Hub(app.state.engine, home.settings, clock)
    app.state.beside = Beside(app.state.engine, home.settings, clock)
    app.add_exception_handler(AnnexfleetError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(DataError, _unstorable)
    app.add_exception_handler(UnicodeEncodeError, _unstorable)
    app.add_exception_handler(OperationalError, _store_unavailable)
    app.add_exception_handler(Exception, _failed)
    return app


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """What every application answers, put together and checked once: FastAPI takes most of a second for it.

    Routes know no application; what they need of it they find in the request.
    """
    gathered = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, max_body_size=MAX_BODY_BYTES)
    for router in (*api.ROUTERS, *web.ROUTERS):
        gathered.include_router(router)
    gathered.add_api_route("/api/v1/openapi.json", _openapi, include_in_schema=False)
    gathered.mount("/static", StaticFiles(directory=render.STATIC), name="static")
    _refuse_routes_without_policy(gathered)
    return tuple(gathered.routes)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.beside.start()
    yield
    app.state.beside.stop()
    app.state.hub.stop()


def _openapi(person: Annotated[Person, Depends(Needs("look"))]) -> JSONResponse:
    """The description of the API."""
    return JSONResponse(_description())


@cache
def _description() -> dict[str, Any]:
    """The same for every application, and FastAPI takes more than a second for it."""
    return FastAPI(**_ABOUT, routes=[*_routes()]).openapi()


def policies(app: FastAPI) -> dict[tuple[str, str], Policy | None]:
    """The policy of every route, by method and path; None where it has none."""
    found: dict[tuple[str, str], Policy | None] = {}
    for route in iter_route_contexts(app.routes):
        if isinstance(getattr(route, "original_route", None), Mount) or not getattr(route, "methods", None):
            continue  # only /static, which holds no secrets
        for method in sorted(route.methods or ()):
            found[method, route.path or ""] = _policy(route.dependant)
    return found


def _policy(dependant: Dependant) -> Policy | None:
    for needed in dependant.dependencies:
        if isinstance(needed.call, Needs | Anybody):
            return needed.call
    return None


def _refuse_routes_without_policy(app: FastAPI) -> None:
    for (method, path), policy in policies(app).items():
        if policy is None:
            raise RuntimeError(f"{method} {path} names no policy (access.door)")


# -- errors, told in the way of who asked


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnnexfleetError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        log.error("request failed code=%s path=%s", error.code, request.url.path, exc_info=error)
    if _for_program(request):
        return problems.of(error, status, language_of(request))
    if isinstance(error, SignedOut):
        return _send_to(request, _sign_in_path(request))
    if isinstance(error, PasswordMustChange):
        return _send_to(request, "/password")
    if isinstance(error, SecondFactorMissing):
        return _send_to(request, "/account/factor")
    return problem_page.show(request, status, error.code)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_big"}.get(error.status_code, "error")
    return _told(request, error.status_code, code, headers=dict(error.headers or {}))


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = sorted({str(e["loc"][-1]) for e in error.errors() if e.get("loc")})
    if _for_program(request):
        return problems.answer(422, "invalid", language_of(request), facts={"fields": fields})
    return problem_page.show(request, 422, "invalid", fields=problem_page.fields_of(error.errors()))


def _unstorable(request: Request, error: Exception) -> Response:
    """Text that no database takes: a NUL, half of a surrogate pair."""
    log.warning("request holds what cannot be stored path=%s error=%s", request.url.path, error)
    return _told(request, 422, "invalid", headers={})


def _store_unavailable(request: Request, error: Exception) -> Response:
    """Full, read-only, locked for long or gone: nothing was changed, and trying again may help."""
    log.error("database unavailable path=%s error=%s", request.url.path, error)
    return _told(request, 503, "store_unavailable", headers={"Retry-After": "5"})


def _failed(request: Request, error: Exception) -> Response:
    return _told(request, 500, "error", headers={})  # starlette logs it with its trace


def _told(request: Request, status: int, code: str, *, headers: dict[str, str]) -> Response:
    if _for_program(request):
        return problems.answer(status, code, language_of(request), headers=headers)
    return problem_page.show(request, status, code)


def _for_program(request: Request) -> bool:
    return request.url.path.startswith("/api/") or request.url.path in {"/metrics", "/healthz", "/readyz"}


def _send_to(request: Request, path: str) -> Response:
    """Elsewhere; a script's request is told so in htmx's way, for it would follow a redirect into a fragment."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def _sign_in_path(request: Request) -> str:
    """Back to the page that is open; where a form was sent, with the news that it was not saved."""
    if request.url.path == "/sign-out":
        return paths.sign_in()
    return paths.sign_in(paths.page_of(request), ended=request.method not in SAFE_METHODS)
