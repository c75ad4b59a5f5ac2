"""Taking back what one did last to settings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import RedirectResponse, Response

from annexfleet_controller.access.asked import Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.store import contacts, fleet
from annexfleet_controller.store.undoing import Step
from annexfleet_controller.tending import undo
from annexfleet_controller.tending.errors import UndoRefused
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)


@router.post("/admin/undo/{step_id}")
def take_back(
    step_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    person: Annotated[Person, Depends(Needs("edit_annexes"))],
    db: WritingDb,
    now: Now,
    page: Page,
) -> Response:
    """To the page of what it was about; what cannot be taken back is said in words."""
    try:
        with db.begin_nested():
            step = undo.undo(db, acts.hand(person), step_id, now=now)
    except UndoRefused as refused:
        return page("undo.html", status=409, reason=refused.facts["reason"])
    return RedirectResponse(_of(db, person, step), 303)


def _of(db: WritingDb, person: Person, step: Step) -> str:
    kind, _, of = step.subject.partition(":")
    if kind == "device" and of in fleet.device_names(db, person.scope, [of]):
        return f"/devices/{of}/settings"
    if kind == "annex":
        return f"/admin/annexes/{of}"
    if kind == "service":
        return f"/annexes/{step.annex_id}/services" if step.annex_id else "/admin/services"
    if kind == "contact":
        return f"/admin/contacts/{of}" if contacts.find(db, int(of)) is not None else "/admin/contacts"
    if kind == "calendar":
        return f"/annexes/{step.annex_id}/calendar" if step.annex_id else "/admin/calendars"
    others = {"rule": f"/admin/rules?annex={step.annex_id}#{of}", "district": "/admin/districts"}
    return others.get(kind, "/admin/devices")
