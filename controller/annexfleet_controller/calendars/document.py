"""The document of a calendar: what a person edits, as JSON, and what is refused.

```json
{"week": {"monday": [["08:30", "12:00"], ["14:00", "18:30"]], "saturday": [["09:00", "12:00"]]},
 "ramadan": {"monday": [["09:00", "15:00"]]},
 "exceptions": [{"date": "2026-12-24", "hours": [["08:30", "12:00"]], "name": "inventory"},
                {"from": "2027-07-01", "to": "2027-07-03", "closed": true}],
 "closed_on_holidays": true}
```

What is left out, or null, is the province's, and for the province the default.  A week that is given is whole: a day
that it does not name is closed.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any, get_args

from msgspec import Struct

from annexfleet_controller.calendars.calendar import DatedHours, Spans, Week
from annexfleet_controller.errors import CalendarWrong

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_SPANS = 6
"""In one day."""
MOST_EXCEPTIONS = 300
LONGEST_EXCEPTION_DAYS = 366
LONGEST_NAME = 100
YEARS = range(2000, 2100)
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FIELDS = frozenset({"week", "ramadan", "exceptions", "closed_on_holidays"})
_EXCEPTION_FIELDS = frozenset({"date", "from", "to", "hours", "closed", "name"})

assert len(get_args(Week)) == len(WEEKDAYS)


class CalendarDocument(Struct, frozen=True):
    """What somebody decided; None where nothing was."""

    week: Week | None = None
    ramadan: Week | None = None
    exceptions: tuple[DatedHours, ...] = ()
    closed_on_holidays: bool | None = None


def parse(document: object) -> CalendarDocument:
    """A document from decoded JSON.

    Raises CalendarWrong with `field` (such as `week.monday` or `exceptions.2.to`, counted from 0) and `reason`, a code
    that has words.
    """
    fields = _mapping(document, "", _FIELDS)
    closed = fields.get("closed_on_holidays")
    if closed is not None and not isinstance(closed, bool):
        raise CalendarWrong(field="closed_on_holidays", reason="not_yes_or_no")
    return CalendarDocument(
        week=_week(fields.get("week"), "week"),
        ramadan=_week(fields.get("ramadan"), "ramadan"),
        exceptions=_exceptions(fields.get("exceptions")),
        closed_on_holidays=closed,
    )


def written(document: CalendarDocument) -> dict[str, Any]:
    """The document as JSON has it; `parse` gives it back."""
    return {
        "week": None if document.week is None else written_week(document.week),
        "ramadan": None if document.ramadan is None else written_week(document.ramadan),
        "exceptions": [_written_exception(one) for one in document.exceptions],
        "closed_on_holidays": document.closed_on_holidays,
    }


def written_week(week: Week) -> dict[str, list[list[str]]]:
    return {day: written_spans(spans) for day, spans in zip(WEEKDAYS, week, strict=True) if spans}


def written_spans(spans: Spans) -> list[list[str]]:
    """Such as [["08:30", "16:30"]]."""
    return [[time(opens), time(closes)] for opens, closes in spans]


def time(minutes: int) -> str:
    """Minutes since midnight as people write them: 08:30, 24:00."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def parse_spans(value: object, field: str) -> Spans:
    """The spans of a day, sorted.  Raises CalendarWrong."""
    items = _list(value, field, MOST_SPANS)
    spans = []
    for item in items:
        pair = _list(item, field, 2)
        if len(pair) != 2:
            raise CalendarWrong(field=field, reason="not_a_span")
        opens, closes = (_minutes(one, field) for one in pair)
        if closes <= opens:
            raise CalendarWrong(field=field, reason="ends_before_it_begins")
        spans.append((opens, closes))
    spans.sort()
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            raise CalendarWrong(field=field, reason="spans_overlap")
    return tuple(spans)


def parse_day(value: object, field: str) -> date:
    """A date such as 2026-12-24.  Raises CalendarWrong."""
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise CalendarWrong(field=field, reason="not_a_date")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise CalendarWrong(field=field, reason="not_a_date") from None
    if day.year not in YEARS:
        raise CalendarWrong(field=field, reason="not_a_date")
    return day


def parse_name(value: object, field: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not all(c.isprintable() for c in value):
        raise CalendarWrong(field=field, reason="not_a_name")
    return value.strip()


def _week(value: object, field: str) -> Week | None:
    if value is None:
        return None
    days = _mapping(value, field, frozenset(WEEKDAYS))
    monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
        parse_spans(days.get(day) or [], f"{field}.{day}") for day in WEEKDAYS
    )
    return monday, tuesday, wednesday, thursday, friday, saturday, sunday


def _exceptions(value: object) -> tuple[DatedHours, ...]:
    """Shortest first, so that one day within a long summer counts; of equal length none may share a day."""
    items = _list([] if value is None else value, "exceptions", MOST_EXCEPTIONS)
    found = [(place, _exception(item, f"exceptions.{place}")) for place, item in enumerate(items)]
    found.sort(key=lambda one: (one[1].last - one[1].first, one[1].first))
    for (_, before), (place, after) in pairwise(found):
        if after.last - after.first == before.last - before.first and after.first <= before.last:
            raise CalendarWrong(field=f"exceptions.{place}", reason="exceptions_overlap")
    return tuple(one for _, one in found)


def _exception(value: object, field: str) -> DatedHours:
    fields = _mapping(value, field, _EXCEPTION_FIELDS)
    if ("date" in fields) == ("from" in fields or "to" in fields):
        raise CalendarWrong(field=field, reason="date_or_from_and_to")
    if "date" in fields:
        first = last = parse_day(fields["date"], f"{field}.date")
    else:
        first = parse_day(fields.get("from"), f"{field}.from")
        last = parse_day(fields.get("to"), f"{field}.to")
    if last < first:
        raise CalendarWrong(field=f"{field}.to", reason="ends_before_it_begins")
    if (last - first).days >= LONGEST_EXCEPTION_DAYS:
        raise CalendarWrong(field=f"{field}.to", reason="too_long")
    closed = fields.get("closed", False)
    if not isinstance(closed, bool):
        raise CalendarWrong(field=f"{field}.closed", reason="not_yes_or_no")
    hours = parse_spans(fields.get("hours") or [], f"{field}.hours")
    if closed == bool(hours):
        raise CalendarWrong(field=field, reason="hours_or_closed")
    return DatedHours(first, last, hours, parse_name(fields.get("name", ""), f"{field}.name"))


def _written_exception(one: DatedHours) -> dict[str, Any]:
    when = (
        {"date": one.first.isoformat()}
        if one.first == one.last
        else {"from": one.first.isoformat(), "to": one.last.isoformat()}
    )
    hours: dict[str, Any] = {"hours": written_spans(one.hours)} if one.hours else {"closed": True}
    return {**when, **hours, "name": one.name}


def _mapping(value: object, field: str, known: frozenset[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise CalendarWrong(field=field or "document", reason="not_an_object")
    for key in value:
        if key not in known:
            shown = str(key)[:40]
            raise CalendarWrong(field=f"{field}.{shown}" if field else shown, reason="unknown_field")
    return value


def _list(value: object, field: str, most: int) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise CalendarWrong(field=field, reason="not_a_list")
    if len(value) > most:
        raise CalendarWrong(field=field, reason="too_many")
    return value


def _minutes(value: object, field: str) -> int:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise CalendarWrong(field=field, reason="not_a_time")
    return int(value[:2]) * 60 + int(value[3:])
