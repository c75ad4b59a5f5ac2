"""/incidents/<id>/fixed: "I fixed it", and what the devices say to it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import answers, claims, sight
from annexfleet_controller.i18n.guidance import guidance
from annexfleet_controller.store import alerts, fixes, incidents
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/incidents/{incident_id}/fixed")
def show(
    *,
    incident_id: Id,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only its piece."""
    incident = incidents.get(db, person.scope, incident_id)
    whole = answers.is_whole_in_sight(person.scope, incident)
    if not whole:
        incident = sight.narrowed(db, person.scope, incident)
    facts = {str(key): str(incident.facts[key]) for key in ("printer", "device") if key in incident.facts}
    return page(
        "fix.html",
        block="fix" if block == f"fix-{incident_id}" else "",
        title=guidance(language, incident.cause, facts).title,
        incident=incident,
        claim=fixes.of_incident(db, incident_id) if whole else None,
        whole=whole,
    )


@router.post("/incidents/{incident_id}/fixed")
def claim_fix(
    *,
    incident_id: Id,
    person: Annotated[Person, Depends(Needs("claim_fix"))],
    db: WritingDb,
    now: Now,
    page: Page,
    block: WantedBlock,
) -> Response:
    incident = answers.whole(db, person.scope, incident_id)
    claim = claims.claim_fix(db, incident, alerts.of_incident(db, incident_id), by=person.name, now=now)
    if block == f"fix-{incident_id}":
        return page("fix.html", block="fix", incident=incident, claim=claim, whole=True)
    return RedirectResponse(f"/incidents/{incident_id}/fixed", 303)
