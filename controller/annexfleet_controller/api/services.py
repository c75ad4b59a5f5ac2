"""/api/v1/services: what citizens come for and what each needs; and what one annex says of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Response
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.api.versions import LARGEST_STAMP, IfMatch, demanded, etag
from annexfleet_controller.errors import Invalid, ServiceUnknown
from annexfleet_controller.readiness import document, services
from annexfleet_controller.readiness.services import Override, ServiceDefinition
from annexfleet_controller.store import annexes, fleet, service_words
from annexfleet_controller.store import readiness as store
from annexfleet_controller.tending import services as tending

router = APIRouter(prefix="/api/v1", tags=["services"], responses=problems.RESPONSES)

Code = Annotated[str, Path(max_length=64)]
_NEEDS: list[JsonValue] = [
    {"capability": "counter", "at_least": 1, "full": "all", "of": [], "required": False, "instead": ["kiosk"]},
    {"capability": "portal", "at_least": "all", "full": "all", "of": [], "required": True, "instead": []},
]
_SERVICE: dict[str, JsonValue] = {
    "code": "passeport",
    "name": {"fr": "Passeport", "ar": "جواز السفر", "en": "Passport"},
    "needs": _NEEDS,
}


class Names(BaseModel):
    fr: str = ""
    ar: str = ""
    en: str = ""


class NeedOfService(BaseModel):
    capability: str
    at_least: Annotated[int | str, Field(description="With fewer it is blocked; `all` is all of them")]
    full: Annotated[int | str, Field(description="With fewer it is degraded; `all` is all of them")]
    of: Annotated[list[str], Field(description="These things and no others")]
    required: Annotated[bool, Field(description="Whether it counts although the annex has nothing of the kind")]
    instead: Annotated[list[str], Field(description="In an annex that has nothing of the kind, the first that it has")]


class ServiceOut(BaseModel):
    code: str
    name: Names
    needs: Annotated[list[NeedOfService] | None, Field(description="null: `default_needs`")]
    own: Annotated[bool, Field(description="Whether the province described it itself")]

    model_config = {"json_schema_extra": {"examples": [{**_SERVICE, "own": True}]}}


class Catalogue(BaseModel):
    items: list[ServiceOut]
    default_needs: list[NeedOfService]
    version: Annotated[int, Field(description="Of the province's own services together; the `ETag`, too")]


class ServiceOfAnnex(BaseModel):
    code: str
    name: Names
    offered: Annotated[bool, Field(description="By the annex's word, or else by its queues")]
    needs: Annotated[list[NeedOfService], Field(description="What counts there")]
    override: Annotated[dict[str, Any] | None, Field(description="What this annex says itself; null: nothing")]
    version: Annotated[int, Field(description="Of what it says itself, to be given back by a change; 0: nothing")]


class ServicesOfAnnex(BaseModel):
    items: list[ServiceOfAnnex]


CHANGED: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}, 428: {"model": problems.Problem}}
Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("edit_services"))]


@router.get("/services")
def list_services(person: Looking, db: Db, response: Response) -> Catalogue:
    """The services that the province knows, by code."""
    return _catalogue(db, response)


@router.put("/services", responses=CHANGED)
def put_services(
    *,
    person: Annotated[Person, Depends(Needs("edit_province_services"))],
    db: WritingDb,
    now: Now,
    response: Response,
    body: Annotated[dict[str, JsonValue], Body(examples=[{"services": [_SERVICE], "version": 0}])],
    if_match: IfMatch = "",
) -> Catalogue:
    """Describe services: these and no others are then the province's own, all others are as they come.

    It names the `version` that was read: 409 if somebody changed any of them since, 428 without one.
    """
    body, read = _read(body, if_match)
    tending.replace(db, hand(person), document.parse_services(body), read=read, now=now)
    return _catalogue(db, response)


@router.get("/annexes/{annex_id}/services")
def list_services_of_annex(annex_id: str, person: Looking, db: Db, now: Now) -> ServicesOfAnnex:
    """What an annex offers and what that needs there."""
    place = annexes.get(db, person.scope, annex_id)
    known = services.catalogue(store.own_services(db))
    own, stamps = store.overrides(db, place.id), service_words.stamps(db, place.id)
    rows = fleet.devices(db, person.scope, now=now, annex_id=place.id)
    queues = {seen.queue.service for seen in fleet.queues(rows, fleet.known(db, rows, collectors=["queues"]))}
    offered = set(services.offered(queues, own))
    return ServicesOfAnnex(
        items=[
            ServiceOfAnnex(
                code=code,
                name=_names(known.get(code)),
                offered=code in offered,
                needs=_needs(services.needs_of(code, known, own)) or [],
                override=document.written_override(own[code]) if code in own else None,
                version=stamps.get(code, 0),
            )
            for code in sorted({*known, *own, *offered})
        ]
    )


@router.put("/annexes/{annex_id}/services/{code}")
def put_service_of_annex(
    *,
    annex_id: str,
    code: Code,
    person: Editing,
    db: WritingDb,
    now: Now,
    response: Response,
    body: Annotated[dict[str, JsonValue], Body(examples=[{"offered": True, "needs": _NEEDS, "version": 0}])],
    if_match: IfMatch = "",
) -> dict[str, Any]:
    """Say whether this annex offers a service, and what it needs there.  null: as its queues and the province say.

    It names the `version` that was read, 0 where the annex said nothing: 409 if somebody changed it since, 428 without
    one.
    """
    annexes.get(db, person.scope, annex_id)
    body, read = _read(body, if_match)
    override = document.parse_override(body)
    code = document.parse_code(code, "code")
    tending.change_of_annex(db, hand(person), annex_id, code, override, read=str(read or ""), now=now)
    version = service_words.stamps(db, annex_id).get(code, 0)
    response.headers["ETag"] = etag(version)
    return {**document.written_override(override), "version": version}


@router.delete("/annexes/{annex_id}/services/{code}", status_code=204, responses={409: {"model": problems.Problem}})
def delete_service_of_annex(
    *, annex_id: str, code: Code, person: Editing, db: WritingDb, now: Now, if_match: IfMatch = ""
) -> Response:  # fmt: skip
    """Back to what the annex's queues and the province say; with `If-Match`, only as it was read."""
    place = annexes.get(db, person.scope, annex_id)
    if not service_words.stamp(db, place.id, code):
        raise ServiceUnknown(f"annex {place.id!r} says nothing of service {code!r}")
    read = str(demanded(if_match, None, largest=LARGEST_STAMP)) if if_match else None
    tending.change_of_annex(db, hand(person), place.id, code, Override(), read=read, now=now)
    return Response(status_code=204)


def _read(body: dict[str, JsonValue], if_match: str) -> tuple[dict[str, JsonValue], int]:
    """A document without the version that it names, and that version, or that of the header."""
    version = body.get("version")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise Invalid("version is a number", field="version", reason="wrong_form")
    without = {name: value for name, value in body.items() if name != "version"}
    return without, demanded(if_match, version, least=0, largest=LARGEST_STAMP)


def _catalogue(db: Session, response: Response) -> Catalogue:
    own, version = store.own_services(db), service_words.catalogue_stamp(db)
    response.headers["ETag"] = etag(version)
    codes = {service.code for service in own}
    return Catalogue(
        items=[
            ServiceOut(code=code, name=_names(service), needs=_needs(service.needs), own=code in codes)
            for code, service in sorted(services.catalogue(own).items())
        ],
        default_needs=_needs(services.DEFAULT_NEEDS) or [],
        version=version,
    )


def _names(service: ServiceDefinition | None) -> Names:
    return Names() if service is None else Names(fr=service.name_fr, ar=service.name_ar, en=service.name_en)


def _needs(needs: tuple[services.NeedDefinition, ...] | None) -> list[NeedOfService] | None:
    written = document.written_needs(needs)
    return None if written is None else [NeedOfService.model_validate(need) for need in written]
