"""/admin: tokens for new devices, and messages that were set aside."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import SendingOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import TokenUnknown
from annexfleet_controller.identity import authority
from annexfleet_controller.identity import tokens as making
from annexfleet_controller.store import annexes, audit, fleet, tokens
from annexfleet_controller.web.enrol_sheet import sheet
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin", include_in_schema=False)

Managing = Annotated[Person, Depends(Needs("manage_tokens"))]
_SET_ASIDE_SHOWN = 100


@router.get("/tokens")
def list_tokens(
    *,
    person: Managing,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    annex: Annotated[str, Query(max_length=63)] = "",
) -> HTMLResponse:
    return page("tokens.html", sheet=None, **_tokens(person, db, now, language, annex))


@router.post("/tokens")
def create_token(
    *,
    person: Managing,
    db: WritingDb,
    now: Now,
    home: HomeOf,
    language: LanguageOf,
    page: Page,
    sending: SendingOf,
    annex: Annotated[str, Form(max_length=63)],
    role: Annotated[str, Form(max_length=16)] = "counter",
    devices: Annotated[int, Form(ge=1, le=500)] = 1,
    hours: Annotated[int, Form(ge=1, le=14 * 24)] = 72,
) -> HTMLResponse:
    """Shows the token with the command to type; it is in this answer and nowhere else, so there is no redirect."""
    place = annexes.get(db, person.scope, annex)
    sending.claim(db, person, now=now)
    text = making.create(
        db,
        annex_id=place.id,
        role=role,
        max_devices=devices,
        expires_at=now + timedelta(hours=hours),
        created_by=person.name,
        via=person.via,
        enrol_url=home.enrol_url,
        authority_pin=authority.load(home).pin,
        now=now,
    )
    made = sheet(text, place, role=role, devices=devices, until=now + timedelta(hours=hours))
    return page("tokens.html", status=201, sheet=made, **_tokens(person, db, now, language, annex))


@router.post("/tokens/{token_id}/revoke")
def revoke_token(token_id: str, person: Managing, db: WritingDb, now: Now) -> Response:
    token = tokens.find(db, token_id)
    if token is None or not person.scope.covers(token.annex_id):
        raise TokenUnknown
    if tokens.revoke(db, token_id, now):
        audit.add(
            db, now=now, actor=person.name, via=person.via, act="token.revoke", subject=f"token:{token_id}",
            annex_id=token.annex_id,
        )  # fmt: skip
    return RedirectResponse("/admin/tokens", 303)


@router.get("/set-aside")
def list_set_aside(
    person: Annotated[Person, Depends(Needs("see_set_aside"))],
    db: Db,
    page: Page,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> HTMLResponse:
    rows = fleet.set_aside(db, person.scope, before=before, limit=_SET_ASIDE_SHOWN + 1)
    shown = rows[:_SET_ASIDE_SHOWN]
    return page(
        "set_aside.html",
        messages=shown,
        older=shown[-1].id if len(rows) > _SET_ASIDE_SHOWN else None,
    )


def _tokens(person: Person, db: Db, now: Now, language: LanguageOf, annex: str) -> dict[str, object]:
    names = names_of(db, person.scope, language.code)
    confined = None if person.scope.annexes is None else sorted(person.scope.annexes)
    listed = [
        (token, "revoked" if token.revoked_at else "expired" if token.expires_at <= now
         else "used_up" if token.used >= token.max_devices else "good")
        for token in tokens.listing(db, annex_ids=confined)
    ]  # fmt: skip
    return {
        "tokens": listed,
        "names": names,
        "annex": annex,
        "roles": making.ROLES,
        "may_create": person.may("create_annexes"),
    }
