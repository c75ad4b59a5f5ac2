"""/api/v1/contacts: whom notices go to, and what each wants to hear."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.notices import NoticeOut, notice_out
from annexfleet_controller.api.paging import LARGEST_ID, Moment
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.api.versions import IfMatch, Version, demanded, etag
from annexfleet_controller.notify import book, planning
from annexfleet_controller.notify.channels import shown, ways_of
from annexfleet_controller.notify.contacts import RouteWish, Wish, checked
from annexfleet_controller.store import contacts, notices, people
from annexfleet_controller.store.tables.notices import Contact, ContactRoute
from annexfleet_controller.tending import contacts as tending

router = APIRouter(prefix="/api/v1/contacts", tags=["contacts"], responses=problems.RESPONSES)

Editing = Annotated[Person, Depends(Needs("edit_contacts"))]
ContactId = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class RouteBody(BaseModel):
    """What a contact wants to hear."""

    audiences: Annotated[list[str], Field(max_length=3)]
    annexes: Annotated[list[str] | None, Field(max_length=2000)] = None
    """None: the whole province, and what belongs to no annex."""
    min_severity: str = "warning"
    hours: str = "always"
    """always, opening (while the annex is open) or custom (`week`)"""
    week: dict[str, list[list[str]]] | None = None
    critical_always: bool = True
    """Whether what is critical is told outside of the hours too."""
    level: int = 0
    """Of the escalation: 0 is told at once, others `after_minutes` later if nobody acknowledged."""
    after_minutes: float = 0.0


class ContactBody(BaseModel):
    name: Annotated[str, Field(max_length=200)]
    kind: str
    """email, sms, chat, webhook or apprise"""
    address: Annotated[str, Field(max_length=4000)] = ""
    """Never shown again as a whole, but for mail and telephones.  In a change, empty keeps the one it has."""
    secret: Annotated[str, Field(max_length=200)] = ""
    """Of a webhook: of 16 to 120 characters; empty makes one, or keeps the one it has."""
    language: str = "fr"
    enabled: bool = True
    user: Annotated[str, Field(max_length=80)] = ""
    """The name of the person it belongs to: once that person may no longer come in, it hears nothing more."""
    routes: list[RouteBody] = []

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "name": "Amina", "kind": "email", "address": "amina@example.ma", "language": "ar",
                    "routes": [{"audiences": ["it"], "min_severity": "warning", "hours": "opening"}],
                }
            ]
        }
    }  # fmt: skip


class ChangedContact(ContactBody):
    version: Version = None


class FailingOut(BaseModel):
    reason: str
    detail: str
    at: Moment


class ContactOut(BaseModel):
    id: int
    name: str
    kind: str
    address: str
    """What of it may be seen."""
    language: str
    enabled: bool
    created_at: datetime
    created_by: str
    verified_at: datetime | None
    """When a test message last got through to this address."""
    failing: FailingOut | None = None
    """What its last notice failed of, if it did."""
    routes: list[RouteBody]
    secret: str | None = None
    """Of a webhook; only in the answer that creates it."""
    version: int = 1


class ContactPage(BaseModel):
    items: list[ContactOut]


@router.get("")
def list_contacts(person: Editing, db: Db) -> ContactPage:
    """All contacts by name, with what fails."""
    routes, failing = contacts.routes(db), notices.failing(db)
    return ContactPage(items=[_out(one, routes.get(one.id, []), failing.get(one.id)) for one in contacts.listing(db)])


@router.post("", status_code=201)
def create_contact(new: ContactBody, person: Editing, home: HomeOf, once: OnceOf, now: Now) -> ContactOut:
    """Add a contact.  A webhook's secret is shown in this answer and never again."""

    def work(db: Session) -> dict[str, Any]:
        decided, routes = checked(_wish(db, new), None, ways_of(home.settings))
        made = tending.create(db, hand(person), decided, routes, now=now)
        out = _out(made, contacts.routes(db, made.id).get(made.id, []), None)
        return out.model_copy(update={"secret": made.secret or None}).model_dump(mode="json")

    return ContactOut.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.get("/{contact_id}")
def one_contact(contact_id: ContactId, person: Editing, db: Db, response: Response) -> ContactOut:
    """Its `ETag` is the version, which a change gives back."""
    return _one(db, contacts.get(db, contact_id), response)


@router.put("/{contact_id}", responses={409: {"model": problems.Problem}, 428: {"model": problems.Problem}})
def change_contact(
    *, contact_id: ContactId, new: ChangedContact, person: Editing, home: HomeOf, db: WritingDb, now: Now,
    response: Response, if_match: IfMatch = "",
) -> ContactOut:  # fmt: skip
    """Replace what a contact is; an empty address or secret keeps the one it has.

    It names the version that was read: 409 if somebody changed it since, 428 without one.
    """
    version = demanded(if_match, new.version)
    decided, routes = checked(_wish(db, new), contacts.get(db, contact_id), ways_of(home.settings))
    changed = tending.change(db, hand(person), contact_id, decided, routes, version=version, now=now)
    return _one(db, changed, response)


@router.delete("/{contact_id}", status_code=204, responses={409: {"model": problems.Problem}})
def remove_contact(
    contact_id: ContactId, person: Editing, db: WritingDb, now: Now, if_match: IfMatch = ""
) -> None:  # fmt: skip
    """Remove a contact with its routes and the record of its notices; with `If-Match`, only as it was read."""
    version = demanded(if_match, None) if if_match else None
    tending.remove(db, hand(person), contact_id, version=version, now=now)


@router.post("/{contact_id}/test", status_code=202)
def test_contact(contact_id: ContactId, person: Editing, once: OnceOf, now: Now) -> NoticeOut:
    """Queue a test message.  It goes the way of every notice; ask for the notice to see what became of it."""

    def work(db: Session) -> dict[str, Any]:
        return notice_out(db, planning.queue_test(db, contact_id, now=now)).model_dump(mode="json")

    return NoticeOut.model_validate(once.do(person, {"contact": contact_id}, work, now=now))


def _wish(db: Session, body: ContactBody) -> Wish:
    return Wish(
        name=body.name, kind=body.kind, address=body.address, secret=body.secret, language=body.language,
        enabled=body.enabled, user_id=people.get(db, body.user).id if body.user else None,
        routes=tuple(
            RouteWish(
                audiences=tuple(route.audiences), annexes=None if route.annexes is None else tuple(route.annexes),
                min_severity=route.min_severity, hours=route.hours, week=route.week,
                critical_always=route.critical_always, level=route.level, after_minutes=route.after_minutes,
            )
            for route in body.routes
        ),
    )  # fmt: skip


def _one(db: Session, contact: Contact, response: Response) -> ContactOut:
    response.headers["ETag"] = etag(contact.version)
    failing = notices.failing(db).get(contact.id)
    return _out(contact, contacts.routes(db, contact.id).get(contact.id, []), failing)


def _out(contact: Contact, routes: list[ContactRoute], failing: tuple[str, str, datetime] | None) -> ContactOut:
    return ContactOut(
        id=contact.id, name=contact.name, kind=contact.kind, address=shown(book.kind_of(contact), contact.address),
        language=contact.language, enabled=contact.enabled, created_at=contact.created_at,
        created_by=contact.created_by, verified_at=contact.verified_at,
        failing=None if failing is None else FailingOut(reason=failing[0], detail=failing[1], at=failing[2]),
        routes=[_route_out(row) for row in routes], version=contact.version,
    )  # fmt: skip


def _route_out(row: ContactRoute) -> RouteBody:
    route = book.route(row)
    return RouteBody(
        audiences=list(route.audiences), annexes=None if route.annexes is None else list(route.annexes),
        min_severity=route.min_severity, hours=route.hours, week=book.week_document(row),
        critical_always=route.critical_always, level=route.level, after_minutes=route.after_s / 60,
    )  # fmt: skip
