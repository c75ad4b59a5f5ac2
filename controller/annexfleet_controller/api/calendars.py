"""/api/v1/calendars: when annexes are open, holidays, Ramadan."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Db, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.once import OnceOf
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.calendars import FEASTS, Calendar, Holiday, parse, written
from annexfleet_controller.calendars.document import parse_name, written_week
from annexfleet_controller.calendars.holidays import fixed_of, ramadan, ramadans_known
from annexfleet_controller.errors import CalendarWrong
from annexfleet_controller.store import annexes, calendars
from annexfleet_controller.store.calendars import PROVINCE, EnteredHoliday, Kept
from annexfleet_controller.tending import calendars as tending

router = APIRouter(prefix="/api/v1/calendars", tags=["calendars"], responses=problems.RESPONSES)

Looking = Annotated[Person, Depends(Needs("look"))]
Editing = Annotated[Person, Depends(Needs("edit_calendars"))]
EditingProvince = Annotated[Person, Depends(Needs("edit_province_calendar"))]
CHANGED: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}

_DOCUMENT: dict[str, JsonValue] = {
    "week": {"monday": [["08:30", "12:00"], ["14:00", "18:30"]], "friday": [["08:30", "12:00"]]},
    "ramadan": None,
    "exceptions": [{"date": "2026-12-24", "closed": True, "name": "inventory"}],
    "closed_on_holidays": None,
}


class DocumentIn(BaseModel):
    version: Annotated[int, Field(ge=0, le=2**31 - 2)]
    """The version that it changes, as it was read; 0 where there was none."""
    document: dict[str, JsonValue]

    model_config = {"json_schema_extra": {"examples": [{"version": 0, "document": _DOCUMENT}]}}


class DocumentOut(BaseModel):
    """What somebody decided for the province or one annex; null where nothing was, so that what is above it counts."""

    version: int
    updated_at: datetime | None
    updated_by: str
    document: dict[str, JsonValue]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {"version": 1, "updated_at": "2026-11-23T08:00:00Z", "updated_by": "amina", "document": _DOCUMENT}
            ]
        }
    }


class HoursOut(BaseModel):
    """What counts now: the annex's own decisions, then the province's, then the default."""

    time_zone: str
    week: dict[str, list[list[str]]]
    ramadan: dict[str, list[list[str]]]
    closed_on_holidays: bool
    is_open: bool
    opens_at: datetime | None
    """The next opening, within 60 days; null while open."""
    closes_at: datetime | None
    """Null while closed, or where it never closes."""
    why_closed_today: str
    """`weekend`, `holiday:<name>` or `exception` on a day without any opening; else empty."""


class CalendarOut(DocumentOut):
    annex: str
    is_own: bool
    """Whether the annex decided anything itself."""
    hours: HoursOut


class CalendarPage(BaseModel):
    items: list[CalendarOut]
    next: str | None = None


class HolidayOut(BaseModel):
    date: date
    name: str
    religious: bool
    fixed: bool
    """Known without being entered."""
    entered_by: str = ""


class MissingOut(BaseModel):
    """A religious date that somebody has to enter, or to confirm."""

    name: str
    hijri_year: int
    expected: date
    """About when, right to a day or two."""
    to_confirm: bool


class HolidayPage(BaseModel):
    items: list[HolidayOut]
    missing: list[MissingOut]


class NewHoliday(BaseModel):
    """`name` is a religious holiday's code (eid_al_fitr, eid_al_adha, hijri_new_year, mawlid), of which `date` is the
    first day and all days are entered, or any other name, for one day."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    date: Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]

    model_config = {"json_schema_extra": {"examples": [{"name": "eid_al_fitr", "date": "2027-03-10"}]}}


class NewRamadan(BaseModel):
    first_day: Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]
    last_day: Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2100, 1, 1))]
    confirmed: bool

    model_config = {
        "json_schema_extra": {
            "examples": [{"first_day": "2027-02-08", "last_day": "2027-03-09", "confirmed": False}]
        }
    }  # fmt: skip


class RamadanOut(BaseModel):
    hijri_year: int
    first_day: date
    last_day: date
    confirmed: bool
    entered_by: str
    """Empty for one that is known without being entered."""


class RamadanPage(BaseModel):
    items: list[RamadanOut]


# -- holidays and Ramadan


@router.get("/holidays")
def list_holidays(person: Looking, db: Db, now: Now, year: Annotated[int, Query(ge=2000, lt=2100)]) -> HolidayPage:
    """The holidays of a year, fixed and entered, and the religious dates that are missing, whichever the year."""
    entered = calendars.holidays(db, since=date(year, 1, 1), until=date(year, 12, 31))
    items = [HolidayOut(date=one.date, name=one.name, religious=False, fixed=True) for one in fixed_of(year)]
    items += [_holiday(one) for one in entered]
    missing = [
        MissingOut(name=one.name, hijri_year=one.year, expected=one.expected, to_confirm=one.to_confirm)
        for one in calendars.missing(db, now)
    ]
    return HolidayPage(items=sorted(items, key=lambda one: (one.date, one.name)), missing=missing)


@router.post("/holidays", status_code=201)
def add_holiday(new: NewHoliday, person: EditingProvince, once: OnceOf, now: Now) -> HolidayPage:
    """Enter a holiday for every annex.  A religious one that is entered again within 12 days is moved.

    With an `Idempotency-Key` a repeat within a day does nothing and answers the same.
    """
    name = parse_name(new.name, "name")
    if not name:
        raise CalendarWrong(field="name", reason="not_a_name")

    def work(db: Session) -> dict[str, Any]:
        days: list[Holiday] = []

        def enter() -> None:
            days.extend(_enter(db, name, new.date, by=person.name, now=now))

        tending.act(db, hand(person), "calendar.holidays", PROVINCE, enter, now=now)
        items = [_holiday(EnteredHoliday(day, now, person.name)) for day in days]
        return HolidayPage(items=items, missing=[]).model_dump(mode="json")

    return HolidayPage.model_validate(once.do(person, new.model_dump(), work, now=now))


@router.delete("/holidays/{day}", status_code=204)
def remove_holiday(
    *, day: date, person: EditingProvince, db: WritingDb, now: Now, name: Annotated[str, Query(max_length=100)]
) -> None:
    """Take one entered day back."""

    def remove() -> None:
        calendars.remove_holiday(db, day, name)

    tending.act(db, hand(person), "calendar.holidays", PROVINCE, remove, now=now)


@router.get("/ramadan")
def list_ramadans(person: Looking, db: Db) -> RamadanPage:
    """Every Ramadan that is known or entered, in order."""
    entered = calendars.ramadans(db)
    by = {one.ramadan.year: one.entered_by for one in entered}
    return RamadanPage(
        items=[
            RamadanOut(
                hijri_year=one.year, first_day=one.first_day, last_day=one.last_day, confirmed=one.confirmed,
                entered_by=by.get(one.year, ""),
            )
            for one in ramadans_known(one.ramadan for one in entered)
        ]
    )  # fmt: skip


@router.put("/ramadan")
def put_ramadan(new: NewRamadan, person: EditingProvince, db: WritingDb, now: Now) -> RamadanOut:
    """Enter a Ramadan, or correct the one of its year; the Hijri year follows from the days."""
    month = ramadan(new.first_day, new.last_day, confirmed=new.confirmed)

    def put() -> None:
        calendars.put_ramadan(db, month, by=person.name, now=now)

    tending.act(db, hand(person), "calendar.ramadan", PROVINCE, put, now=now)
    return RamadanOut(hijri_year=month.year, **new.model_dump(), entered_by=person.name)


@router.delete("/ramadan/{hijri_year}", status_code=204)
def remove_ramadan(
    hijri_year: Annotated[int, Path(ge=1, le=9999)], person: EditingProvince, db: WritingDb, now: Now
) -> None:
    """Take an entered one back; what is known without being entered counts again."""

    def remove() -> None:
        calendars.remove_ramadan(db, hijri_year)

    tending.act(db, hand(person), "calendar.ramadan", PROVINCE, remove, now=now)


# -- the province and its annexes


@router.get("/province")
def show_province(person: Looking, db: Db) -> DocumentOut:
    """What the province decided for all its annexes."""
    return DocumentOut(**_document(calendars.get(db, PROVINCE)))


@router.put("/province", responses=CHANGED)
def put_province(new: DocumentIn, person: EditingProvince, db: WritingDb, now: Now) -> DocumentOut:
    """Decide for all annexes that did not decide themselves."""
    _put(db, person, PROVINCE, new, now=now)
    return DocumentOut(**_document(calendars.get(db, PROVINCE)))


@router.get("")
def list_calendars(
    person: Looking, db: Db, now: Now, cursor: paging.Cursor = "", limit: paging.Limit = 100
) -> CalendarPage:
    """The opening hours of the annexes in your sight, by annex."""
    after = paging.keys(cursor, 1)
    rows = annexes.listing(db, person.scope, after=after[0] if after else "", limit=limit + 1)
    resolved = calendars.of_all(db)
    kept = calendars.documents(db, [row.id for row in rows])
    return CalendarPage(
        items=[_calendar(row.id, kept[row.id], resolved[row.id], now) for row in rows[:limit]],
        next=paging.cursor(rows[limit - 1].id) if len(rows) > limit else None,
    )


@router.get("/{annex_id}")
def show_calendar(annex_id: str, person: Looking, db: Db, now: Now) -> CalendarOut:
    """The opening hours of one annex: what it decided itself, and what counts."""
    annexes.get(db, person.scope, annex_id)
    return _calendar(annex_id, calendars.get(db, annex_id), calendars.of(db, annex_id), now)


@router.put("/{annex_id}", responses=CHANGED)
def put_calendar(annex_id: str, new: DocumentIn, person: Editing, db: WritingDb, now: Now) -> CalendarOut:
    """Decide for one annex.  409 if somebody else did meanwhile: read it again."""
    annexes.get(db, person.scope, annex_id)
    _put(db, person, annex_id, new, now=now)
    return _calendar(annex_id, calendars.get(db, annex_id), calendars.of(db, annex_id), now)


@router.delete("/{annex_id}", status_code=204)
def take_back(annex_id: str, person: Editing, db: WritingDb, now: Now) -> None:
    """Back to the province's hours."""
    annexes.get(db, person.scope, annex_id)

    def take() -> None:
        calendars.take_back(db, annex_id, by=person.name, now=now)

    tending.act(db, hand(person), "calendar.change", annex_id, take, now=now)


def _put(db: Session, person: Person, scope: str, new: DocumentIn, *, now: datetime) -> None:
    document = parse(new.document)

    def put() -> None:
        calendars.put(db, scope, document, version=new.version, by=person.name, now=now)

    tending.act(db, hand(person), "calendar.change", scope, put, now=now)


def _enter(db: Session, name: str, day: date, *, by: str, now: datetime) -> list[Holiday]:
    if name in {feast.name for feast in FEASTS}:
        return calendars.enter_feast(db, name, day, by=by, now=now)
    return [calendars.add_holiday(db, day, name, by=by, now=now)]


def _holiday(one: EnteredHoliday) -> HolidayOut:
    return HolidayOut(
        date=one.holiday.date,
        name=one.holiday.name,
        religious=one.holiday.religious,
        fixed=False,
        entered_by=one.entered_by,
    )


def _document(kept: Kept) -> dict[str, Any]:
    return {
        "version": kept.version,
        "updated_at": kept.updated_at,
        "updated_by": kept.updated_by,
        "document": written(kept.document),
    }


def _calendar(annex_id: str, kept: Kept, calendar: Calendar, now: datetime) -> CalendarOut:
    is_open = calendar.is_open(now)
    today = now.astimezone(calendar.zone).date()
    return CalendarOut(
        annex=annex_id,
        is_own=kept.is_own,
        hours=HoursOut(
            time_zone=calendar.time_zone,
            week=written_week(calendar.week),
            ramadan=written_week(calendar.ramadan_week),
            closed_on_holidays=calendar.closed_on_holidays,
            is_open=is_open,
            opens_at=None if is_open else calendar.next_opening(now),
            closes_at=calendar.closes_at(now),
            why_closed_today=calendar.why_closed(today),
        ),
        **_document(kept),
    )
