"""/incidents/<id>: one cause with all that follows from it, what to do about it, and what was done."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, dossier
from annexfleet_controller.errors import AlreadyAcknowledged
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.web import story
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Answering = Annotated[Person, Depends(Needs("acknowledge"))]
Note = Annotated[str, Form(max_length=answers.LONGEST_NOTE)]


@router.get("/incidents/{incident_id}")
def show(
    *,
    incident_id: Id,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    language: LanguageOf,
    now: Now,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    return _page(db, person, incident_id, language, page, now=now, block="state" if block == "state" else "")


@router.post("/incidents/{incident_id}/acknowledge")
def acknowledge(
    *, incident_id: Id, person: Answering, db: WritingDb, language: LanguageOf, now: Now, page: Page, note: Note = ""
) -> Response:
    """Take it in charge; where somebody else was first, its page says who."""
    try:
        answers.acknowledge(db, person.scope, incident_id, by=person.name, note=note, now=now)
    except AlreadyAcknowledged as error:
        return _page(db, person, incident_id, language, page, now=now, status=409, other=str(error.facts["other"]))
    return _back(incident_id)


@router.post("/incidents/{incident_id}/withdraw")
def withdraw(incident_id: Id, person: Answering, db: WritingDb, now: Now) -> Response:
    answers.withdraw(db, person.scope, incident_id, by=person.name, now=now)
    return _back(incident_id)


@router.post("/incidents/{incident_id}/note")
def note(incident_id: Id, person: Answering, db: WritingDb, now: Now, note: Note = "") -> Response:
    answers.note(db, person.scope, incident_id, note, by=person.name, now=now)
    return _back(incident_id)


@router.post("/incidents/{incident_id}/help")
def ask_help(
    incident_id: Id, person: Annotated[Person, Depends(Needs("ask_help"))], db: WritingDb, now: Now, note: Note = ""
) -> Response:
    """Its page then says how many people were told."""
    answers.ask_help(db, person.scope, incident_id, by=person.name, note=note, now=now)
    return _back(incident_id)


def _page(
    db: Session,
    person: Person,
    incident_id: int,
    language: Language,
    page: Page,
    *,
    now: datetime,
    block: str = "",
    status: int = 200,
    other: str = "",
) -> HTMLResponse:
    found = dossier.read(db, person.scope, incident_id, language)
    annexes, asked = found.of.incident.annexes, found.of.help_asked
    return page(
        "incident.html",
        block=block,
        status=status,
        found=found,
        days=story.days(db, person, found, language, now=now),
        effects=story.groups(found.effects),
        icons=story.ICONS,
        line=found.of,
        incident=found.of.incident,
        may_answer=person.may("acknowledge") and found.of.whole,
        may_ask=person.may("ask_help")
        and not person.may("acknowledge")
        and (asked is None or answers.may_ask_again(asked, now=now)),
        may_note=person.may("acknowledge"),
        other=other,
        events=f"/api/v1/events?annex={annexes[0]}" if len(annexes) == 1 and found.of.whole else "/api/v1/events",
    )


def _back(incident_id: int) -> RedirectResponse:
    return RedirectResponse(f"/incidents/{incident_id}", 303)
