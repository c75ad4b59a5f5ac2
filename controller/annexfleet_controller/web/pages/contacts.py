"""/admin/contacts: whom notices go to, what each wants to hear, and what failed."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.calendars.document import WEEKDAYS
from annexfleet_controller.errors import AnnexUnknown, ContactWrong, SettingChanged
from annexfleet_controller.i18n.catalogues import CODES, Language
from annexfleet_controller.notify import book, planning
from annexfleet_controller.notify.channels import shown, ways_of
from annexfleet_controller.notify.contacts import MOST_ROUTES, RouteWish, Wish, checked
from annexfleet_controller.notify.model import CONTACT_KINDS, HOURS
from annexfleet_controller.store import accounts, contacts, notices, people
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.notices import Contact, ContactRoute
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending import contacts as tending
from annexfleet_controller.things import AUDIENCES, SEVERITIES
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin", include_in_schema=False)

Editing = Annotated[Person, Depends(Needs("edit_contacts"))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
_NOTICES_SHOWN = 50


async def _form(request: Request) -> FormData:
    return await request.form()  # parsed once already, for the token in it


Form = Annotated[FormData, Depends(_form)]


class RouteFields(Struct, frozen=True, kw_only=True):
    """One route as its form shows it: every field a text, whatever was typed."""

    audiences: tuple[str, ...] = ("it",)
    annexes: tuple[str, ...] = ()
    min_severity: str = "warning"
    hours: str = "always"
    week: tuple[str, ...] = ("",) * 7
    """From Monday, such as `08:30-12:00 14:00-18:30`."""
    critical_always: bool = True
    level: str = "0"
    after_minutes: str = "30"


class Fields(Struct, frozen=True, kw_only=True):
    """A contact as its form shows it."""

    name: str = ""
    kind: str = "email"
    address: str = ""
    language: str = CODES[0]
    enabled: bool = True
    user: str = ""
    """The name of the account that it belongs to."""
    routes: tuple[RouteFields, ...] = (RouteFields(),)


_OF_ROUTE = re.compile(r"^routes\.(\d+)\.")


@router.get("/contacts")
def list_contacts(person: Editing, db: Db, now: Now, page: Page) -> HTMLResponse:
    return page("contacts.html", done=acts.newest(db, person, now, "contact:"), **_listed(db))


@router.get("/contacts/new")
def ask_contact(person: Editing, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    return page("contact.html", **_shown(db, language, Fields(), None))


@router.post("/contacts")
def create_contact(
    *, person: Editing, form: Form, db: WritingDb, home: HomeOf, language: LanguageOf, now: Now, page: Page
) -> Response:
    """A webhook's secret is in this answer and nowhere else, so there is no redirect then."""
    fields = _typed(form)
    try:
        new, routes = checked(_wish(db, fields, form, None), None, ways_of(home.settings))
        with db.begin_nested():
            made = tending.create(db, acts.hand(person), new, routes, now=now)
    except (ContactWrong, AnnexUnknown) as wrong:
        return page("contact.html", status=422, **_shown(db, language, fields, None, wrong=wrong))
    if made.secret:
        fields = _kept(db, made)
        return page("contact.html", status=201, **_shown(db, language, fields, made, secret=made.secret))
    return RedirectResponse(f"/admin/contacts/{made.id}", 303)


@router.get("/contacts/{contact_id}")
def show_contact(
    *, contact_id: Id, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page
) -> HTMLResponse:  # fmt: skip
    contact = contacts.get(db, contact_id)
    fields = _kept(db, contact)
    return page(
        "contact.html",
        **_shown(db, language, fields, contact, done=acts.newest(db, person, now, f"contact:{contact_id}")),
    )


@router.post("/contacts/{contact_id}")
def change_contact(
    *,
    contact_id: Id,
    person: Editing,
    form: Form,
    db: WritingDb,
    home: HomeOf,
    language: LanguageOf,
    now: Now,
    page: Page,
) -> Response:
    contact, fields = contacts.get(db, contact_id), _typed(form)
    try:
        new, routes = checked(_wish(db, fields, form, contact.user_id), contact, ways_of(home.settings))
        with db.begin_nested():
            version = acts.number(form, "version")
            tending.change(db, acts.hand(person), contact_id, new, routes, version=version, now=now)
    except (ContactWrong, AnnexUnknown) as wrong:
        return page("contact.html", status=422, **_shown(db, language, fields, contact, wrong=wrong))
    except SettingChanged as changed:
        return page("contact.html", status=409, **_shown(db, language, fields, contact, wrong=changed))
    return RedirectResponse(f"/admin/contacts/{contact_id}", 303)


@router.post("/contacts/{contact_id}/test")
def test_contact(contact_id: Id, person: Editing, db: WritingDb, now: Now) -> Response:
    planning.queue_test(db, contact_id, now=now)
    return RedirectResponse(f"/admin/contacts/{contact_id}", 303)


@router.post("/contacts/{contact_id}/remove")
def remove_contact(contact_id: Id, person: Editing, db: WritingDb, now: Now) -> Response:
    tending.remove(db, acts.hand(person), contact_id, now=now)
    return RedirectResponse("/admin/contacts", 303)


@router.post("/notices/{notice_id}/retry")
def retry_notice(notice_id: Id, person: Editing, db: WritingDb, now: Now) -> Response:
    row = notices.retry(db, notice_id, now=now)
    return RedirectResponse(f"/admin/contacts/{row.contact_id}", 303)


# -- what is shown


def _listed(db: Session) -> dict[str, Any]:
    routes, failing = contacts.routes(db), notices.failing(db)
    return {
        "contacts": [
            (one, shown(book.kind_of(one), one.address), len(routes.get(one.id, [])), failing.get(one.id))
            for one in contacts.listing(db)
        ],
        "failed": notices.listing(db, state="failed", limit=_NOTICES_SHOWN),
    }


def _shown(
    db: Session, language: Language, fields: Fields, contact: Contact | None, *,
    wrong: ContactWrong | AnnexUnknown | SettingChanged | None = None, secret: str = "", done: Step | None = None,
) -> dict[str, Any]:  # fmt: skip
    days = language.locale.days["stand-alone"]["wide"]
    return {
        "fields": fields,
        "contact": contact,
        "seen": "" if contact is None else shown(book.kind_of(contact), contact.address),
        "notices": [] if contact is None else notices.listing(db, contact_id=contact.id, limit=_NOTICES_SHOWN),
        "secret": secret,
        "done": done,
        "problem": "" if wrong is None else wrong.code,
        "wrong": None if wrong is None or isinstance(wrong, SettingChanged) else _wrong(wrong),
        "routes": [*fields.routes, RouteFields(audiences=())][:MOST_ROUTES],
        "places": names_of(db, WHOLE, language.code),
        "weekdays": [days[number] for number in range(7)],
        "kinds": CONTACT_KINDS,
        "audiences": AUDIENCES,
        "severities": SEVERITIES,
        "hours": HOURS,
    }


def _wrong(wrong: ContactWrong | AnnexUnknown) -> acts.Wrong:
    """The name of the field at fault, as the form has it, and why."""
    if isinstance(wrong, AnnexUnknown):
        return acts.Wrong("annexes", "unknown")
    found = acts.wrong(wrong.facts)
    return acts.Wrong(_OF_ROUTE.sub(r"route\1_", found.field), found.reason)


def _kept(db: Session, contact: Contact) -> Fields:
    return Fields(
        name=contact.name, kind=contact.kind, language=contact.language, enabled=contact.enabled,
        user="" if contact.user_id is None else accounts.by_id(db, contact.user_id).name,
        routes=tuple(_kept_route(row) for row in contacts.routes(db, contact.id).get(contact.id, [])),
    )  # fmt: skip


def _kept_route(row: ContactRoute) -> RouteFields:
    route, week = book.route(row), book.week_document(row) or {}
    return RouteFields(
        audiences=route.audiences, annexes=route.annexes or (), min_severity=route.min_severity, hours=route.hours,
        week=tuple(" ".join("-".join(span) for span in week.get(day, [])) for day in WEEKDAYS),
        critical_always=route.critical_always, level=str(route.level), after_minutes=f"{route.after_s / 60:g}",
    )  # fmt: skip


# -- what was typed


def _typed(form: FormData) -> Fields:
    """The form as it came back; a route that nobody is ticked in is taken out."""
    routes = (_typed_route(form, f"route{number}_") for number in range(MOST_ROUTES))
    return Fields(
        name=_text(form, "name"), kind=_text(form, "kind"), address=_text(form, "address"),
        language=_text(form, "language"), enabled=bool(_text(form, "enabled")), user=_text(form, "user").strip(),
        routes=tuple(route for route in routes if route.audiences),
    )  # fmt: skip


def _typed_route(form: FormData, start: str) -> RouteFields:
    return RouteFields(
        audiences=tuple(_texts(form, f"{start}audiences")), annexes=tuple(_texts(form, f"{start}annexes")),
        min_severity=_text(form, f"{start}min_severity"), hours=_text(form, f"{start}hours"),
        week=tuple(_text(form, f"{start}{day}") for day in WEEKDAYS),
        critical_always=bool(_text(form, f"{start}critical_always")), level=_text(form, f"{start}level"),
        after_minutes=_text(form, f"{start}after_minutes"),
    )  # fmt: skip


def _wish(db: Session, fields: Fields, form: FormData, user_id: int | None) -> Wish:
    """Whose it is stays `user_id` where the form does not say.

    Raises ContactWrong where a number is none, or there is no account of that name.
    """
    if "user" in form:
        user = people.by_name(db, fields.user) if fields.user else None
        if fields.user and user is None:
            raise ContactWrong("no such account", field="user", reason="unknown")
        user_id = None if user is None else user.id
    return Wish(
        name=fields.name, kind=fields.kind, address=fields.address, secret=_text(form, "secret"),
        language=fields.language, enabled=fields.enabled, user_id=user_id,
        routes=tuple(_route_wish(route, f"routes.{place}") for place, route in enumerate(fields.routes)),
    )  # fmt: skip


def _route_wish(route: RouteFields, field: str) -> RouteWish:
    return RouteWish(
        audiences=route.audiences, annexes=route.annexes or None, min_severity=route.min_severity, hours=route.hours,
        week={day: _spans(text) for day, text in zip(WEEKDAYS, route.week, strict=True) if text.strip()},
        critical_always=route.critical_always, level=_number(route.level, f"{field}.level"),
        after_minutes=_number(route.after_minutes, f"{field}.after_minutes"),
    )  # fmt: skip


def _spans(text: str) -> list[list[str]]:
    """`08:30-12:00 14:00-18:30` as a calendar's document has it; what is no time is found out there."""
    return [span.replace("–", "-").split("-") for span in text.replace(",", " ").split()]


def _number(text: str, field: str) -> int:
    if not text.strip():
        return 0
    if not (text.strip().isdecimal() and len(text) <= 6):
        raise ContactWrong("not a number", field=field, reason="not_understood")
    return int(text)


def _text(form: FormData, name: str) -> str:
    found = form.get(name, "")
    return found[:4000] if isinstance(found, str) else ""


def _texts(form: FormData, name: str) -> list[str]:
    return [one for one in form.getlist(name) if isinstance(one, str)][:2000]
