"""/annexes/<id>/services: what an annex offers, and what each service needs there."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import ServicesWrong, ServiceUnknown, SettingChanged
from annexfleet_controller.readiness import document
from annexfleet_controller.readiness.model import CAPABILITIES, CapabilityName
from annexfleet_controller.readiness.services import (
    NeedDefinition,
    Override,
    ServiceDefinition,
    catalogue,
    needs_of,
    offered,
)
from annexfleet_controller.store import annexes, fleet, readiness
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.tending import services as tending
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/annexes/{annex_id}/services", include_in_schema=False)

Code = Annotated[str, Path(max_length=64)]
_MOST_ROWS = document.MOST_NEEDS + len(CAPABILITIES)
_OFFERED: dict[str, bool | None] = {"queues": None, "yes": True, "no": False}


async def _submitted(request: Request) -> FormData:
    return await request.form()


Editing = Annotated[Person, Depends(Needs("edit_services"))]
Submitted = Annotated[FormData, Depends(_submitted)]


class Listed(Struct, frozen=True):
    """A service in the list of an annex."""

    code: str
    name: str
    is_offered: bool
    is_own: bool
    needs: tuple[NeedDefinition, ...]
    state: str
    """Empty where nobody looked since it is offered."""


class NeedRow(Struct, frozen=True):
    """A need in the form; fields hold what was typed."""

    capability: CapabilityName
    needed: bool
    at_least: str
    full: str
    of: frozenset[str]
    required: bool
    instead: str
    things: tuple[tuple[str, str], ...]
    """That may be named: id and name."""
    wrong_field: str = ""
    reason: str = ""


class _Place(Struct, frozen=True):
    """An annex with its services."""

    row: Annex
    known: dict[str, ServiceDefinition]
    own: dict[str, Override]
    offered: tuple[str, ...]
    things: dict[CapabilityName, tuple[tuple[str, str], ...]]

    def is_service(self, code: str) -> bool:
        return code in self.known or code in self.own or code in self.offered


@router.get("")
def list_services(
    *, annex_id: str, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page
) -> HTMLResponse:
    place = _place(db, person, annex_id, now)
    states = {of.service: of.state for of in readiness.now_of(db, annex_id).readiness.services}
    listed = [
        Listed(
            code=code, name=_name(place, code, language.code), is_offered=code in place.offered,
            is_own=code in place.own, needs=needs_of(code, place.known, place.own), state=states.get(code, ""),
        )
        for code in {*place.known, *place.own, *place.offered}
    ]  # fmt: skip
    return page(
        "services.html",
        annex_id=annex_id,
        annex_name=name_of(place.row, language.code),
        done=acts.newest(db, person, now, "service:", annex=annex_id),
        services=sorted(listed, key=lambda service: (not service.is_offered, service.name)),
    )


@router.get("/{code}")
def ask(
    *, annex_id: str, code: Code, person: Editing, db: Db, now: Now, language: LanguageOf, page: Page
) -> HTMLResponse:
    place = _place(db, person, annex_id, now)
    if not place.is_service(code):
        raise ServiceUnknown
    override = place.own.get(code, Override())
    return page(
        "service.html",
        **_form(place, code, language.code),
        offered_as=next(word for word, value in _OFFERED.items() if value is override.offered),
        own_needs=override.needs is not None,
        rows=_rows(place, needs_of(code, place.known, place.own)),
        problem="",
        read=tending.stands(db, annex_id, code),
    )


@router.post("/{code}")
def change(
    *,
    annex_id: str,
    code: Code,
    person: Editing,
    db: WritingDb,
    now: Now,
    language: LanguageOf,
    page: Page,
    submitted: Submitted,
) -> Response:
    place = _place(db, person, annex_id, now)
    if not place.is_service(code):
        raise ServiceUnknown
    own_needs, numbers = text_of(submitted, "needs") == "own", needed(submitted)
    word = text_of(submitted, "offered")
    asked = {
        "offered": _OFFERED.get(word),
        "needs": [need_typed(submitted, number) for number in numbers] if own_needs else None,
    }
    try:
        override = document.parse_override(asked)
    except ServicesWrong as refused:
        field = str(refused.facts["field"])
        return page(
            "service.html", status=422, **_form(place, code, language.code),
            offered_as=word if word in _OFFERED else "queues", own_needs=own_needs,
            rows=_typed_rows(place, submitted, numbers, field, str(refused.facts["reason"])),
            problem=refused.facts["reason"] if field == "needs" else "", read=text_of(submitted, "read"),
        )  # fmt: skip
    try:
        read = text_of(submitted, "read")
        tending.change_of_annex(db, acts.hand(person), annex_id, code, override, read=read, now=now)
    except SettingChanged:
        return page(
            "service.html", status=409, **_form(place, code, language.code), read=tending.stands(db, annex_id, code),
            offered_as=word if word in _OFFERED else "queues", own_needs=own_needs,
            rows=_typed_rows(place, submitted, numbers, "", ""), problem="changed",
        )  # fmt: skip
    return RedirectResponse(f"/annexes/{annex_id}/services", 303)


def _place(db: Db, person: Person, annex_id: str, now: Now) -> _Place:
    row = annexes.get(db, person.scope, annex_id)
    rows = fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    told = fleet.known(db, rows, collectors=["printers", "queues", "portal"])
    own = readiness.overrides(db, annex_id)
    queues = sorted({seen.queue.service for seen in fleet.queues(rows, told)})
    portals = {s.removeprefix("portal:") for known in told.values() for s in known.subjects("portal:")}
    things: dict[CapabilityName, tuple[tuple[str, str], ...]] = {
        "print": tuple((seen.id, seen.printer.name) for seen in fleet.printers(rows, told)),
        "portal": tuple((name, name) for name in sorted(portals)),
        "queue": tuple((code, code) for code in queues),
    }
    roles: tuple[CapabilityName, ...] = ("counter", "kiosk", "tablet")
    for role in roles:
        things[role] = tuple((device.id, device.name) for device in rows if device.role == role)
    return _Place(row, catalogue(readiness.own_services(db)), own, offered(queues, own), things)


def _name(place: _Place, code: str, language_code: str) -> str:
    return place.known[code].name(language_code) if code in place.known else code


def _form(place: _Place, code: str, language_code: str) -> dict[str, Any]:
    return {
        "annex_id": place.row.id, "annex_name": name_of(place.row, language_code), "code": code,
        "service_name": _name(place, code, language_code),
    }  # fmt: skip


# -- from needs to the form, and back


def _rows(place: _Place, needs: Sequence[NeedDefinition]) -> list[NeedRow]:
    """The needs, and for every capability that none of them is about an empty row."""
    rows = [
        NeedRow(
            capability=need.capability, needed=True, at_least="" if need.at_least is None else str(need.at_least),
            full="" if need.full is None else str(need.full), of=frozenset(need.of), required=need.required,
            instead=",".join(need.instead), things=_choices(place, need.capability, need.of),
        )
        for need in needs
    ]  # fmt: skip
    missing = [name for name in CAPABILITIES if name not in {need.capability for need in needs}]
    return rows + [
        NeedRow(
            capability=name, needed=False, at_least="1", full="", of=frozenset(), required=False, instead="",
            things=_choices(place, name, ()),
        )
        for name in missing
    ]  # fmt: skip


def _choices(place: _Place, capability: CapabilityName, named: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What the annex has of the kind, and what is named though it has it no more."""
    known = place.things.get(capability, ())
    return (*known, *((thing, thing) for thing in named if thing not in dict(known)))


def _typed_rows(
    place: _Place, submitted: FormData, numbers: Sequence[int], field: str, reason: str
) -> list[NeedRow]:  # fmt: skip
    """The form as it was sent, with what is wrong at its place."""
    parts = field.split(".")
    wrong = numbers[int(parts[1])] if len(parts) > 2 and parts[1].isdecimal() else -1
    rows = []
    for number in range(_MOST_ROWS):
        capability = text_of(submitted, f"capability-{number}")
        for name in CAPABILITIES:
            if name == capability:
                of = _texts(submitted, f"of-{number}")
                rows.append(
                    NeedRow(
                        capability=name, needed=number in numbers, at_least=text_of(submitted, f"at_least-{number}"),
                        full=text_of(submitted, f"full-{number}"), of=frozenset(of),
                        required=bool(text_of(submitted, f"required-{number}")),
                        instead=text_of(submitted, f"instead-{number}"), things=_choices(place, name, of),
                        wrong_field=parts[2] if number == wrong else "", reason=reason if number == wrong else "",
                    )
                )  # fmt: skip
    return rows


def needed(submitted: FormData) -> list[int]:
    return [number for number in range(_MOST_ROWS) if text_of(submitted, f"needed-{number}")]


def need_typed(submitted: FormData, number: int) -> Mapping[str, object]:
    """A need as `document` reads it; an amount that is left empty is all of them."""
    return {
        "capability": text_of(submitted, f"capability-{number}"),
        "at_least": _amount(text_of(submitted, f"at_least-{number}")),
        "full": _amount(text_of(submitted, f"full-{number}")),
        "of": _texts(submitted, f"of-{number}"),
        "required": bool(text_of(submitted, f"required-{number}")),
        "instead": [name for name in text_of(submitted, f"instead-{number}").split(",") if name],
    }


def _amount(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else text or "all"


def text_of(submitted: FormData, field: str) -> str:
    value = submitted.get(field, "")
    return value.strip() if isinstance(value, str) else ""


def _texts(submitted: FormData, field: str) -> list[str]:
    return [value for value in submitted.getlist(field) if isinstance(value, str) and value]
