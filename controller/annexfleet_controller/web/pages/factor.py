"""/account/factor: the second factor, switched on, renewed and switched off."""

from typing import Annotated, Any

import segno
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy import Engine

from annexfleet_controller.access import factor, signing_in
from annexfleet_controller.access.asked import EngineOf, HomeOf, Now
from annexfleet_controller.access.door import Needs, client_address
from annexfleet_controller.access.errors import (
    CodeRefused,
    SecondFactorRequired,
    SecondFactorState,
    SignInRefused,
    TooManyAttempts,
)
from annexfleet_controller.access.person import Person
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import reading
from annexfleet_controller.web.render import Page, Renders

router = APIRouter(prefix="/account/factor", include_in_schema=False)

Oneself = Annotated[Person, Depends(Needs("own_account"))]
Text = Annotated[str, Form(max_length=1000)]


@router.get("")
def show(person: Oneself, engine: EngineOf, home: HomeOf, page: Page) -> HTMLResponse:
    return _page(page, engine, home, person)


@router.post("")
def begin(
    *, person: Oneself, request: Request, engine: EngineOf, home: HomeOf, now: Now, page: Page, password: Text
) -> HTMLResponse:
    """A new secret, in this answer and nowhere else."""
    try:
        signing_in.check_password(engine, person.name, password, address=client_address(request), now=now)
        offered = factor.begin(engine, home, person.user_id)
    except (SignInRefused, TooManyAttempts, SecondFactorState) as refused:
        return _page(page, engine, home, person, refused=refused)
    return _page(page, engine, home, person, offered=offered)


@router.post("/confirm")
def confirm(
    *, person: Oneself, request: Request, engine: EngineOf, home: HomeOf, now: Now, page: Page, code: Text
) -> Response:
    """Recovery codes, in this answer and nowhere else.  The secret is not shown again after a wrong code."""
    try:
        codes = factor.confirm(engine, home, person.user_id, code, session=person.digest, now=now)
    except (CodeRefused, SecondFactorState) as refused:
        return _page(page, engine, home, person, refused=refused)
    return _page(page, engine, home, person, codes=codes)


@router.post("/codes")
def renew_codes(
    *,
    person: Oneself,
    request: Request,
    engine: EngineOf,
    home: HomeOf,
    now: Now,
    page: Page,
    password: Text,
    code: Text,
) -> HTMLResponse:
    address = client_address(request)
    try:
        signing_in.check_password(engine, person.name, password, address=address, now=now)
        codes = signing_in.with_code(
            engine, home, person.user_id, code, lambda db, user: factor.new_codes(db, user, now=now),
            address=address, now=now,
        )  # fmt: skip
    except (SignInRefused, TooManyAttempts) as refused:
        return _page(page, engine, home, person, refused=refused)
    return _page(page, engine, home, person, codes=codes)


@router.post("/off")
def switch_off(
    *,
    person: Oneself,
    request: Request,
    engine: EngineOf,
    home: HomeOf,
    now: Now,
    page: Page,
    password: Text,
    code: Text,
) -> Response:
    address = client_address(request)
    if factor.demanded(home.settings.second_factor, person.role):
        raise SecondFactorRequired
    try:
        signing_in.check_password(engine, person.name, password, address=address, now=now)
        signing_in.with_code(
            engine, home, person.user_id, code, lambda db, user: factor.switch_off(db, home, user, now=now),
            address=address, now=now,
        )  # fmt: skip
    except (SignInRefused, TooManyAttempts) as refused:
        return _page(page, engine, home, person, refused=refused)
    return RedirectResponse("/account", 303)


def _page(
    page: Renders,
    engine: Engine,
    home: Home,
    person: Person,
    *,
    offered: factor.Offered | None = None,
    codes: list[str] | None = None,
    refused: SignInRefused | TooManyAttempts | SecondFactorState | None = None,
) -> HTMLResponse:
    with reading(engine) as db:
        standing = factor.standing(db, home, person.user_id)
    shown: dict[str, Any] = {
        "standing": standing,
        "key": "" if offered is None else " ".join(offered.key[i : i + 4] for i in range(0, len(offered.key), 4)),
        "square": "" if offered is None else _square(offered.address),
        "codes": [factor.grouped(code) for code in codes or ()],
        "problem": "" if refused is None else _problem(refused),
        "wait_s": 0 if refused is None else refused.facts.get("wait_s", 0),
    }
    return page("account_factor.html", status=200 if refused is None else 422, **shown)


def _problem(refused: SignInRefused | TooManyAttempts | SecondFactorState) -> str:
    wrong_password = isinstance(refused, SignInRefused) and not isinstance(refused, CodeRefused)
    return "old_password_wrong" if wrong_password else refused.code


def _square(address: str) -> Markup:
    """A QR code as an inline picture: black on white in every theme, for a camera reads it."""
    drawn = segno.make(address, error="m").svg_inline(border=4, omitsize=True, dark="#000", light="#fff")
    return Markup(drawn)  # noqa: S704  # made here, of rectangles alone
