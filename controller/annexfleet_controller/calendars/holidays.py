"""Holidays of Morocco and Ramadan: the fixed ones as data, the religious ones as people enter them.

The month begins when the crescent was seen and the ministry of Habous has said so, on the eve.  No formula knows that,
so religious dates are entered by hand.  The tabular calendar below is right to a day or two: it says what is missing,
and about when.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from annexfleet_controller.errors import CalendarWrong
from annexfleet_controller.zones import PROVINCE

REMIND_DAYS = 60
"""So long before a year ends, the religious dates of the next are asked for."""
CONFIRM_DAYS = 3
"""So long before an expected Ramadan, somebody is asked to confirm it."""
_OFF_BY_DAYS = 5
"""A date further than this from the tabular calendar is a slip of the pen."""


class Holiday(Struct, frozen=True, order=True):
    """One day.  `name` is a code (of FIXED or FEASTS), or what somebody called it."""

    date: date
    name: str
    religious: bool = False


class Fixed(Struct, frozen=True):
    """A holiday on the same day each year, since a year."""

    month: int
    day: int
    name: str
    since: int = 1970


# Source: decree 2-77-169 of 28 February 1977, the days on which administrations rest, as amended and as listed by
# fr.wikipedia.org/wiki/Fêtes_et_jours_fériés_au_Maroc.  14 January: since 2024, by royal decision of 3 May 2023 (the
# text of its decree was not looked up).  31 October: decree 2.25.1140, adopted by the council of government in January
# 2026 after the royal decision of 2025 (biladi.ma, lesinfos.ma).
FIXED: tuple[Fixed, ...] = (
    Fixed(1, 1, "new_year"),
    Fixed(1, 11, "independence_manifesto"),
    Fixed(1, 14, "amazigh_new_year", since=2024),
    Fixed(5, 1, "labour_day"),
    Fixed(7, 30, "throne_day"),
    Fixed(8, 14, "oued_ed_dahab"),
    Fixed(8, 20, "revolution_king_people"),
    Fixed(8, 21, "youth_day"),
    Fixed(10, 31, "unity_day", since=2026),
    Fixed(11, 6, "green_march"),
    Fixed(11, 18, "independence_day"),
)


class Feast(Struct, frozen=True):
    """A religious holiday: the month and day of the Hijri year on which it begins, and how many days it lasts."""

    name: str
    month: int
    day: int
    days: int


# The same decree gives administrations two days for both Aïds (communiqué of 18 July 2021, lereporter.ma) and, in
# practice, for the Mawlid (marrakech7.ma: the Labour Code gives others one).
FEASTS: tuple[Feast, ...] = (
    Feast("hijri_new_year", 1, 1, days=1),
    Feast("mawlid", 3, 12, days=2),
    Feast("eid_al_fitr", 10, 1, days=2),
    Feast("eid_al_adha", 12, 10, days=2),
)
_FEAST = {feast.name: feast for feast in FEASTS}
_RAMADAN_MONTH = 9


class Ramadan(Struct, frozen=True, order=True):
    """The month of fasting, first and last day included.  `year` is the Hijri one: 2030 sees two of them begin."""

    year: int
    first_day: date
    last_day: date
    confirmed: bool = True


KNOWN_RAMADANS: tuple[Ramadan, ...] = (
    # Aïd al-Fitr on Monday 31 March 2025 after 29 days (communiqué of the ministry of Habous, walaw.press).
    Ramadan(1446, date(2025, 3, 2), date(2025, 3, 30)),
    # Its communiqués of 18 February (lereporter.ma) and of 19 March 2026: Aïd al-Fitr on Friday 20 March, after 29 days
    # (marrakechalaan.com).  Computed had been 30 (lesiteinfo.com, 17 February): a day off, as such dates are.
    Ramadan(1447, date(2026, 2, 19), date(2026, 3, 19)),
    # Computed, a day off perhaps at either end: not announced before the eve.
    Ramadan(1448, date(2027, 2, 8), date(2027, 3, 9), confirmed=False),
)
"""What is used for a year as long as nobody entered it."""


class Missing(Struct, frozen=True):
    """A religious date to be entered, or, with `to_confirm`, to be confirmed."""

    name: str
    """`ramadan`, or a code of FEASTS."""
    year: int
    """The Hijri year."""
    expected: date
    """About when: right to a day or two."""
    to_confirm: bool = False


def fixed_on(day: date) -> str:
    """The code of the fixed holiday on this day; empty on any other."""
    for fixed in FIXED:
        if (fixed.month, fixed.day) == (day.month, day.day) and day.year >= fixed.since:
            return fixed.name
    return ""


def fixed_of(year: int) -> list[Holiday]:
    """The fixed holidays of a year, in order."""
    return [Holiday(date(year, f.month, f.day), f.name) for f in FIXED if year >= f.since]


def ramadans_known(entered: Iterable[Ramadan]) -> tuple[Ramadan, ...]:
    """What was entered, and for the other years what is known here; in order."""
    by_year = {ramadan.year: ramadan for ramadan in (*KNOWN_RAMADANS, *entered)}
    return tuple(sorted(by_year.values()))


def feast_days(name: str, first_day: date) -> list[Holiday]:
    """The days of a feast that begins on this one.  Raises CalendarWrong for an unlikely date or an unknown feast."""
    feast = _FEAST.get(name)
    if feast is None:
        raise CalendarWrong(field="name", reason="unknown_feast")
    _check_near(first_day, feast.month, feast.day, field="date")
    return [Holiday(first_day + timedelta(days=n), name, religious=True) for n in range(feast.days)]


def ramadan(first_day: date, last_day: date, *, confirmed: bool) -> Ramadan:
    """Ramadan from its two days.  Raises CalendarWrong unless it has 29 or 30 and stands where Ramadan is expected."""
    if (last_day - first_day).days + 1 not in (29, 30):
        raise CalendarWrong(field="last_day", reason="not_29_or_30_days")
    year = _check_near(first_day, _RAMADAN_MONTH, 1, field="first_day")
    return Ramadan(year, first_day, last_day, confirmed)


def missing_religious(holidays: Iterable[Holiday], ramadans: Iterable[Ramadan], now: datetime) -> list[Missing]:
    """The religious dates that nobody has entered, in order: of what remains of this year, and, in its last 60 days,
    of the whole next one.

    `ramadans` are those that were entered; what is merely known here (KNOWN_RAMADANS) counts only where it is
    confirmed.  An entered one that is not confirmed is asked for from 3 days before it until it is over.
    """
    today = now.astimezone(PROVINCE).date()
    until = date(today.year, 12, 31)
    if (until - today).days < REMIND_DAYS:
        until = date(today.year + 1, 12, 31)
    entered = [(holiday.name, holiday.date) for holiday in holidays]
    by_year = {known.year: known for known in KNOWN_RAMADANS if known.confirmed} | {one.year: one for one in ramadans}
    missing: list[Missing] = []
    for year in range(_year_of(today) - 1, _year_of(until) + 2):
        for feast in FEASTS:
            about = tabular(year, feast.month, feast.day)
            if today <= about <= until and not _is_entered(feast.name, about, entered):
                missing.append(Missing(feast.name, year, about))
        about = tabular(year, _RAMADAN_MONTH, 1)
        known = by_year.get(year)
        if known is None and today <= about + timedelta(days=30) and about <= until:
            missing.append(Missing("ramadan", year, about))
        elif known is not None and not known.confirmed and _is_to_confirm(known, today):
            missing.append(Missing("ramadan", year, known.first_day, to_confirm=True))
    return sorted(missing, key=lambda one: (one.expected, one.name))


def tabular(year: int, month: int, day: int) -> date:
    """A day of the tabular Hijri calendar (civil epoch, leap years 2, 5, 7, 10, 13, 16, 18, 21, 24, 26, 29 of 30)."""
    julian_day = (11 * year + 3) // 30 + 354 * year + 30 * month - (month - 1) // 2 + day + 1_948_440 - 385
    return date.fromordinal(julian_day - 1_721_425)


def _check_near(day: date, month: int, day_of_month: int, *, field: str) -> int:
    """The Hijri year in which this day stands near that date.  Raises CalendarWrong if there is none."""
    around = _year_of(day)
    for year in (around - 1, around, around + 1):
        if abs((day - tabular(year, month, day_of_month)).days) <= _OFF_BY_DAYS:
            return year
    raise CalendarWrong(field=field, reason="far_from_expected")


def _is_entered(name: str, about: date, entered: Sequence[tuple[str, date]]) -> bool:
    return any(name == other and abs((day - about).days) <= _OFF_BY_DAYS + 1 for other, day in entered)


def _is_to_confirm(known: Ramadan, today: date) -> bool:
    return known.first_day - timedelta(days=CONFIRM_DAYS) <= today <= known.last_day


def _year_of(day: date) -> int:
    """The Hijri year of a day, to within some days of its turn."""
    return int((day - date(622, 7, 19)).days / 354.36708) + 1
