"""/admin/services: what citizens can come for in the province, and what each service needs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import ServicesWrong, ServiceUnknown, SettingChanged, SettingWrong
from annexfleet_controller.readiness import document
from annexfleet_controller.readiness.model import CAPABILITIES
from annexfleet_controller.readiness.services import DEFAULT_NEEDS, NeedDefinition, ServiceDefinition, catalogue
from annexfleet_controller.store import readiness, service_words
from annexfleet_controller.tending import services as tending
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.services import need_typed, needed
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin/services", include_in_schema=False)


async def _form(request: Request) -> FormData:
    return await request.form()


Editing = Annotated[Person, Depends(Needs("edit_province_services"))]
Form = Annotated[FormData, Depends(_form)]
Code = Annotated[str, Path(max_length=64)]


class Row(Struct, frozen=True):
    """A need in the form; fields hold what was typed."""

    capability: str
    needed: bool = False
    at_least: str = "1"
    full: str = ""
    required: bool = False
    instead: str = ""
    of: tuple[str, ...] = ()


@router.get("")
def list_services(person: Editing, db: Db, now: Now, language: LanguageOf, page: Page) -> HTMLResponse:
    return page("catalogue.html", **_listed(db, person, now, language))


@router.get("/{code}")
def show_service(*, code: Code, person: Editing, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    """One of the catalogue, or `+` for one to be added."""
    known = catalogue(readiness.own_services(db))
    if code != "+" and code not in known:
        raise ServiceUnknown
    service = known.get(code)
    typed = {"code": "" if service is None else code} | _names(service)
    needs = None if service is None else service.needs
    return page("catalogue_service.html", **_asked(db, code, typed, _rows(needs), own_needs=needs is not None))


@router.post("/{code}")
def put_service(*, code: Code, person: Editing, form: Form, db: WritingDb, now: Now, page: Page) -> Response:
    """Describe it; where several annexes use it, after a page that says how many."""
    typed = {name: acts.text(form, name, 200) for name in ("code", "name_fr", "name_ar", "name_en")}
    if code != "+":
        typed["code"] = code
    numbers = needed(form)
    own_needs = acts.text(form, "needs") == "own"
    shown: dict[str, Any] = _asked(db, code, typed, _typed(form, numbers), own_needs=own_needs)
    shown["read"] = read = acts.text(form, "read", 40)
    try:
        service = _parsed(typed, [need_typed(form, number) for number in numbers] if own_needs else None)
        if code == "+" and service.code in catalogue(readiness.own_services(db)):
            return page("catalogue_service.html", status=422, **shown | {"wrong": acts.Wrong("code", "taken")})
        with db.begin_nested():
            tending.change(db, acts.hand(person), service, read=read, confirmed=acts.confirmed(form), now=now)
    except ServicesWrong as refused:
        return page("catalogue_service.html", status=422, **shown | {"services_wrong": refused.facts})
    except SettingChanged as changed:
        again = shown | {"problem": changed.code, "read": tending.stands(db, "", typed["code"])}
        return page("catalogue_service.html", status=409, **again)
    except Unconfirmed:
        return acts.question(
            page, form, tending.changing(db, service), act="service.change", action=f"/admin/services/{code}",
            back="/admin/services", subject=service.name_fr or service.code, came_back=bool(acts.confirmed(form)),
        )  # fmt: skip
    return RedirectResponse("/admin/services", 303)


@router.post("/{code}/remove")
def remove_service(
    *, code: Code, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """One of the usual services is as it comes again; one of the province's own is gone, if no annex uses it."""
    try:
        with db.begin_nested():
            tending.remove(db, acts.hand(person), code, read=acts.text(form, "read", 40), now=now)
    except (SettingWrong, SettingChanged) as refused:
        status = 422 if isinstance(refused, SettingWrong) else 409
        shown = _listed(db, person, now, language)
        reason = str(refused.facts.get("reason", ""))
        return page("catalogue.html", status=status, **shown | {"refused": (code, reason)})
    return RedirectResponse("/admin/services", 303)


def _parsed(typed: dict[str, str], needs: list[Any] | None) -> ServiceDefinition:
    """Raises ServicesWrong."""
    names = {language: typed[f"name_{language}"] for language in document.LANGUAGES}
    if not names["fr"].strip() or not names["ar"].strip():
        raise ServicesWrong(field="name.fr" if not names["fr"].strip() else "name.ar", reason="missing")
    return document.parse_service({"code": typed["code"].strip(), "name": names, "needs": needs})


def _listed(db: Db, person: Person, now: Now, language: LanguageOf) -> dict[str, Any]:
    own = {service.code for service in readiness.own_services(db)}
    users = service_words.users(db)
    known = catalogue(readiness.own_services(db))
    return {
        "services": [
            (service, service.name(language.code), code in own, users.get(code, 0), tending.stands(db, "", code))
            for code, service in sorted(known.items())
        ],
        "built_in": tending.BUILT_IN,
        "default_needs": DEFAULT_NEEDS,
        "refused": ("", ""),
        "done": acts.newest(db, person, now, "service:", annex=""),
    }


def _asked(db: Db, code: str, typed: dict[str, str], rows: list[Row], *, own_needs: bool) -> dict[str, Any]:
    return {
        "code": code, "typed": typed, "rows": rows, "own_needs": own_needs, "services_wrong": {}, "wrong": None,
        "problem": "", "read": "" if code == "+" else tending.stands(db, "", code),
    }  # fmt: skip


def _names(service: ServiceDefinition | None) -> dict[str, str]:
    if service is None:
        return {"name_fr": "", "name_ar": "", "name_en": ""}
    return {"name_fr": service.name_fr, "name_ar": service.name_ar, "name_en": service.name_en}


def _rows(needs: tuple[NeedDefinition, ...] | None) -> list[Row]:
    """What it needs now, else what every service needs, and an empty row for each other capability."""
    there = DEFAULT_NEEDS if needs is None else needs
    rows = [
        Row(
            need.capability, True, "" if need.at_least is None else str(need.at_least),
            "" if need.full is None else str(need.full), need.required, ",".join(need.instead), need.of,
        )
        for need in there
    ]  # fmt: skip
    return rows + [Row(name) for name in CAPABILITIES if name not in {need.capability for need in there}]


def _typed(form: FormData, numbers: list[int]) -> list[Row]:
    count = document.MOST_NEEDS + len(CAPABILITIES)
    return [
        Row(
            capability, number in numbers, acts.text(form, f"at_least-{number}", 20),
            acts.text(form, f"full-{number}", 20), bool(acts.text(form, f"required-{number}")),
            acts.text(form, f"instead-{number}", 100), tuple(acts.texts(form, f"of-{number}", 100)),
        )
        for number in range(count)
        if (capability := acts.text(form, f"capability-{number}", 20)) in CAPABILITIES
    ]  # fmt: skip
