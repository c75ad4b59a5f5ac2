"""/admin/annexes and /admin/districts: made, changed, closed for good, opened again."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import AnnexExists, OutOfService, SettingChanged, SettingWrong
from annexfleet_controller.store import annexes, districts
from annexfleet_controller.store.tables.places import Annex, District
from annexfleet_controller.tending import annexes as tending
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.tending.typed import AnnexWish
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin", include_in_schema=False)

PAGE_SIZE = 50
ZONES = ("Africa/Casablanca", "Africa/El_Aaiun")
"""Those of the country, to choose from; any other can be typed."""
_BLANK = {"id": "", "name_fr": "", "name_ar": "", "time_zone": "Africa/Casablanca", "district": "", "note": ""}


async def _form(request: Request) -> FormData:
    return await request.form()


Editing = Annotated[Person, Depends(Needs("edit_annexes"))]
Creating = Annotated[Person, Depends(Needs("create_annexes"))]
Form = Annotated[FormData, Depends(_form)]


@router.get("/annexes")
def list_annexes(
    *,
    person: Editing,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    search: Annotated[str, Query(max_length=100)] = "",
    district: Annotated[str | None, Query(max_length=63)] = None,
    closed: Annotated[str, Query(max_length=3)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:
    """A page of the annexes in sight."""
    asked = {"search": search, "district": district or "", "closed": closed}
    return page(
        "annexes_admin.html", **_listed(db, person, now, language, asked=asked, number=number), typed=_BLANK, wrong=None
    )


@router.post("/annexes")
def create_annex(
    *, person: Creating, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    typed = {name: acts.text(form, name) for name in _BLANK} | {"time_zone": acts.text(form, "time_zone") or _ZONE}
    try:
        with db.begin_nested():
            made = tending.create(db, acts.hand(person), typed["id"], _wish(typed), now=now)
    except (SettingWrong, AnnexExists) as refused:
        why = acts.wrong(refused.facts) if isinstance(refused, SettingWrong) else acts.Wrong("id", "taken")
        listed = _listed(db, person, now, language)
        return page("annexes_admin.html", status=422, **listed, typed=typed, wrong=why)
    return RedirectResponse(f"/admin/tokens?annex={made.id}", 303)


@router.get("/annexes/{annex_id}")
def show_annex(*, annex_id: str, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page) -> HTMLResponse:
    place = annexes.get(db, person.scope, annex_id)
    return page(
        "annex_admin.html", **_one(db, person, place, now, language, typed=_kept(place)), wrong=None, problem=""
    )


@router.post("/annexes/{annex_id}")
def change_annex(
    *, annex_id: str, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    place = annexes.get(db, person.scope, annex_id)
    typed = {name: acts.text(form, name) for name in _BLANK if name != "id"}
    try:
        with db.begin_nested():
            tending.change(db, acts.hand(person), annex_id, _wish(typed), version=acts.number(form, "version"), now=now)
    except SettingWrong as refused:
        shown = _one(db, person, place, now, language, typed=typed) | {"version": acts.number(form, "version")}
        return page("annex_admin.html", status=422, **shown, wrong=acts.wrong(refused.facts), problem="")
    except (SettingChanged, OutOfService) as refused:
        # What was typed stays on the page beside what stands now, so that nothing has to be typed twice.
        shown = _one(db, person, place, now, language, typed=typed) | {"stands": _kept(place)}
        return page("annex_admin.html", status=409, **shown, wrong=None, problem=refused.code)
    return RedirectResponse(f"/admin/annexes/{annex_id}", 303)


@router.post("/annexes/{annex_id}/retire")
def retire_annex(
    *, annex_id: str, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Asked first; then, with a yes about the very things that were shown, done."""
    place, reach = tending.retiring(db, acts.hand(person), annex_id, now=now)
    yes = acts.confirmed(form)
    try:
        tending.retire(db, acts.hand(person), annex_id, confirmed=yes, now=now)
    except Unconfirmed:
        return acts.question(
            page, form, reach, act="annex.retire", action=f"/admin/annexes/{annex_id}/retire",
            back=f"/admin/annexes/{annex_id}", subject=name_of(place, language.code), came_back=bool(yes),
        )  # fmt: skip
    return RedirectResponse("/admin/annexes", 303)


@router.post("/annexes/{annex_id}/reopen")
def reopen_annex(annex_id: str, person: Editing, form: Form, db: WritingDb, now: Now) -> Response:
    tending.reopen(db, acts.hand(person), annex_id, version=acts.number(form, "version"), now=now)
    return RedirectResponse(f"/admin/annexes/{annex_id}", 303)


@router.get("/districts")
def list_districts(person: Creating, db: Db, now: Now, page: Page) -> HTMLResponse:
    return page("districts.html", **_districts(db, person, now), typed={}, wrong=None, of="")


@router.post("/districts")
def create_district(*, person: Creating, form: Form, db: WritingDb, now: Now, page: Page) -> Response:
    typed = {name: acts.text(form, name) for name in ("id", "name_fr", "name_ar")}
    try:
        with db.begin_nested():
            tending.create_district(
                db, acts.hand(person), typed["id"], name_fr=typed["name_fr"], name_ar=typed["name_ar"], now=now
            )
    except SettingWrong as refused:
        why = acts.wrong(refused.facts)
        return page("districts.html", status=422, **_districts(db, person, now), typed=typed, wrong=why, of="")
    return RedirectResponse("/admin/districts", 303)


@router.post("/districts/{district_id}")
def change_district(*, district_id: str, person: Creating, form: Form, db: WritingDb, now: Now, page: Page) -> Response:
    """Rename it, or remove it where `do` says so."""
    typed = {name: acts.text(form, name) for name in ("name_fr", "name_ar")}
    try:
        with db.begin_nested():
            if acts.text(form, "do") == "remove":
                tending.remove_district(db, acts.hand(person), district_id, now=now)
            else:
                tending.rename_district(db, acts.hand(person), district_id, **typed, now=now)
    except SettingWrong as refused:
        why = acts.wrong(refused.facts)
        return page("districts.html", status=422, **_districts(db, person, now), typed=typed, wrong=why, of=district_id)
    return RedirectResponse("/admin/districts", 303)


# -- what is shown

_ZONE = _BLANK["time_zone"]


def _listed(
    db: Db, person: Person, now: Now, language: LanguageOf, *, asked: dict[str, str] | None = None, number: int = 1
) -> dict[str, Any]:
    asked = asked or {"search": "", "district": "", "closed": ""}
    query = urlencode({name: value for name, value in asked.items() if value})
    district = asked["district"] or None

    def read(at: int) -> tuple[Any, int]:
        return annexes.page(
            db, person.scope, search=asked["search"], district="" if district == "-" else district,
            retired=asked["closed"] == "yes", skip=(at - 1) * PAGE_SIZE, limit=PAGE_SIZE,
        )  # fmt: skip

    rows, total = read(number)
    pages = acts.pager(number, total, size=PAGE_SIZE, query=query)
    if pages.page != number:
        rows, total = read(pages.page)
    names = {one.id: _district_name(one, language.code) for one in districts.listing(db)}
    return {
        "places": [(row, name_of(row, language.code), names.get(row.district_id, "")) for row in rows],
        "counts": annexes.counts(db, person.scope, now=now),
        "asked": asked,
        "pager": pages,
        "districts": names,
        "zones": ZONES,
        "may_create": person.may("create_annexes"),
        "done": acts.newest(db, person, now, "annex:"),
    }


def _one(
    db: Db, person: Person, place: Annex, now: Now, language: LanguageOf, *, typed: dict[str, str]
) -> dict[str, Any]:
    return {
        "place": place,
        "place_name": name_of(place, language.code),
        "typed": typed,
        "stands": None,
        "version": place.version,
        "districts": {one.id: _district_name(one, language.code) for one in districts.listing(db)},
        "zones": ZONES,
        "count": annexes.counts(db, person.scope, now=now).get(place.id),
        "done": acts.newest(db, person, now, f"annex:{place.id}"),
    }


def _districts(db: Db, person: Person, now: Now) -> dict[str, Any]:
    return {
        "districts": districts.listing(db), "counts": districts.counts(db, person.scope),
        "done": acts.newest(db, person, now, "district:"),
    }  # fmt: skip


def _kept(place: Annex) -> dict[str, str]:
    return {
        "name_fr": place.name_fr, "name_ar": place.name_ar, "time_zone": place.time_zone,
        "district": place.district_id, "note": place.note,
    }  # fmt: skip


def _wish(typed: dict[str, str]) -> AnnexWish:
    return AnnexWish(
        name_fr=typed["name_fr"], name_ar=typed["name_ar"], time_zone=typed["time_zone"], district=typed["district"],
        note=typed["note"],
    )  # fmt: skip


def _district_name(district: District, language_code: str) -> str:
    return district.name_ar if language_code == "ar" else district.name_fr
