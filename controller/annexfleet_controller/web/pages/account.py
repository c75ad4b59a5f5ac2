"""/account: who one is here, one's password, sessions and keys for programs."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access import clients, factor, keys, passwords, sessions, signing_in
from annexfleet_controller.access.asked import Db, EngineOf, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs, client_address, client_name
from annexfleet_controller.access.errors import (
    AccountWrong,
    BySessionOnly,
    PasswordWeak,
    SessionUnknown,
    SignInRefused,
    TooManyAttempts,
)
from annexfleet_controller.access.once import SendingOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.roles import ROLES, lower
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import accounts, people, program_keys
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import SessionRow
from annexfleet_controller.web import annex_choice
from annexfleet_controller.web.pages.sign_in import set_cookie
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

Oneself = Annotated[Person, Depends(Needs("own_account"))]
KeyMaker = Annotated[Person, Depends(Needs("own_keys"))]
Text = Annotated[str, Form(max_length=1000)]


async def _form(request: Request) -> FormData:
    return await request.form()  # parsed once already, for the token in it


Typed = Annotated[FormData, Depends(_form)]


class KeyFields(Struct, frozen=True, kw_only=True):
    """The form for a new key as it was typed."""

    name: str = ""
    role: str = ""
    reads_only: bool = True
    days: str = "90"
    annexes: tuple[str, ...] = ()


@router.get("/account")
def show(*, person: Oneself, db: Db, home: HomeOf, now: Now, language: LanguageOf, page: Page) -> HTMLResponse:
    user = accounts.by_id(db, person.user_id)
    return page(
        "account.html",
        user=user,
        places=annex_choice.names(db, person.scope, language),
        factor=factor.standing(db, home, person.user_id),
        sessions=[
            (sessions.public_id(row.digest), row, clients.client(row.client), row.digest == person.digest)
            for row in _open(db, person, home.settings, now)
        ],
        keys=keys.shown(db, program_keys.listing(db, user_id=person.user_id), now=now),
    )


# -- the password


@router.get("/password")
def ask_password(person: Oneself, page: Page) -> HTMLResponse:
    return page("password.html", problem="", reason="", wait_s=0, rules=passwords.RULES)


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
        return page("password.html", status=422, problem="passwords_differ", reason="", wait_s=0, rules=passwords.RULES)
    try:
        cookie = signing_in.change_password(
            engine, person.name, old, new, address=client_address(request), now=now, client=client_name(request)
        )
    except (PasswordWeak, SignInRefused, TooManyAttempts) as refused:
        reason = str(refused.facts.get("reason", ""))
        wait_s = refused.facts.get("wait_s", 0)
        problem = "old_password_wrong" if isinstance(refused, SignInRefused) else refused.code
        return page("password.html", status=422, problem=problem, reason=reason, wait_s=wait_s, rules=passwords.RULES)
    response = RedirectResponse("/" if person.must_change_password else "/account", 303)
    set_cookie(response, cookie, home.settings)
    return response


# -- sessions


@router.post("/account/sessions/end-others")
def end_others(person: Oneself, db: WritingDb) -> Response:
    people.close_sessions(db, person.user_id, but=person.digest)
    return RedirectResponse("/account#sessions", 303)


@router.post("/account/sessions/{session_id}/end")
def end_session(session_id: str, person: Oneself, db: WritingDb, home: HomeOf, now: Now) -> Response:
    """End one of one's own; the one of this browser too, which then is signed out."""
    for row in _open(db, person, home.settings, now):
        if hmac.compare_digest(sessions.public_id(row.digest).encode(), session_id.encode()):
            people.close_session(db, row.digest)
            return RedirectResponse("/account#sessions", 303)
    raise SessionUnknown


def _open(db: Session, person: Person, settings: Settings, now: Now) -> list[SessionRow]:
    created_after, used_after = sessions.limits(settings, now)
    return list(people.sessions_of(db, person.user_id, created_after=created_after, used_after=used_after))


# -- keys for programs


@router.get("/account/keys/new")
def ask_key(person: KeyMaker, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    return page("account_key.html", **_key_form(db, person, language, KeyFields(role="staff")))


@router.post("/account/keys")
def make_key(
    *, person: KeyMaker, request: Request, typed: Typed, engine: EngineOf, now: Now, language: LanguageOf, page: Page,
    sending: SendingOf,
) -> HTMLResponse:  # fmt: skip
    """The key is in this answer and nowhere else, so there is no redirect.

    It outlives the session, which may be one that somebody left open: so the password is asked for again.
    """
    if person.via != "session":
        raise BySessionOnly
    fields = KeyFields(
        name=_text(typed, "name"), role=_text(typed, "role"), reads_only=bool(_text(typed, "reads_only")),
        days=_text(typed, "days"), annexes=annex_choice.chosen(typed),
    )  # fmt: skip
    owner = keys.Owner(person.user_id, person.name, person.role, person.scope)
    try:
        signing_in.check_password(
            engine, person.name, _text(typed, "password"), address=client_address(request), now=now
        )
        with writing(engine) as db:
            sending.claim(db, person, now=now)
            bounds = keys.Bounds(
                role=fields.role, reads_only=fields.reads_only,
                annexes=annex_choice.reach(db, person.scope, typed),
            )  # fmt: skip
            days = _days(fields.days)
            key = keys.make(db, owner, fields.name, bounds, days=days, now=now, by=person.name, via=person.via)
    except (AccountWrong, SignInRefused, TooManyAttempts) as refused:
        with reading(engine) as db:
            shown = _key_form(db, person, language, fields, reach=_text(typed, "reach"), refused=refused)
        return page("account_key.html", status=422, **shown)
    with reading(engine) as db:
        shown = _key_form(db, person, language, fields)
    return page("account_key.html", status=201, **(shown | {"made": key}))


@router.post("/account/keys/{key_id}/revoke")
def revoke_key(key_id: str, person: KeyMaker, db: WritingDb, now: Now) -> Response:
    keys.revoke(db, key_id, person, now=now)
    return RedirectResponse("/account#keys", 303)


def _key_form(
    db: Session, person: Person, language: LanguageOf, fields: KeyFields, *, reach: str = "province",
    refused: AccountWrong | SignInRefused | TooManyAttempts | None = None,
) -> dict[str, object]:  # fmt: skip
    facts = {} if refused is None else refused.facts
    problem = "" if refused is None or isinstance(refused, AccountWrong) else refused.code
    return {
        "made": "",
        "problem": "old_password_wrong" if isinstance(refused, SignInRefused) else problem,
        "wait_s": facts.get("wait_s", 0),
        "fields": fields,
        "reach": reach,
        "roles": [role for role in ROLES if lower(role, person.role) == role],
        "choices": annex_choice.choices(db, person.scope, language),
        "wrong_field": facts.get("field", ""),
        "wrong_reason": facts.get("reason", ""),
        "longest_days": keys.LONGEST_DAYS,
    }


def _days(text: str) -> int:
    """Raises AccountWrong: what is made in a browser ends some day."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= keys.LONGEST_DAYS):
        raise AccountWrong("not a number of days", field="days", reason="days_wrong")
    return int(text)


def _text(form: FormData, name: str) -> str:
    found = form.get(name, "")
    return found[:1000] if isinstance(found, str) else ""
