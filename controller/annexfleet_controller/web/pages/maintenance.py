"""/maintenance: what is quiet now and until when, what is planned, what was; and planning some."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import planning
from annexfleet_controller.calendars.document import WEEKDAYS
from annexfleet_controller.errors import MaintenanceWrong
from annexfleet_controller.i18n import formats
from annexfleet_controller.maintenance import Draft
from annexfleet_controller.store import annexes, fleet, maintenance
from annexfleet_controller.things import Thing
from annexfleet_controller.web.pages.maintained import lines
from annexfleet_controller.web.pages.province import names_of
from annexfleet_controller.web.render import Page

router = APIRouter(prefix="/maintenance", include_in_schema=False)

Looking = Annotated[Person, Depends(Needs("plan_maintenance"))]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Text = Annotated[str, Form(max_length=400)]
_PAST_SHOWN = 30
_AN_HOUR = timedelta(hours=1)
WHEN = ("hour", "tonight", "between", "weekly")
_FIELDS = {
    "reason": "reason", "starts_at": "start", "ends_at": "end", "until": "until", "annexes": "what", "things": "what",
    "province": "what", "roles": "role", "weekdays": "weekday", "minutes": "minutes", "at": "at",
}  # fmt: skip
"""The field of the form for each that a refusal names."""
_LOCAL = "%Y-%m-%dT%H:%M"


class Asked:
    """The form as it was sent, so that it can be shown again with what is wrong."""

    def __init__(
        self,
        *,
        annex: Text = "",
        what: Text = "annex",
        role: Text = "",
        when: Text = "hour",
        start: Text = "",
        end: Text = "",
        weekday: Annotated[list[str], Form(max_length=7)] = [],  # noqa: B006  # FastAPI copies it
        at: Text = "",
        minutes: Text = "",
        until: Text = "",
        reason: Annotated[str, Form(max_length=2000)] = "",
    ) -> None:
        self.annex, self.what, self.role, self.when = annex, what, role, when
        self.start, self.end, self.weekday, self.at = start, end, weekday, at
        self.minutes, self.until, self.reason = minutes, until, reason


AskedOf = Annotated[Asked, Depends(Asked)]


@router.get("")
def show(
    *,
    person: Looking,
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    annex: Annotated[str, Query(max_length=63)] = "",
    what: Annotated[str, Query(max_length=200)] = "annex",
) -> HTMLResponse:
    """`annex` and `what` (`device:<id>`, `printer:<id>`) choose in the form what is to be worked on."""
    if annex:
        annexes.get(db, person.scope, annex)
    asked = Asked(annex=annex, what=what, reason="")
    return page("maintenance.html", **_shown(db, person, now, language, asked))


@router.post("")
def plan(*, person: Looking, db: WritingDb, now: Now, language: LanguageOf, page: Page, asked: AskedOf) -> Response:
    try:
        planning.plan(db, person.scope, _draft(db, person, asked, now), author=person.name, via=person.via, now=now)
    except MaintenanceWrong as wrong:
        shown = _shown(db, person, now, language, asked, wrong=wrong)
        return page("maintenance.html", status=422, **shown)
    return RedirectResponse("/maintenance", 303)


@router.post("/{maintenance_id}/end")
def end(
    *,
    maintenance_id: Id,
    person: Looking,
    db: WritingDb,
    now: Now,
    version: Annotated[int, Form(ge=1, le=2**31 - 1)],
    wholly: Annotated[bool, Form()] = False,
) -> Response:
    planning.end(
        db, person.scope, maintenance_id, by=person.name, via=person.via, now=now, wholly=wholly, version=version
    )
    return RedirectResponse("/maintenance", 303)


@router.post("/{maintenance_id}/move-end")
def move_end(
    *,
    maintenance_id: Id,
    person: Looking,
    db: WritingDb,
    now: Now,
    language: LanguageOf,
    page: Page,
    version: Annotated[int, Form(ge=1, le=2**31 - 1)],
    end: Text = "",
    until: Text = "",
) -> Response:
    m = maintenance.get(db, person.scope, maintenance_id)
    try:
        planning.move_end(
            db, person.scope, maintenance_id, ends_at=_local(end, m.time_zone, "ends_at"), until=_date(until),
            by=person.name, via=person.via, now=now, version=version,
        )  # fmt: skip
    except MaintenanceWrong as wrong:
        shown = _shown(db, person, now, language, Asked(reason=""), wrong=wrong, wrong_id=maintenance_id)
        return page("maintenance.html", status=422, **shown)
    return RedirectResponse("/maintenance", 303)


def _draft(db: Session, person: Person, asked: Asked, now: datetime) -> Draft:
    """What the form asks for.  Raises MaintenanceWrong for what is no time or date at all."""
    kind, _, id_ = asked.what.partition(":")
    things = (Thing("printer" if kind == "printer" else "device", id_),) if kind in ("device", "printer") else ()
    zone = annexes.get(db, person.scope, asked.annex).time_zone if asked.annex else "Africa/Casablanca"
    whole: dict[str, Any] = {
        "province": kind == "province", "things": things, "reason": asked.reason,
        "annexes": (asked.annex,) if asked.annex and kind == "annex" else (),
        "roles": (asked.role,) if asked.role and not things else (),
    }  # fmt: skip
    if asked.when == "weekly":
        minutes = int(asked.minutes) if asked.minutes.isascii() and asked.minutes.isdecimal() else 0
        of = {"weekdays": tuple(asked.weekday), "at": asked.at, "minutes": minutes, "until": _date(asked.until)}
        if not asked.weekday:
            raise MaintenanceWrong(field="weekdays", reason="no_weekdays")
    elif asked.when == "between":
        of = {"starts_at": _local(asked.start, zone, "starts_at"), "ends_at": _local(asked.end, zone, "ends_at")}
    elif asked.when not in WHEN:
        raise MaintenanceWrong(field="ends_at", reason="no_end")
    else:
        of = {"ends_at": _tonight(now, zone) if asked.when == "tonight" else now + _AN_HOUR}
    return Draft(**(whole | of))


def _tonight(now: datetime, zone: str) -> datetime:
    """Midnight on the annex's wall."""
    tomorrow = now.astimezone(zones.zone(zone)).date() + timedelta(days=1)
    return datetime.combine(tomorrow, datetime.min.time(), zones.zone(zone)).astimezone(now.tzinfo)


def _local(text: str, zone: str, field: str) -> datetime | None:
    """A `datetime-local` field in the annex's time zone; None where nothing was typed."""
    if not text.strip():
        return None
    try:
        at = datetime.strptime(text.strip()[:16], _LOCAL).replace(tzinfo=zones.zone(zone))
    except ValueError:
        raise MaintenanceWrong(field=field, reason="time_wrong") from None
    if not 1971 <= at.year <= 9000:
        raise MaintenanceWrong(field=field, reason="time_wrong")
    return at


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise MaintenanceWrong(field="until", reason="time_wrong") from None


def _shown(
    db: Session,
    person: Person,
    now: datetime,
    language: LanguageOf,
    asked: Asked,
    *,
    wrong: MaintenanceWrong | None = None,
    wrong_id: int = 0,
) -> dict[str, object]:
    """Everything the page shows."""
    places = names_of(db, person.scope, language.code)
    if not asked.annex and len(places) == 1:
        (asked.annex,) = places
    to_come = lines(db, person, maintenance.to_come(db, person.scope, now=now), now=now, language=language)
    over = lines(db, person, maintenance.past(db, person.scope, now=now, limit=_PAST_SHOWN), now=now, language=language)
    rows = fleet.devices(db, person.scope, now=now, annex_id=asked.annex) if asked.annex else []
    known = fleet.known(db, rows, collectors=["printers"])
    local_now = now.astimezone(zones.PROVINCE)
    return {
        "active": [line for line in to_come if line.condition == "active"],
        "planned": [line for line in to_come if line.condition == "planned"],
        "past": over,
        "annexes": list(places.items()),
        "devices": rows,
        "printers": fleet.printers(rows, known),
        "asked": asked,
        "whole_province": person.scope.annexes is None,
        "weekdays": list(zip(WEEKDAYS, formats.weekdays(language), strict=True)),
        "whens": WHEN,
        "wrong_field": _FIELDS.get(str(wrong.facts["field"]), "") if wrong is not None and not wrong_id else "",
        "reason_code": wrong.facts["reason"] if wrong is not None and not wrong_id else "",
        "wrong_line": (wrong_id, wrong.facts["reason"]) if wrong is not None else (0, ""),
        "first": local_now.strftime(_LOCAL),
        "tonight": _tonight(now, "Africa/Casablanca"),
        "hour": now + _AN_HOUR,
    }
