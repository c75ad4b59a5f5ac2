"""/board/<link> and /p/<code>: what annex staff see and do without a password.

Whoever has the link may see the board of its annex and press its two buttons, and nothing more: every act is looked up
within that annex (or, by a code, on that printer), and stands in the incident's story and in the audit under the
link's own name.  There is no session and so no token of one: requests of other sites are refused, and the link itself
is the secret that a form has to know.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from annexfleet_controller.access import links
from annexfleet_controller.access.asked import Db, EngineOf, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Anybody, client_address
from annexfleet_controller.access.links import Visitor
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, claims, dossier
from annexfleet_controller.errors import AlreadyOver, IncidentUnknown, NothingToFix
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.guidance import guidance
from annexfleet_controller.i18n.steps import picture
from annexfleet_controller.state import QUIET_CAUSES
from annexfleet_controller.store import alerts, annexes, audit, fixes, fleet, incidents, pulses
from annexfleet_controller.store.links import Label
from annexfleet_controller.things import Thing
from annexfleet_controller.web import boards, tonight
from annexfleet_controller.web.condition import last_of_printer
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

PRIVATE = {
    # The path is the secret: it stays out of other sites' logs and of search.  Not `no-referrer`: browsers then send
    # forms with `Origin: null`, and what comes from another site could not be told apart.
    "Referrer-Policy": "strict-origin",
    "X-Robots-Tag": "noindex, nofollow",
}

Anyone = Annotated[Person | None, Depends(Anybody())]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
IncidentId = Annotated[int, Form(alias="incident", ge=1, le=2**63 - 1)]


def _board(request: Request, engine: EngineOf, now: Now, link: Annotated[str, Path(max_length=100)]) -> Visitor:
    return links.board_visitor(engine, link, address=client_address(request), now=now)


def _label(
    request: Request, engine: EngineOf, now: Now, code: Annotated[str, Path(max_length=40)]
) -> tuple[Visitor, Label]:
    return links.label_visitor(engine, code, address=client_address(request), now=now)


OfBoard = Annotated[Visitor, Depends(_board)]
OfLabel = Annotated[tuple[Visitor, Label], Depends(_label)]


@router.get("/board/{link}")
def show(
    *, _person: Anyone, visitor: OfBoard, link: str, db: Db, language: LanguageOf, now: Now, page: Page,
    block: WantedBlock,
) -> HTMLResponse:  # fmt: skip
    """Asked by htmx, only its state."""
    return _show(db, visitor, link, language, page, now=now, block="state" if block == "state" else "")


@router.post("/board/{link}/incidents/{incident_id}/fixed")
def fixed(
    *, _person: Anyone, visitor: OfBoard, link: str, incident_id: Id, db: WritingDb, language: LanguageOf, now: Now,
    page: Page, block: WantedBlock,
) -> Response:  # fmt: skip
    """Where it is over meanwhile the board shows so."""
    _claim(db, visitor, incident_id, now=now)
    if block == "state":
        return _show(db, visitor, link, language, page, now=now, block="state")
    return RedirectResponse(f"/board/{link}", 303, headers=PRIVATE)


@router.post("/board/{link}/incidents/{incident_id}/help")
def ask_help(
    *, _person: Anyone, visitor: OfBoard, link: str, incident_id: Id, db: WritingDb, language: LanguageOf, now: Now,
    page: Page, block: WantedBlock,
) -> Response:  # fmt: skip
    _ask_help(db, visitor, incident_id, now=now)
    if block == "state":
        return _show(db, visitor, link, language, page, now=now, block="state")
    return RedirectResponse(f"/board/{link}", 303, headers=PRIVATE)


@router.get("/p/{code}")
def printer(
    *, _person: Anyone, visitor: OfLabel, db: Db, language: LanguageOf, now: Now, page: Page, block: WantedBlock
) -> HTMLResponse:
    """One printer, and nothing else of its annex.  Asked by htmx, only its state."""
    return _show_printer(db, *visitor, language, page, now=now, block="state" if block == "state" else "")


@router.post("/p/{code}/fixed")
def printer_fixed(
    *, _person: Anyone, visitor: OfLabel, incident_id: IncidentId, db: WritingDb, language: LanguageOf, now: Now,
    page: Page, block: WantedBlock,
) -> Response:  # fmt: skip
    _of_this_printer(db, visitor[0], incident_id)
    _claim(db, visitor[0], incident_id, now=now)
    return _printer_again(db, *visitor, language, page, now=now, block=block)


@router.post("/p/{code}/help")
def printer_help(
    *, _person: Anyone, visitor: OfLabel, incident_id: IncidentId, db: WritingDb, language: LanguageOf, now: Now,
    page: Page, block: WantedBlock,
) -> Response:  # fmt: skip
    _of_this_printer(db, visitor[0], incident_id)
    _ask_help(db, visitor[0], incident_id, now=now)
    return _printer_again(db, *visitor, language, page, now=now, block=block)


# -- what they do


def _claim(db: Session, visitor: Visitor, incident_id: int, *, now: datetime) -> None:
    incident = answers.whole(db, visitor.scope, incident_id)
    before = fixes.of_incident(db, incident_id)
    if not boards.may_claim(incident, before, now=now):
        return  # nor does the board that is shown next have a button for it
    try:
        claim = claims.claim_fix(db, incident, alerts.of_incident(db, incident_id), by=visitor.name, now=now)
    except NothingToFix:
        return
    if before is None or claim.id != before.id:  # and not the one that is being verified already
        pulses.add(db, {}, now=now, origin="web", annexes={visitor.annex_id: "i"})
        _note(db, visitor, "board.fixed", incident_id, now=now)


def _ask_help(db: Session, visitor: Visitor, incident_id: int, *, now: datetime) -> None:
    if incidents.get(db, visitor.scope, incident_id).muted:
        return  # it is being worked on, and the board does not show it
    before = incidents.help_asked(db, [incident_id]).get(incident_id)
    if before is not None and not answers.may_ask_again(before, now=now):
        return  # it was asked a moment ago, from whichever screen: a second press tells nobody anything new
    try:
        answers.ask_help(db, visitor.scope, incident_id, by=visitor.name, now=now)
    except AlreadyOver:
        return
    _note(db, visitor, "board.help", incident_id, now=now)


def _note(db: Session, visitor: Visitor, act: str, incident_id: int, *, now: datetime) -> None:
    audit.add(
        db, now=now, actor=visitor.name, via="link", act=act, subject=f"incident:{incident_id}",
        annex_id=visitor.annex_id,
    )  # fmt: skip


def _of_this_printer(db: Session, visitor: Visitor, incident_id: int) -> None:
    """Raises IncidentUnknown for what is not this printer's."""
    incident = incidents.get(db, visitor.scope, incident_id)
    if incident.thing != Thing("printer", visitor.printer_id):
        raise IncidentUnknown(f"incident {incident_id} is not of this printer")


# -- what they see


def _show(
    db: Session, visitor: Visitor, link: str, language: Language, page: Page, *, now: datetime, block: str
) -> HTMLResponse:
    place = annexes.get(db, visitor.scope, visitor.annex_id)
    answer = page(
        "board.html",
        block=block,
        place=name_of(place, language.code),
        shown=boards.shown(db, visitor, place, language, now=now),
        works=tonight.planned(db, place, now=now),
        action=f"/board/{link}",
        events=f"/api/v1/boards/{link}/events",
        open_incidents=None,
    )
    answer.headers.update(PRIVATE)
    return answer


def _show_printer(
    db: Session, visitor: Visitor, label: Label, language: Language, page: Page, *, now: datetime, block: str
) -> HTMLResponse:
    place = annexes.get(db, visitor.scope, visitor.annex_id)
    rows = fleet.devices(db, visitor.scope, now=now, annex_id=place.id)
    known = fleet.known(db, rows, collectors=["printers"])
    seen = next((one for one in fleet.printers(rows, known, now=now) if one.id == label.printer_id), None)
    unknown_since = seen.unknown_since(now) if seen else None
    is_heard = seen is not None and unknown_since is None
    causes = [one for one in seen.printer.causes if one not in QUIET_CAUSES] if seen and is_heard else []
    task = _task(db, visitor, language, now=now)
    answer = page(
        "printer_code.html",
        block=block,
        printer=seen.printer if seen else None,
        is_heard=is_heard,
        unknown_since=unknown_since,
        last=last_of_printer(seen.printer, language) if seen else "",
        task=task,
        # Without an incident what the printer itself says is shown, with nothing to press: nobody was told of it yet.
        causes=[] if task else [(guidance(language, cause), picture(cause)) for cause in causes],
        label=label,
        action=f"/p/{label.code}",
        open_incidents=None,
    )
    answer.headers.update(PRIVATE)
    return answer


def _printer_again(
    db: Session, visitor: Visitor, label: Label, language: Language, page: Page, *, now: datetime, block: str
) -> Response:
    if block == "state":
        return _show_printer(db, visitor, label, language, page, now=now, block="state")
    return RedirectResponse(f"/p/{label.code}", 303, headers=PRIVATE)


def _task(db: Session, visitor: Visitor, language: Language, *, now: datetime) -> boards.Task | None:
    """The printer's open incident; else the one that was confirmed as fixed a moment ago."""
    place = annexes.get(db, visitor.scope, visitor.annex_id)
    say = boards.words_of(db, place, language)
    found = incidents.of_thing(
        db, visitor.scope, Thing("printer", visitor.printer_id), ended_after=now - boards.SHOWN_AFTERWARDS
    )
    for incident in found:
        if incident.muted:
            continue  # it is being worked on: there is nothing to press
        lines = dossier.lines(db, visitor.scope, [incident], say)
        (task,) = boards.tasks_of(db, visitor, lines, language, say, now=now)
        if incident.state == "open" or task.is_done:
            return task
    return None
