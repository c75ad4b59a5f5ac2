"""Opening hours on a page: how they are shown, and the form that changes them, which needs no script.

Both the province's page and an annex's use it.  A form says what it does in its field `do`; its other fields are read
here and given to `calendars.parse`, which refuses with the place and the reason.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.calendars import Calendar, CalendarDocument, Ramadan, Spans, Week, parse, written
from annexfleet_controller.calendars.document import WEEKDAYS, parse_day, time
from annexfleet_controller.errors import CalendarChanged, CalendarWrong
from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import calendars
from annexfleet_controller.store.calendars import Kept
from annexfleet_controller.tending import calendars as tending
from annexfleet_controller.tending.trace import Hand

AHEAD_DAYS = 60
_PAIRS = 2
"""Spans of a day that a form offers at least; it offers more where there are more."""
_LOOSE_TIME = re.compile(r"(\d{1,2}) ?(?:[:hH.] ?(\d{2})?)?|(\d{1,2})(\d{2})")
_LONGEST_FIELD = 200


# -- as it is shown


class Day(Struct, frozen=True):
    """A row of the week's table."""

    name: str
    usual: Spans
    in_ramadan: Spans
    is_today: bool


class Unusual(Struct, frozen=True):
    """Days ahead with other hours than the week's; without hours they are closed."""

    first: date
    last: date
    name: str
    hours: Spans


class State(Struct, frozen=True):
    """Whether it is open, and until when or from when, as the clock there shows it."""

    is_open: bool
    why_closed: str
    time: str = ""
    day: str = ""
    """Empty if that is today."""


def state(calendar: Calendar, now: datetime, language: Language) -> State:
    is_open = calendar.is_open(now)
    moment = calendar.closes_at(now) if is_open else calendar.next_opening(now)
    today = now.astimezone(calendar.zone).date()
    why = calendar.why_closed(today)
    if moment is None:
        return State(is_open, why)
    there = moment.astimezone(calendar.zone)
    day = "" if there.date() == today else formats.weekday_and_day(language, there.date())
    return State(is_open, why, there.strftime("%H:%M"), day)


def week(calendar: Calendar, now: datetime, language: Language) -> list[Day]:
    today = now.astimezone(calendar.zone).weekday()
    return [
        Day(formats.weekday(language, number), calendar.week[number], calendar.ramadan_week[number], number == today)
        for number in range(len(WEEKDAYS))
    ]


def unusual(calendar: Calendar, now: datetime) -> list[Unusual]:
    """The exceptions and holidays of the next 60 days that change anything, in order; days of one kind together."""
    today = now.astimezone(calendar.zone).date()
    found: list[Unusual] = []
    for number in range(AHEAD_DAYS):
        day = today + timedelta(days=number)
        exception = calendar.exception_on(day)
        if exception is not None:
            one = Unusual(day, day, exception.name, exception.hours)
        elif calendar.why_closed(day).startswith("holiday:"):
            one = Unusual(day, day, calendar.holiday_on(day), ())
        else:
            continue
        if found and _goes_on(found[-1], one):
            one = Unusual(found.pop().first, day, one.name, one.hours)
        found.append(one)
    return found


def ramadan_ahead(calendar: Calendar, now: datetime) -> Ramadan | None:
    """The Ramadan that is now or next."""
    today = now.astimezone(calendar.zone).date()
    return next((one for one in calendar.ramadans if one.last_day >= today), None)


def _goes_on(before: Unusual, after: Unusual) -> bool:
    same = (before.name, before.hours) == (after.name, after.hours)
    return same and before.last == after.first - timedelta(days=1)


# -- as it is changed


class Pair(Struct, frozen=True):
    """Two fields of the form: from, to."""

    field: str
    opens: str
    closes: str


class DayForm(Struct, frozen=True):
    name: str
    pairs: list[Pair]


class WeekForm(Struct, frozen=True):
    kind: str
    """`week` or `ramadan`, which also begins the names of its fields."""
    is_own: bool
    days: list[DayForm]


def _fields_of(form: Mapping[str, object]) -> dict[str, str]:
    return {key: value[:_LONGEST_FIELD] for key, value in form.items() if isinstance(value, str)}


async def _fields(request: Request) -> dict[str, str]:
    return _fields_of(await request.form())


Fields = Annotated[dict[str, str], Depends(_fields)]
"""What a form sent, by field."""


def forms(kept: Kept, calendar: Calendar, typed: Mapping[str, str], language: Language) -> list[WeekForm]:
    """The two weeks to fill in: what counts now, or, after a refusal, what was typed."""
    document = kept.document
    return [
        _week_form("week", document.week is not None, calendar.week, typed, language),
        _week_form("ramadan", document.ramadan is not None, calendar.ramadan_week, typed, language),
    ]


def _week_form(kind: str, is_own: bool, hours: Week, typed: Mapping[str, str], language: Language) -> WeekForm:
    days = []
    for number, (code, spans) in enumerate(zip(WEEKDAYS, hours, strict=True)):
        pairs = []
        for place in range(max(_PAIRS, len(spans))):
            field = f"{kind}.{code}.{place}"
            opens, closes = map(time, spans[place]) if place < len(spans) else ("", "")
            pairs.append(Pair(field, typed.get(f"{field}.from", opens), typed.get(f"{field}.to", closes)))
        days.append(DayForm(formats.weekday(language, number), pairs))
    return WeekForm(kind, typed[f"{kind}.own"] == "yes" if f"{kind}.own" in typed else is_own, days)


def change(db: Session, hand: Hand, scope: str, fields: Mapping[str, str], *, now: datetime) -> None:
    """What a form of opening hours asks for: `do` is hours, add, remove or reset.

    Raises CalendarWrong, or CalendarChanged if the page is older than what is kept.
    """
    kept = calendars.get(db, scope)
    if str(kept.version) != fields.get("version"):
        raise CalendarChanged
    asked = _CHANGES.get(fields.get("do", ""))
    if asked is None:
        raise CalendarWrong(field="document", reason="unknown_field")
    calendar = calendars.of(db, scope) if scope else calendars.of_province(db)
    document = parse(asked(written(kept.document), kept.document, calendar, fields))

    def put() -> None:
        calendars.put(db, scope, document, version=kept.version, by=hand.name, now=now)

    tending.act(db, hand, "calendar.change", scope, put, now=now)


Raw = dict[str, Any]


def _hours(raw: Raw, document: CalendarDocument, calendar: Calendar, fields: Mapping[str, str]) -> Raw:
    for kind, own, counts in (
        ("week", document.week, calendar.week), ("ramadan", document.ramadan, calendar.ramadan_week),
    ):  # fmt: skip
        typed = {day: _typed_spans(fields, f"{kind}.{day}") for day in WEEKDAYS}
        is_wished = fields.get(f"{kind}.own") == "yes"
        if not is_wished and own is None:
            # Whoever changed a time and left the choice above it untouched means the time.
            is_wished = parse({kind: typed}) != parse({kind: dict(zip(WEEKDAYS, map(_listed, counts), strict=True))})
        raw[kind] = typed if is_wished else None
    raw["closed_on_holidays"] = {"yes": True, "no": False}.get(fields.get("closed_on_holidays", ""))
    return raw


def _add(raw: Raw, document: CalendarDocument, calendar: Calendar, fields: Mapping[str, str]) -> Raw:
    first = fields.get("first", "").strip()
    last = fields.get("last", "").strip()
    when = {"date": first} if last in ("", first) else {"from": first, "to": last}
    hours = _typed_spans(fields, "hours")
    raw["exceptions"].append(
        {**when, **({"hours": hours} if hours else {"closed": True}), "name": fields.get("name", "")}
    )
    return raw


def _remove(raw: Raw, document: CalendarDocument, calendar: Calendar, fields: Mapping[str, str]) -> Raw:
    first, last = parse_day(fields.get("first"), "exceptions"), parse_day(fields.get("last"), "exceptions")
    raw["exceptions"] = [
        one
        for one, of in zip(raw["exceptions"], document.exceptions, strict=True)
        if (of.first, of.last) != (first, last)
    ]
    return raw


def _reset(raw: Raw, document: CalendarDocument, calendar: Calendar, fields: Mapping[str, str]) -> Raw:
    return {}


_CHANGES: dict[str, Callable[[Raw, CalendarDocument, Calendar, Mapping[str, str]], Raw]] = {
    "hours": _hours,
    "add": _add,
    "remove": _remove,
    "reset": _reset,
}


def _typed_spans(fields: Mapping[str, str], prefix: str) -> list[list[str]]:
    """The pairs below a prefix that are not empty; times as people write them: 8h30, 8:30, 0830, 8."""
    spans = []
    for place in range(12):
        pair = [fields.get(f"{prefix}.{place}.{end}", "").strip() for end in ("from", "to")]
        if any(pair):
            spans.append([_as_time(one) for one in pair if one])  # parse says that a half is no span
    return spans


def _as_time(typed: str) -> str:
    match = _LOOSE_TIME.fullmatch(typed)
    if match is None:
        return typed  # parse says that it is no time
    hour, minute = match[1] or match[3], match[2] or match[4] or "0"
    return f"{int(hour):02d}:{int(minute):02d}"


def _listed(spans: Spans) -> list[list[str]]:
    return [[time(opens), time(closes)] for opens, closes in spans]


class Refusal(Struct, frozen=True):
    """Why a form was refused, in words."""

    status: int
    code: str
    where: str = ""
    reason: str = ""
    field: str = ""
    """As the document names it: `week.monday`, `exceptions.2.first`."""


def refusal(error: CalendarWrong | CalendarChanged, language: Language) -> Refusal:
    if isinstance(error, CalendarChanged):
        return Refusal(409, error.code)
    field = str(error.facts["field"])
    where = [language.name("calendar_field", field.partition(".")[0])]
    where += [formats.weekday(language, WEEKDAYS.index(part)) for part in field.split(".") if part in WEEKDAYS]
    return Refusal(
        422,
        error.code,
        language.gettext(", ").join(where),
        language.name("calendar_reason", str(error.facts["reason"])),
        field,
    )
