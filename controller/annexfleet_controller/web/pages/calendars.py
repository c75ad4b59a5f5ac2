"""/admin/calendars: the hours of the province, holidays, Ramadan, and which religious dates are still missing."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.calendars import FEASTS, Holiday
from annexfleet_controller.calendars.document import parse_day, parse_name
from annexfleet_controller.calendars.holidays import fixed_of, ramadan, ramadans_known
from annexfleet_controller.errors import CalendarChanged, CalendarWrong, HolidayUnknown
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import annexes, calendars
from annexfleet_controller.store.calendars import PROVINCE
from annexfleet_controller.tending import calendars as tending
from annexfleet_controller.tending import effects
from annexfleet_controller.tending.errors import Unconfirmed
from annexfleet_controller.tending.trace import Hand
from annexfleet_controller.web import settings_acts as acts
from annexfleet_controller.web.pages import hours
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)


_PAGE = 100


class AnnexLine(Struct, frozen=True):
    id: str
    name: str
    is_open: bool
    is_own: bool


class Listed(Struct, frozen=True):
    """A holiday in the list; who entered it is empty for a fixed one."""

    holiday: Holiday
    entered_by: str = ""


class Fasting(Struct, frozen=True):
    """A Ramadan in the list; who entered it is empty for one that is known anyway."""

    year: int
    first_day: date
    last_day: date
    confirmed: bool
    entered_by: str


async def _form(request: Request) -> FormData:
    return await request.form()


@router.get("/admin/calendars")
def show(
    *, person: Annotated[Person, Depends(Needs("look"))], db: Db, now: Now, language: LanguageOf, page: Page,
    number: Annotated[int, Query(alias="page", ge=1, le=10_000)] = 1,
) -> HTMLResponse:  # fmt: skip
    return page("calendars.html", **_shown(db, person, now, language, {}, number=number), refusal=None)


@router.post("/admin/calendars")
def change(
    *,
    person: Annotated[Person, Depends(Needs("edit_province_calendar"))],
    db: WritingDb,
    now: Now,
    language: LanguageOf,
    page: Page,
    fields: hours.Fields,
    form: Annotated[FormData, Depends(_form)],
) -> Response:
    """What was typed comes back with the reason where it is refused; hours of several annexes are asked about first."""
    do = _CHANGES.get(fields.get("do", ""), _change_hours)
    try:
        with db.begin_nested():
            do(db, fields, acts.hand(person), now)
            if fields.get("do") in {"hours", "reset"}:
                said = [f"{name} {value}" for name, value in acts.sent(form)]
                reach = effects.of_province(db, "calendar.change", said, ("new_hours", "undo"))
                effects.demand(reach, acts.confirmed(form))
    except Unconfirmed:  # it could be so, and was rolled back: nothing that cannot be is asked about
        return acts.question(
            page, form, reach, act="calendar.change", action="/admin/calendars", back="/admin/calendars",
            came_back=bool(acts.confirmed(form)),
        )  # fmt: skip
    except (CalendarWrong, CalendarChanged) as refused:
        why = hours.refusal(refused, language)
        typed = {} if isinstance(refused, CalendarChanged) else fields
        return page("calendars.html", status=why.status, **_shown(db, person, now, language, typed), refusal=why)
    except HolidayUnknown:
        pass  # pressed twice, or by two people: it is gone, as they wished
    return RedirectResponse("/admin/calendars", 303)


def _change_hours(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    hours.change(db, hand, PROVINCE, fields, now=now)


def _feast(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    day = parse_day(fields.get("date"), "date")

    def enter() -> None:
        calendars.enter_feast(db, fields.get("name", ""), day, by=hand.name, now=now)

    tending.act(db, hand, "calendar.holidays", PROVINCE, enter, now=now)


def _holiday(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    name = parse_name(fields.get("name"), "name")
    if not name:
        raise CalendarWrong(field="name", reason="not_a_name")
    day = parse_day(fields.get("date"), "date")

    def enter() -> None:
        calendars.add_holiday(db, day, name, by=hand.name, now=now)

    tending.act(db, hand, "calendar.holidays", PROVINCE, enter, now=now)


def _remove_holiday(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    day = parse_day(fields.get("date"), "date")

    def remove() -> None:
        calendars.remove_holiday(db, day, fields.get("name", ""))

    tending.act(db, hand, "calendar.holidays", PROVINCE, remove, now=now)


def _ramadan(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    first = parse_day(fields.get("first_day"), "first_day")
    last = parse_day(fields.get("last_day"), "last_day")
    month = ramadan(first, last, confirmed=fields.get("confirmed") == "yes")

    def enter() -> None:
        calendars.put_ramadan(db, month, by=hand.name, now=now)

    tending.act(db, hand, "calendar.ramadan", PROVINCE, enter, now=now)


def _remove_ramadan(db: Session, fields: Mapping[str, str], hand: Hand, now: datetime) -> None:
    year = fields.get("year", "")
    if not year.isascii() or not year.isdigit() or len(year) > 4:
        raise HolidayUnknown

    def remove() -> None:
        calendars.remove_ramadan(db, int(year))

    tending.act(db, hand, "calendar.ramadan", PROVINCE, remove, now=now)


_CHANGES: dict[str, Callable[[Session, Mapping[str, str], Hand, datetime], None]] = {
    "feast": _feast,
    "holiday": _holiday,
    "remove_holiday": _remove_holiday,
    "ramadan": _ramadan,
    "remove_ramadan": _remove_ramadan,
}


def _shown(
    db: Session, person: Person, now: datetime, language: Language, typed: Mapping[str, str], *, number: int = 1
) -> dict[str, Any]:
    calendar = calendars.of_province(db)
    kept = calendars.get(db, PROVINCE)
    today = now.astimezone(calendar.zone).date()
    return {
        "calendar": calendar,
        "kept": kept,
        "typed": typed,
        "week": hours.week(calendar, now, language),
        "ramadan": hours.ramadan_ahead(calendar, now),
        "forms": hours.forms(kept, calendar, typed, language),
        "missing": calendars.missing(db, now),
        **_annexes(db, person, now, language, number=number),
        "years": [(year, _holidays(db, year)) for year in (today.year, today.year + 1)],
        "ramadans": [one for one in _ramadans(db) if one.last_day.year >= today.year],
        "feasts": [feast.name for feast in FEASTS],
        "may_edit": person.may("edit_province_calendar"),
        "done": acts.newest(db, person, now, "calendar:", annex=""),
    }


def _annexes(db: Session, person: Person, now: datetime, language: Language, *, number: int) -> dict[str, Any]:
    """A page of them, and how many there are."""
    places, count = annexes.page(db, person.scope, skip=(number - 1) * _PAGE, limit=_PAGE)
    resolved = calendars.of_all(db)
    kept = calendars.documents(db, [place.id for place in places])
    return {
        "lines": [
            AnnexLine(place.id, name_of(place, language.code), resolved[place.id].is_open(now), kept[place.id].is_own)
            for place in places
        ],
        "count": count,
        "newer": f"/admin/calendars?page={number - 1}#annexes" if number > 1 else "",
        "older": f"/admin/calendars?page={number + 1}#annexes" if number * _PAGE < count else "",
    }


def _holidays(db: Session, year: int) -> list[Listed]:
    """Fixed and entered, in order."""
    entered = calendars.holidays(db, since=date(year, 1, 1), until=date(year, 12, 31))
    found = [Listed(one) for one in fixed_of(year)] + [Listed(one.holiday, one.entered_by) for one in entered]
    return sorted(found, key=lambda one: one.holiday)


def _ramadans(db: Session) -> list[Fasting]:
    entered = calendars.ramadans(db)
    by = {one.ramadan.year: one.entered_by for one in entered}
    return [
        Fasting(one.year, one.first_day, one.last_day, one.confirmed, by.get(one.year, ""))
        for one in ramadans_known(one.ramadan for one in entered)
    ]
