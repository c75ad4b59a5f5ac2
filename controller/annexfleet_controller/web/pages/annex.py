"""/annexes/<id>: the devices, printers and queues of one annex."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse

from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.readiness.services import catalogue
from annexfleet_controller.store import annexes, fleet, readiness
from annexfleet_controller.web import trouble
from annexfleet_controller.web.pages import maintained, province
from annexfleet_controller.web.render import Page, WantedBlock
from annexfleet_controller.web.standing import standing

router = APIRouter(include_in_schema=False)


@router.get("/annexes/{annex_id}")
def show(
    *,
    annex_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    place = annexes.get(db, person.scope, annex_id)
    rows = fleet.devices(db, person.scope, now=now, annex_id=annex_id)
    known = fleet.known(db, rows, collectors=["printers", "queues"])
    stands = standing(
        readiness.now_of(db, place.id),
        services=catalogue(readiness.own_services(db)),
        language=language,
        annex_name=province.name_of(place, language.code),
        now=now,
        watched_until=readiness.watched_until(db),
        spans=readiness.current(db, person.scope, [place.id]).get(place.id),
    )
    return page(
        "annex.html",
        block=block if block == "state" else "",
        card=province.card(place, rows, known, stands, now=now, language_code=language.code),
        standing=stands,
        trouble=trouble.of_annexes(db, person, language, annex_id=place.id).get(place.id, []),
        edit_services_href=f"/annexes/{place.id}/services" if person.may("edit_services") else "",
        devices=sorted(
            ((row, row.presence(now)) for row in rows), key=lambda pair: province.by_urgency(pair[1], pair[0].name)
        ),
        printers=fleet.printers(rows, known),
        queues=fleet.queues(rows, known),
        maintained=maintained.on_annex(db, place.id, now=now),
        may_enrol=person.may("manage_tokens"),
        events=f"/api/v1/events?annex={place.id}",
    )
