"""/account/notices: what the controller sent to whoever looks, or could not send, and why.

An account and a contact are two things.  A contact is somebody's who was named when it was made (`user` in the API), or
who has its e-mail address, unless it was given to another person.  The page says so in words.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, HomeOf, LanguageOf
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.notify import book
from annexfleet_controller.notify.channels import shown
from annexfleet_controller.store import accounts, contacts, incidents, notices
from annexfleet_controller.store.tables.notices import Contact, NoticeItem, NoticeRow
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

PAGE = 50


class About(Struct, frozen=True):
    """One incident that a notice spoke of."""

    what: str
    incident_id: int
    """0: it is not among one's annexes, or is forgotten by now."""
    title: str


class Line(Struct, frozen=True):
    """One notice."""

    row: NoticeRow
    contact: Contact
    about: list[About]


@router.get("/account/notices")
def show(
    *, person: Annotated[Person, Depends(Needs("look"))], db: Db, home: HomeOf, language: LanguageOf, page: Page,
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:  # fmt: skip
    """The newest first, 50 a page."""
    user = accounts.by_id(db, person.user_id)
    own = {one.id: one for one in contacts.of_person(db, user.id, user.email)}
    found = notices.of_contacts(db, own, skip=(number - 1) * PAGE, limit=PAGE + 1) if own else []
    return page(
        "own_notices.html",
        user=user,
        contacts=[(one, shown(book.kind_of(one), one.address)) for one in own.values()],
        lines=_lines(db, person, own, found[:PAGE], language),
        newer=f"/account/notices?page={number - 1}" if number > 1 else "",
        older=f"/account/notices?page={number + 1}" if len(found) > PAGE else "",
        kept_days=home.settings.keep_alerts_days,
        may_add=person.may("edit_contacts"),
    )


def _lines(
    db: Session, person: Person, own: dict[int, Contact], found: list[tuple[NoticeRow, list[NoticeItem]]],
    language: Language,
) -> list[Line]:  # fmt: skip
    ids = {item.incident_id for _, items in found for item in items}
    seen = incidents.in_sight(db, person.scope, ids) if ids else []
    said = dossier.lines(db, person.scope, seen, words.read(db, language)) if seen else []
    titles = {line.incident.id: line.words.title for line in said}
    return [
        Line(
            row, own[row.contact_id],
            [
                About(item.what, item.incident_id, titles[item.incident_id])
                if item.incident_id in titles
                else About(item.what, 0, "")
                for item in items
            ],
        )
        for row, items in found
    ]  # fmt: skip
