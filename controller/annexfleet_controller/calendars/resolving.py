"""From documents to a calendar: what the annex decided, then the province, then the default."""

from collections.abc import Iterable

from annexfleet_controller.calendars.calendar import (
    DEFAULT_RAMADAN_WEEK,
    DEFAULT_TIME_ZONE,
    DEFAULT_WEEK,
    Calendar,
    Week,
)
from annexfleet_controller.calendars.document import CalendarDocument
from annexfleet_controller.calendars.holidays import Holiday, Ramadan, ramadans_known

_NOTHING = CalendarDocument()


def resolve(
    province: CalendarDocument | None,
    annex: CalendarDocument | None,
    holidays: Iterable[Holiday] = (),
    ramadans: Iterable[Ramadan] = (),
    time_zone: str = DEFAULT_TIME_ZONE,
) -> Calendar:
    """The calendar of one annex, field by field.

    Dated exceptions of both count; on a day that both name, the annex's own does.  Where the annex has a week of its
    own and the province's Ramadan hours, these do not open a day that its week leaves closed.  `ramadans` are those
    that were entered; other years come from KNOWN_RAMADANS.
    """
    province = province or _NOTHING
    annex = annex or _NOTHING
    week = annex.week or province.week or DEFAULT_WEEK
    ramadan = annex.ramadan
    if ramadan is None:
        ramadan = province.ramadan or _only_where_open(
            DEFAULT_RAMADAN_WEEK, province.week if province.week is not None else DEFAULT_WEEK
        )
        if annex.week is not None:
            ramadan = _only_where_open(ramadan, annex.week)
    closed = annex.closed_on_holidays
    if closed is None:
        closed = province.closed_on_holidays is not False
    return Calendar(
        time_zone=time_zone,
        week=week,
        ramadan_week=ramadan,
        ramadans=ramadans_known(ramadans),
        holidays=tuple(sorted(holidays)),
        exceptions=(*annex.exceptions, *province.exceptions),
        closed_on_holidays=closed,
    )


def _only_where_open(hours: Week, week: Week) -> Week:
    monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
        spans if usual else () for spans, usual in zip(hours, week, strict=True)
    )
    return monday, tuesday, wednesday, thursday, friday, saturday, sunday
