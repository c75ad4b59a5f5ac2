"""/devices/<id>/settings: name, place, tags and connection of a device; moved, replaced, out of service."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import DeviceUnknown, OutOfService, SettingChanged, SettingWrong
from annexfleet_controller.rollouts.inventory import is_address
from annexfleet_controller.store import annexes, devices, fleet, reaching
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.tending import devices as tending
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.tending.reach import Reach
from annexfleet_controller.tending.typed import DeviceWish
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.province import name_of, names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/devices/{device_id}", include_in_schema=False)


async def _form(request: Request) -> FormData:
    return await request.form()


Editing = Annotated[Person, Depends(Needs("edit_devices"))]
Form = Annotated[FormData, Depends(_form)]


@router.get("/settings")
def show(*, device_id: str, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page) -> HTMLResponse:
    return page("device_settings.html", **_shown(db, person, device_id, now, language))


@router.post("/settings")
def change(
    *, device_id: str, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Name, place, tags, and how Ansible reaches it; what is refused comes back with what was typed."""
    typed = {name: acts.text(form, name, 500) for name in ("name", "place", "tags", "connection", "ssh_address")}
    try:
        with db.begin_nested():
            wish = _wish(typed)
            tending.change(db, acts.hand(person), device_id, wish, version=acts.number(form, "version"), now=now)
    except SettingWrong as refused:
        shown = _shown(db, person, device_id, now, language) | {
            "typed": typed, "wrong": acts.wrong(refused.facts), "version": acts.number(form, "version"),
        }  # fmt: skip
        return page("device_settings.html", status=422, **shown)
    except (SettingChanged, OutOfService) as refused:
        shown = _shown(db, person, device_id, now, language)
        shown |= {"stands": shown["typed"], "typed": typed, "problem": refused.code}
        return page("device_settings.html", status=409, **shown)
    return RedirectResponse(f"/devices/{device_id}/settings", 303)


@router.post("/move")
def move(
    *, device_id: str, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Who moves it sees both annexes, or is told that there is no such annex."""
    hand, to, yes = acts.hand(person), acts.text(form, "to", 63), acts.confirmed(form)
    devices.seen(db, person.scope, device_id)
    try:
        with db.begin_nested():
            tending.move(db, hand, [device_id], to, confirmed=yes, now=now)
    except SettingWrong as refused:
        shown = _shown(db, person, device_id, now, language) | {"wrong": acts.wrong(refused.facts)}
        return page("device_settings.html", status=422, **shown)
    except Unconfirmed:
        reach = tending.moving(db, hand, [device_id], to)[2]
        place = name_of(annexes.get(db, person.scope, to), language.code)
        return _asked(page, form, reach, act="device.move", device_id=device_id, subject=place)
    return RedirectResponse(f"/devices/{device_id}/settings", 303)


@router.post("/retire")
def retire(*, device_id: str, person: Editing, form: Form, db: WritingDb, now: Now, page: Page) -> Response:
    hand, yes = acts.hand(person), acts.confirmed(form)
    _, reach = tending.retiring(db, hand, [device_id])
    try:
        tending.retire(db, hand, [device_id], confirmed=yes, now=now)
    except Unconfirmed:
        return _asked(page, form, reach, act="device.retire", device_id=device_id)
    return RedirectResponse(f"/devices/{device_id}/settings", 303)


@router.post("/replace")
def replace(
    *, device_id: str, person: Editing, form: Form, db: WritingDb, now: Now, language: LanguageOf, page: Page
) -> Response:
    """Another device takes its place; to the page of that one."""
    hand, new, yes = acts.hand(person), acts.text(form, "new", 28), acts.confirmed(form)
    devices.seen(db, person.scope, device_id)
    try:
        with db.begin_nested():
            tending.replace(db, hand, device_id, new, confirmed=yes, now=now)
    except (SettingWrong, OutOfService, DeviceUnknown) as refused:
        why = acts.wrong(refused.facts) if isinstance(refused, SettingWrong) else acts.Wrong("new", "unknown")
        shown = _shown(db, person, device_id, now, language) | {"wrong": why}
        return page("device_settings.html", status=422, **shown)
    except Unconfirmed:
        _, other, reach = tending.replacing(db, hand, device_id, new)
        return _asked(page, form, reach, act="device.replace", device_id=device_id, subject=other.name)
    return RedirectResponse(f"/devices/{new}/settings", 303)


def _asked(page: Page, form: FormData, reach: Reach, *, act: str, device_id: str, subject: str = "") -> Response:
    return acts.question(
        page, form, reach, act=act, action=f"/devices/{device_id}/{act.partition('.')[2]}",
        back=f"/devices/{device_id}/settings", subject=subject, came_back=bool(acts.confirmed(form)),
    )  # fmt: skip


def _wish(typed: dict[str, str]) -> DeviceWish:
    """Raises SettingWrong for an address that is none."""
    connection, address = typed["connection"], typed["ssh_address"].strip()
    if connection == "ssh" and not is_address(address):
        raise SettingWrong(field="ssh_address", reason="not_an_address")
    reached = {"ssh": ("ssh", address), "mqtt": ("mqtt", "")}.get(connection)
    return DeviceWish(
        name=typed["name"], place=typed["place"], tags=tuple(typed["tags"].replace(",", " ").split()),
        connection=reached,
    )  # fmt: skip


def _shown(db: Db, person: Person, device_id: str, now: Now, language: LanguageOf) -> dict[str, Any]:
    device = devices.seen(db, person.scope, device_id)
    place = annexes.get(db, person.scope, device.annex_id)
    after = devices.by_number(db, device.replaced_by) if device.replaced_by is not None else None
    siblings = fleet.devices(db, person.scope, now=now, annex_id=device.annex_id)
    return {
        "device": device,
        "place": place,
        "place_name": name_of(place, language.code),
        "typed": _kept(db, device),
        "stands": None,
        "version": device.version,
        "wrong": None,
        "problem": "",
        "others": [(row.id, row.name) for row in siblings if row.number != device.number],
        "places": {id_: name for id_, name in names_of(db, person.scope, language.code).items() if id_ != place.id},
        "after": after if after is not None and person.scope.covers(after.annex_id) else None,
        "before": [one for one in devices.predecessors(db, device.number) if person.scope.covers(one.annex_id)],
        "done": acts.newest(db, person, now, f"device:{device.id}"),
    }


def _kept(db: Db, device: Device) -> dict[str, str]:
    return {
        "name": device.name, "place": device.place,
        "tags": " ".join(reaching.tags(db, [device.number]).get(device.number, [])),
        "connection": device.connection, "ssh_address": device.ssh_address,
    }  # fmt: skip
