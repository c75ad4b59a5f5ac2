"""/admin/devices: every device in sight to be tagged, moved or retired, one or many at once."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import DeviceUnknown, SettingWrong
from annexfleet_controller.identity.tokens import ROLES
from annexfleet_controller.store import annexes, devices, fleet, reaching
from annexfleet_controller.tending import devices as tending
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.province import name_of, names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/admin/devices", include_in_schema=False)

PAGE_SIZE = 50
_FIELDS = ("search", "annex", "role", "tag", "presence")


async def _form(request: Request) -> FormData:
    return await request.form()


Editing = Annotated[Person, Depends(Needs("edit_devices"))]
Form = Annotated[FormData, Depends(_form)]
Short = Annotated[str, Query(max_length=100)]


@router.get("")
def list_devices(
    *,
    person: Editing,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    search: Short = "",
    annex: Short = "",
    role: Short = "",
    tag: Short = "",
    presence: Short = "",
    after: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    asked = dict(zip(_FIELDS, (search, annex, role, tag, presence), strict=True))
    return page(
        "devices_admin.html", **_listed(db, person, now, language, asked=asked, after=after), wrong=None, chosen=()
    )


@router.post("")
def act_on_many(*, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page) -> Response:
    """Tags at once; a move or a retirement after a page that shows the frozen list and what comes of it."""
    hand, ids = acts.hand(person), acts.texts(form, "device")
    do, to, yes = acts.text(form, "do"), acts.text(form, "to", 63), acts.confirmed(form)
    asked = {name: acts.text(form, name, 100) for name in _FIELDS}
    try:
        _refuse_nothing(ids, do)
        with db.begin_nested():
            if do == "tags":
                tending.tag(
                    db, hand, devices.chosen(db, person.scope, ids), add=acts.text(form, "add"),
                    remove=acts.text(form, "remove"), now=now,
                )  # fmt: skip
            elif do == "move":
                tending.move(db, hand, ids, to, confirmed=yes, now=now)
            else:
                tending.retire(db, hand, ids, confirmed=yes, now=now)
    except Unconfirmed:
        reach = tending.moving(db, hand, ids, to)[2] if do == "move" else tending.retiring(db, hand, ids)[1]
        subject = name_of(annexes.get(db, person.scope, to), language.code) if do == "move" else ""
        return acts.question(
            page, form, reach, act=f"device.{do}", action="/admin/devices", back=_back(asked), subject=subject,
            came_back=bool(yes),
        )  # fmt: skip
    except SettingWrong as refused:
        shown = _listed(db, person, now, language, asked=asked)
        wrong = acts.wrong(refused.facts)
        return page("devices_admin.html", status=422, **shown, wrong=wrong, chosen=frozenset(ids))
    return RedirectResponse(_back(asked), 303)


def _refuse_nothing(ids: list[str], do: str) -> None:
    """Raises SettingWrong where no device is ticked, or no act is chosen."""
    if not ids:
        raise SettingWrong(field="device", reason="missing")
    if do not in {"tags", "move", "retire"}:
        raise SettingWrong(field="do", reason="missing")


def _back(asked: dict[str, str]) -> str:
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/admin/devices?{query}" if query else "/admin/devices"


def _listed(
    db: Db, person: Person, now: Now, language: LanguageOf, *, asked: dict[str, str], after: str = ""
) -> dict[str, Any]:
    presence = asked["presence"] if asked["presence"] in {"online", "silent", "never", "revoked"} else ""
    rows = fleet.devices(
        db, person.scope, now=now, annex_id=asked["annex"], role=asked["role"], tag=asked["tag"], presence=presence,
        search=asked["search"], after=_place(db, person, after), limit=PAGE_SIZE + 1,
    )  # fmt: skip
    shown = rows[:PAGE_SIZE]
    kept = {name: value for name, value in asked.items() if value}
    return {
        "rows": [(row, row.presence(now)) for row in shown],
        "tags": reaching.tags(db, [row.number for row in shown]),
        "names": _names(db, person, language, shown),
        "places": names_of(db, person.scope, language.code),
        "known_tags": devices.known_tags(db, person.scope),
        "roles": ROLES,
        "asked": asked,
        "is_first": not after,
        "first": urlencode(kept),
        "next": urlencode({**kept, "after": shown[-1].id}) if len(rows) > PAGE_SIZE else "",
        "done": acts.newest(db, person, now, "device:", "devices:"),
    }


def _place(db: Db, person: Person, after: str) -> tuple[str, str] | None:
    """After which name and id a page begins."""
    if not after:
        return None
    try:
        row = fleet.device(db, person.scope, after)
    except DeviceUnknown:
        return None
    return row.name, row.id


def _names(db: Db, person: Person, language: LanguageOf, rows: Sequence[fleet.DeviceRow]) -> dict[str, str]:
    """Also of annexes that are closed."""
    wanted = {row.annex_id for row in rows}
    names = names_of(db, person.scope, language.code, with_retired=True)
    return {annex_id: names[annex_id] for annex_id in wanted if annex_id in names}
