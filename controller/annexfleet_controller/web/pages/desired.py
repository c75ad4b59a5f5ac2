"""/desired: what devices shall be like, in layers; who differs; and from there to a rollout."""

import json
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.desired.compare import compare, shown
from annexfleet_controller.desired.document import ERROR_POLICIES, Document, parse
from annexfleet_controller.desired.drift import Standing
from annexfleet_controller.desired.resolve import LAYER_KINDS, PROVINCE, ROLES, Layer
from annexfleet_controller.errors import AnnexUnknown, DesiredChanged, DesiredLayerUnknown, DeviceUnknown, Invalid
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import deciding, repairing, wanting
from annexfleet_controller.rollouts.errors import NothingToRepair
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import annexes, desired, desired_drift, devices, fleet
from annexfleet_controller.store.desired_drift import Kept
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.web.pages import desired_form
from annexfleet_controller.web.pages.province import name_of, names_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(prefix="/desired", include_in_schema=False)

Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("edit_desired"))]
ANNEXES_SHOWN = 10
DEVICES_SHOWN = 20
"""Of one annex."""
TOUCHED_SHOWN = 100
VERSIONS_SHOWN = 30
_Text = Annotated[str, Form(max_length=200)]
_Number = Annotated[int, Form(ge=0, le=2**31 - 2)]


class AnnexDrift(Struct, frozen=True):
    """An annex with devices that are not as they are wanted."""

    id: str
    name: str
    devices: Sequence[Kept]
    """The first of them."""
    count: int


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form()  # parsed once and kept by the request
    return {name: value for name in form if isinstance(value := form[name], str)}


Typed = Annotated[dict[str, str], Depends(_typed)]


def _asked_layer(
    kind: Annotated[str, Query(max_length=16)] = "province", of: Annotated[str, Query(max_length=63)] = ""
) -> Layer:
    return _layer(kind, of)


def _layer(kind: str, of: str) -> Layer:
    if kind not in LAYER_KINDS:
        raise DesiredLayerUnknown
    return Layer(kind, of)


AskedLayer = Annotated[Layer, Depends(_asked_layer)]


# -- all of it


@router.get("")
def show(
    *, person: Looking, db: Db, language: LanguageOf, page: Page, block: WantedBlock,
    annex: Annotated[str, Query(max_length=63)] = "", unknown: Annotated[str, Query(max_length=3)] = "",
    after: Annotated[str, Query(max_length=63)] = "",
) -> HTMLResponse:  # fmt: skip
    """The layers, and who differs, by annex, from behind `after`; asked by htmx, only who differs."""
    context = _overview(db, person, language, annex, with_unknown=unknown == "yes", after=after)
    return page("desired.html", block="differing" if block == "differing" else "", **context)


@router.post("/repair")
def repair(
    *, person: Editing, db: WritingDb, home: HomeOf, now: Now, language: LanguageOf, page: Page,
    name: Annotated[str, Form(max_length=120)] = "", annex: Annotated[str, Form(max_length=63)] = "",
    device: Annotated[str, Form(max_length=63)] = "", unknown: Annotated[str, Form(max_length=3)] = "",
) -> Response:  # fmt: skip
    """Draft a rollout for exactly those that differ; it begins nothing."""
    if annex:
        annexes.get(db, person.scope, annex)
    try:
        rollout_id = repairing.repair(
            db, home, _asker(person), name=name, annexes=[annex] if annex else [], devices=[device] if device else [],
            with_unknown=unknown == "yes", now=now,
        )  # fmt: skip
    except (NothingToRepair, Invalid) as refused:
        status = 409 if isinstance(refused, NothingToRepair) else 422
        shown_ = _overview(db, person, language, annex, with_unknown=unknown == "yes")
        return page("desired.html", status=status, **shown_ | {"refused": refused})
    return RedirectResponse(f"/rollouts/{rollout_id}", 303)


# -- one layer


@router.get("/layer")
def ask_layer(layer: AskedLayer, person: Looking, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    """What a layer decides, as a form for who may; and its history."""
    desired.demand_layer(db, person.scope, layer)
    kept = desired.get(db, layer)
    return page("desired_layer.html", **_shown(db, person, layer, language, desired_form.filled(kept.document)))


@router.post("/layer")
def change_layer(
    *, layer: AskedLayer, person: Editing, db: WritingDb, now: Now, language: LanguageOf, page: Page, typed: Typed,
    do: Annotated[str, Form(max_length=10)] = "preview", version: _Number = 0, reason: _Text = "",
) -> Response:  # fmt: skip
    """First a preview of what would change and for whom; sent from there, it counts.  Nothing reaches a device."""
    desired.demand_layer(db, person.scope, layer)
    given: object = None
    try:
        given = _decoded(typed["document"]) if "document" in typed else desired_form.document(typed)
        document = parse(given)
        if do == "save":
            deciding.decide(db, layer, document, _asker(person), version=version, reason=reason, now=now)
            return RedirectResponse(f"{_path(layer)}#history", 303)
        found = deciding.preview(db, layer, document, _asker(person))
    except (Invalid, DesiredChanged) as refused:
        is_whole = "document" in typed and _can_be(given)
        form = desired_form.filled(parse(given)) if is_whole else desired_form.refilled(typed)
        status = 409 if isinstance(refused, DesiredChanged) else 422
        context = _shown(db, person, layer, language, form) | {"refused": refused, "reason": reason}
        return page("desired_layer.html", status=status, **context)
    if do == "edit":
        context = _shown(db, person, layer, language, desired_form.filled(document)) | {
            "read_version": version, "reason": reason,
        }  # fmt: skip
        return page("desired_layer.html", **context)
    places = _places(db, person, language)
    return page(
        "desired_preview.html", **_where(db, layer, language), preview=found, version=version, reason=reason,
        document=json.dumps(desired_form.plain_document(document)), shown=TOUCHED_SHOWN,
        annexes=[(id_, places.get(id_, id_), count) for id_, count in found.annexes.items()],
    )  # fmt: skip


# -- what was


@router.get("/version")
def show_version(
    *, layer: AskedLayer, person: Looking, db: Db, language: LanguageOf, page: Page,
    version: Annotated[int, Query(ge=0, le=2**31 - 2)] = 0,
) -> HTMLResponse:  # fmt: skip
    """One version: what it changed, and what it differs in from what counts now."""
    desired.demand_layer(db, person.scope, layer)
    return page("desired_version.html", **_of_version(db, person, layer, version, language))


@router.post("/take-back")
def take_back(
    *, layer: AskedLayer, person: Editing, db: WritingDb, now: Now, language: LanguageOf, page: Page,
    to: _Number = 0, version: _Number = 0, reason: _Text = "",
) -> Response:  # fmt: skip
    """Let an earlier version's content count again; a repair brings it to devices."""
    try:
        deciding.take_back(db, layer, to, _asker(person), version=version, reason=reason, now=now)
    except (Invalid, DesiredChanged) as refused:
        status = 409 if isinstance(refused, DesiredChanged) else 422
        context = _of_version(db, person, layer, to, language) | {"refused": refused}
        return page("desired_version.html", status=status, **context)
    return RedirectResponse(f"{_path(layer)}#history", 303)


# -- one device


@router.get("/devices/{device_id}")
def show_device(device_id: str, person: Looking, db: Db, language: LanguageOf, page: Page) -> HTMLResponse:
    """What is wanted of a device, which layer decides it, and how it stands to that."""
    numbers = fleet.numbers(db, person.scope, [device_id])
    found = wanting.standings(db, person.scope, numbers=numbers) if numbers else []
    if not found:
        raise DeviceUnknown
    (one,) = found
    return page(
        "desired_device.html", one=one, places=_places(db, person, language), may_edit=person.may("edit_desired"),
        layers=wanting.place(one.device).layers, path_of=_path, taken=list(one.wanted.taken_away.items()),
        revision=desired.newest(db),
    )  # fmt: skip


def _overview(
    db: Session, person: Person, language: Language, annex: str, *, with_unknown: bool, after: str = ""
) -> dict[str, Any]:  # fmt: skip
    places = _places(db, person, language)
    if annex and annex not in places:
        raise AnnexUnknown
    standings: tuple[Standing, ...] = ("differs", "unknown") if with_unknown else ("differs",)
    tally = desired_drift.tally(db, person.scope, annex=annex)
    asked = {"annex": annex, "unknown": "yes" if with_unknown else ""}
    narrowed = {name: value for name, value in asked.items() if value}
    of = desired_drift.annexes(db, person.scope, standings, annex=annex, after=after, limit=ANNEXES_SHOWN + 1)
    shown_ = of[:ANNEXES_SHOWN]
    firsts = desired_drift.first_of(db, person.scope, standings, [id_ for id_, _ in shown_], each=DEVICES_SHOWN)
    layers = desired.deciding(db, person.scope)
    return {
        "layers": layers, "revision": desired.newest(db), "places": places,
        "annex": annex, "tally": tally, "with_unknown": with_unknown, "refused": None, "path_of": _path,
        "device_names": _device_names(db, person, layers), "roles": ROLES, "may_edit": person.may("edit_desired"),
        "drift": [AnnexDrift(id_, places.get(id_, id_), firsts.get(id_, []), count) for id_, count in shown_],
        "count": sum(tally[standing] for standing in standings), "as_of": desired_drift.as_of(db),
        "query": urlencode(narrowed | ({"after": after} if after else {})), "is_further": bool(after),
        "more": urlencode(narrowed | {"after": shown_[-1][0]}) if len(of) > ANNEXES_SHOWN else "",
        "events": "/api/v1/events",
    }  # fmt: skip


def _shown(
    db: Session, person: Person, layer: Layer, language: Language, form: desired_form.Form
) -> dict[str, Any]:  # fmt: skip
    kept = desired.get(db, layer)
    return _where(db, layer, language) | {
        "form": form, "kept": kept, "read_version": kept.version, "refused": None, "reason": "",
        "inherited": _inherited(db, layer),
        "own": [(key, shown(value)) for key, value in kept.document.entries.items()], "history": _history(db, layer),
        "may_edit": person.may("edit_desired") and deciding.may_decide(_asker(person), layer),
        "package_ways": desired_form.PACKAGE_WAYS, "queue_ways": desired_form.QUEUE_WAYS,
        "portal_ways": desired_form.PORTAL_WAYS, "policies": ERROR_POLICIES,
    }  # fmt: skip


def _history(db: Session, layer: Layer) -> list[tuple[desired.Version, int]]:
    """Each version with how many entries it changed."""
    rows = list(desired.history(db, layer, limit=VERSIONS_SHOWN + 1))
    before: list[Document] = [row.document for row in rows[1:]] + [Document()]
    return [
        (row, len(compare(old, row.document))) for row, old in zip(rows[:VERSIONS_SHOWN], before, strict=False)
    ]  # fmt: skip


def _inherited(db: Session, layer: Layer) -> list[tuple[Any, str, Layer]]:
    """What wider layers decide that count for all of this one: of an annex or a device also the province's."""
    wider = [PROVINCE] if layer.kind in {"role", "annex", "device"} else []
    layers = desired.layers(db)
    if layer.kind == "device":
        device = devices.find(db, layer.of)
        if device is not None:
            wider += [Layer("role", device.role), Layer("annex", device.annex_id)]
    found: dict[Any, tuple[str, Layer]] = {}
    for one in wider:
        for key, value in layers.get(one, Document()).entries.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = (shown(value), one)
    return [(key, text, one) for key, (text, one) in sorted(found.items())]


def _of_version(db: Session, person: Person, layer: Layer, number: int, language: Language) -> dict[str, Any]:
    kept = desired.get(db, layer)
    of = desired.at_version(db, layer, number)
    before = desired.at_version(db, layer, number - 1) if number else of
    return _where(db, layer, language) | {
        "of": of, "kept": kept, "refused": None,
        "changes": compare(before.document, of.document), "back": compare(kept.document, of.document),
        "may_edit": person.may("edit_desired") and deciding.may_decide(_asker(person), layer),
    }  # fmt: skip


def _where(db: Session, layer: Layer, language: Language) -> dict[str, Any]:
    name = layer.of
    if layer.kind == "annex":
        name = name_of(annexes.get(db, WHOLE, layer.of), language.code)
    elif layer.kind == "device":
        device = devices.find(db, layer.of)
        name = device.name if device is not None else layer.of
    return {"layer": layer, "layer_name": name, "path_of": _path, "here": _path(layer)}


def _path(layer: Layer, page: str = "layer", **more: object) -> str:
    return f"/desired/{page}?" + urlencode({"kind": layer.kind, "of": layer.of, **more})


def _places(db: Session, person: Person, language: Language) -> dict[str, str]:
    return names_of(db, person.scope, language.code)


def _device_names(db: Session, person: Person, layers: Sequence[desired.Version]) -> dict[str, str]:
    ids = [one.layer.of for one in layers if one.layer.kind == "device"]
    return fleet.device_names(db, person.scope, ids)


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise Invalid("document: not an object", field="document", reason="not_an_object") from None


def _can_be(given: object) -> bool:
    try:
        parse(given)
    except Invalid:
        return False
    return True


def _asker(person: Person) -> Asker:
    return Asker(name=person.name, via=person.via, scope=person.scope)
