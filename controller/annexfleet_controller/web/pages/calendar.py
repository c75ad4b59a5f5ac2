"""/annexes/<id>/calendar: when one annex is open, and the form that changes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import CalendarChanged, CalendarWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import annexes, calendars
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages import hours
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

NOTHING_TYPED: dict[str, str] = {}


@router.get("/annexes/{annex_id}/calendar")
def show(
    *,
    annex_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
) -> HTMLResponse:
    place = annexes.get(db, person.scope, annex_id)
    shown = _shown(db, place, now, language, NOTHING_TYPED)
    return page(
        "calendar.html",
        **shown,
        refusal=None,
        may_edit=_may(person),
        done=acts.newest(db, person, now, "calendar:", annex=annex_id),
    )


@router.post("/annexes/{annex_id}/calendar")
def change(
    *,
    annex_id: str,
    person: Annotated[Person, Depends(Needs("edit_calendars"))],
    db: WritingDb,
    now: Now,
    language: LanguageOf,
    page: Page,
    fields: hours.Fields,
) -> Response:
    """What was typed comes back with the reason where it is refused."""
    place = annexes.get(db, person.scope, annex_id)
    try:
        with db.begin_nested():
            hours.change(db, acts.hand(person), annex_id, fields, now=now)
    except (CalendarWrong, CalendarChanged) as refused:
        why = hours.refusal(refused, language)
        typed = NOTHING_TYPED if isinstance(refused, CalendarChanged) else fields
        shown = _shown(db, place, now, language, typed)
        return page("calendar.html", status=why.status, **shown, refusal=why, may_edit=True, done=None)
    return RedirectResponse(f"/annexes/{annex_id}/calendar", 303)


def _may(person: Person) -> bool:
    return person.may("edit_calendars")


def _shown(db: Session, place: Annex, now: datetime, language: Language, typed: Mapping[str, str]) -> dict[str, Any]:
    calendar = calendars.of(db, place.id)
    kept = calendars.get(db, place.id)
    return {
        "id": place.id,
        "place": name_of(place, language.code),
        "calendar": calendar,
        "kept": kept,
        "typed": typed,
        "state": hours.state(calendar, now, language),
        "week": hours.week(calendar, now, language),
        "unusual": hours.unusual(calendar, now),
        "ramadan": hours.ramadan_ahead(calendar, now),
        "forms": hours.forms(kept, calendar, typed, language),
    }
