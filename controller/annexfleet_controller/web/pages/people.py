"""/admin/people: accounts, made and changed by administrators of the whole province."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access import users
from annexfleet_controller.access.asked import Db, EngineOf, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.errors import AccountWrong, LastAdmin, NotOneself
from annexfleet_controller.access.person import Person
from annexfleet_controller.access.roles import ROLES
from annexfleet_controller.access.users import By, Profile
from annexfleet_controller.errors import UserExists
from annexfleet_controller.settings import Home
from annexfleet_controller.store import accounts
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.errors import PersonChanged
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.people import User
from annexfleet_controller.web import annex_choice
from annexfleet_controller.web.render import Page, Renders

router = APIRouter(prefix="/admin/people", include_in_schema=False)

Managing = Annotated[Person, Depends(Needs("manage_people"))]
InPerson = Annotated[Person, Depends(Needs("manage_people", in_person=True))]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
_SHOWN = 50
_Refused = AccountWrong | UserExists | PersonChanged | NotOneself | LastAdmin


def _site(request: Request) -> str:
    """Where one signs in, as one types it."""
    home: Home = request.app.state.home
    return home.settings.public_url or str(request.base_url)


Site = Annotated[str, Depends(_site)]


async def _form(request: Request) -> FormData:
    return await request.form()  # parsed once already, for the token in it


Typed = Annotated[FormData, Depends(_form)]


class Fields(Struct, frozen=True, kw_only=True):
    """An account as its form shows it, whatever was typed."""

    name: str = ""
    full_name: str = ""
    email: str = ""
    role: str = "staff"
    language: str = ""
    reach: str = "annexes"
    """province, or annexes: those named"""
    annexes: tuple[str, ...] = ()
    version: str = ""


# -- looking


@router.get("")
def list_people(
    *,
    person: Managing,
    db: Db,
    home: HomeOf,
    now: Now,
    page: Page,
    search: Annotated[str, Query(max_length=100)] = "",
    role: Annotated[str, Query(max_length=16)] = "",
    state: Annotated[Literal["", "open", "disabled"], Query()] = "",
    after: Annotated[str, Query(max_length=80)] = "",
) -> HTMLResponse:
    """People by name, fifty a page; `after` is the last name of the page before."""
    asked = {"search": search.strip(), "role": role if role in ROLES else "", "state": state}
    found = accounts.listing(
        db, search=asked["search"], role=asked["role"], disabled={"open": False, "disabled": True}.get(state),
        after=after, limit=_SHOWN + 1,
    )  # fmt: skip
    shown = found[:_SHOWN]
    ids = [user.id for user in shown]
    seen_after = now - timedelta(hours=home.settings.session_hours)
    return page(
        "people.html",
        people=shown,
        annexes=accounts.annexes(db, ids),
        seen=accounts.last_seen(db, ids, used_after=seen_after),
        asked=asked,
        after=after,
        roles=ROLES,
        older={**asked, "after": shown[-1].name} if len(found) > _SHOWN else {},
    )


@router.get("/new")
def ask_person(person: Managing, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    return page("person.html", **_form_of(db, language, Fields(), None))


@router.get("/{user_id}")
def show_person(
    *, user_id: Id, person: Managing, db: Db, language: LanguageOf, page: Page,
    saved: Annotated[str, Query(max_length=9)] = "",
) -> HTMLResponse:  # fmt: skip
    """`saved`: what was typed was saved just now."""
    user = accounts.by_id(db, user_id)
    return page("person.html", **_form_of(db, language, _kept(db, user), user) | {"saved": saved == "1"})


# -- making and changing


@router.post("")
def create_person(
    *, person: Managing, typed: Typed, engine: EngineOf, now: Now, language: LanguageOf, page: Page, site: Site
) -> Response:
    """The one-time password is in this answer and nowhere else, so there is no redirect."""
    fields = _typed(typed)
    with writing(engine) as db:
        try:
            name, profile = users.checked_name(fields.name), users.checked(_profile(db, fields, typed))
        except AccountWrong as wrong:
            return page("person.html", status=422, **_form_of(db, language, fields, None, refused=wrong))
    new = users.prepared()
    with writing(engine) as db:
        try:
            user = users.add(db, name, profile, new, now=now, by=_by(person))
        except UserExists as refused:
            return page("person.html", status=409, **_form_of(db, language, fields, None, refused=refused))
        return _sheet(page, site, user, new, status=201)


@router.post("/{user_id}")
def change_person(
    *, user_id: Id, person: Managing, typed: Typed, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Names are saved at once; a role or annexes when what hangs on them was shown and confirmed."""
    user, fields = accounts.by_id(db, user_id), _typed(typed)
    try:
        with db.begin_nested():
            before = users.profile_of(db, user)
            wish = users.checked(_profile(db, fields, typed, held=before.annexes))
            weighs = (wish.role, wish.annexes) != (before.role, before.annexes)
            if weighs and user.id != person.user_id and not _text(typed, "confirmed"):
                effects = _effects(db, user, before, wish)
                return page("person_confirm.html", user=user, fields=fields, doing="edit", **effects)
            users.edit(db, user, wish, version=_version(fields.version), now=now, by=_by(person))
    except (AccountWrong, PersonChanged, NotOneself, LastAdmin) as refused:
        db.expire_all()
        user = accounts.by_id(db, user_id)
        if isinstance(refused, PersonChanged):
            fields = _kept(db, user)
        status = 422 if isinstance(refused, AccountWrong) else 409
        return page("person.html", status=status, **_form_of(db, language, fields, user, refused=refused))
    return RedirectResponse(f"/admin/people/{user_id}?saved=1", 303)


@router.get("/{user_id}/disable")
def ask_disable(user_id: Id, person: Managing, db: Db, page: Page) -> HTMLResponse:
    """What shutting out would end."""
    user = accounts.by_id(db, user_id)
    before = users.profile_of(db, user)
    return page(
        "person_confirm.html", user=user, fields=_kept(db, user), doing="disable", **_effects(db, user, before, before)
    )


@router.post("/{user_id}/disable")
def disable_person(
    *, user_id: Id, person: Managing, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    user = accounts.by_id(db, user_id)
    try:
        users.shut_out(db, user, now=now, by=_by(person))
    except (NotOneself, LastAdmin) as refused:
        return page("person.html", status=409, **_form_of(db, language, _kept(db, user), user, refused=refused))
    return RedirectResponse(f"/admin/people/{user_id}", 303)


@router.post("/{user_id}/enable")
def enable_person(*, user_id: Id, person: InPerson, engine: EngineOf, now: Now, page: Page, site: Site) -> HTMLResponse:
    """With a one-time password, in this answer and nowhere else."""
    new = users.prepared()
    with writing(engine) as db:
        user = accounts.by_id(db, user_id)
        users.let_in(db, user, new, now=now, by=_by(person))
        return _sheet(page, site, user, new)


@router.post("/{user_id}/reset")
def reset_password(
    *, user_id: Id, person: InPerson, engine: EngineOf, now: Now, page: Page, site: Site
) -> HTMLResponse:
    """A one-time password, in this answer and nowhere else."""
    new = users.prepared()
    with writing(engine) as db:
        user = accounts.by_id(db, user_id)
        users.give_password(db, user, new, now=now, by=_by(person))
        return _sheet(page, site, user, new)


@router.post("/{user_id}/reset-factor")
def reset_factor(user_id: Id, person: InPerson, db: WritingDb, now: Now) -> Response:
    users.reset_factor(db, accounts.by_id(db, user_id), now=now, by=_by(person))
    return RedirectResponse(f"/admin/people/{user_id}", 303)


@router.post("/{user_id}/end-sessions")
def end_sessions(user_id: Id, person: Managing, db: WritingDb, now: Now) -> Response:
    users.end_sessions(db, accounts.by_id(db, user_id), now=now, by=_by(person))
    return RedirectResponse(f"/admin/people/{user_id}", 303)


# -- what is shown


def _form_of(
    db: Session, language: LanguageOf, fields: Fields, user: User | None, *, refused: _Refused | None = None
) -> dict[str, Any]:
    facts = {} if refused is None else refused.facts
    held = () if user is None else users.profile_of(db, user).annexes
    return {
        "fields": fields,
        "user": user,
        "saved": False,
        "holdings": None if user is None else accounts.holdings(db, user.id),
        "choices": annex_choice.choices(db, WHOLE, language, held=held),
        "roles": ROLES,
        "problem": "" if refused is None else refused.code,
        "wrong_field": str(facts.get("field", "")),
        "wrong_reason": str(facts.get("reason", "")),
        "wrong_annex": str(facts.get("annex", "")),
    }


def _effects(db: Session, user: User, before: Profile, wish: Profile) -> dict[str, Any]:
    return {
        "before": before,
        "wish": wish,
        "holdings": accounts.holdings(db, user.id),
        "dead_keys": users.effect_on_keys(db, user, wish),
    }


def _sheet(page: Renders, site: str, user: User, new: users.Prepared, *, status: int = 200) -> HTMLResponse:
    return page("person_password.html", status=status, user=user, password=new.password, site=site)


def _kept(db: Session, user: User) -> Fields:
    profile = users.profile_of(db, user)
    return Fields(
        name=user.name, full_name=user.full_name, email=user.email, role=user.role, language=user.language,
        reach="annexes" if profile.annexes else "province", annexes=profile.annexes, version=str(user.version),
    )  # fmt: skip


# -- what was typed


def _typed(form: FormData) -> Fields:
    return Fields(
        name=_text(form, "name"), full_name=_text(form, "full_name"), email=_text(form, "email"),
        role=_text(form, "role"), language=_text(form, "language"), reach=_text(form, "reach"),
        annexes=annex_choice.chosen(form), version=_text(form, "version"),
    )  # fmt: skip


def _profile(db: Session, fields: Fields, form: FormData, *, held: tuple[str, ...] = ()) -> Profile:
    """Raises AccountWrong where annexes are meant and none, or one that is not there, is named."""
    return Profile(
        role=fields.role, annexes=annex_choice.reach(db, WHOLE, form, held=held), full_name=fields.full_name,
        email=fields.email, language=fields.language,
    )  # fmt: skip


def _version(text: str) -> int:
    """0, which no account ever has, for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else 0


def _by(person: Person) -> By:
    return By(person.name, person.via, person.user_id)


def _text(form: FormData, name: str) -> str:
    found = form.get(name, "")
    return found[:400] if isinstance(found, str) else ""
