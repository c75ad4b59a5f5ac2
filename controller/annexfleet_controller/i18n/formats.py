"""Numbers, amounts and moments as people of a language write them, always with Western digits.

Moments are shown in the annexes' own time zone, whose offset changes: zones.py knows.

Numbers come from devices, so every function here has an answer for every number: what cannot be one is unknown.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache

from babel import Locale, dates, numbers, units

from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.zones import PROVINCE

LARGEST = 1e15
"""Nothing that is measured is larger (a petabyte); beyond, a float no longer counts by ones."""

_BYTE_STEPS = (
    (1e12, "digital-terabyte"),
    (1e9, "digital-gigabyte"),
    (1e6, "digital-megabyte"),
    (1e3, "digital-kilobyte"),
)


def is_plausible(value: float) -> bool:
    """Whether it can be a measured number; not so are nan, the infinite and the boundless."""
    return abs(value) <= LARGEST  # false for nan


def number(language: Language, value: float, digits: int = 3) -> str:
    """A plain number with so many significant digits; whole numbers keep all of theirs."""
    if not is_plausible(value):
        return _unknown(language)
    if value == int(value) or abs(value) >= 10**digits:
        return _decimal(language.locale, round(value))
    return _decimal(language.locale, round(value, max(0, digits - len(str(int(abs(value)))))))


def percent(language: Language, ratio: float) -> str:
    """A ratio from 0 to 1 as a percentage, with one decimal below 1 %."""
    if not is_plausible(ratio):
        return _unknown(language)
    shown = round(ratio, 3 if 0 < abs(ratio) < 0.01 else 2)
    return numbers.format_percent(shown, locale=language.locale, numbering_system="latn", decimal_quantization=False)


def size(language: Language, value: float) -> str:
    """Bytes in decimal steps, as disks are sold."""
    if not is_plausible(value):
        return _unknown(language)
    for step, unit in _BYTE_STEPS:
        if abs(value) >= step:
            return _unit(language, value / step, unit)
    return _unit(language, value, "digital-byte")


def celsius(language: Language, value: float) -> str:
    return _unit(language, value, "temperature-celsius")


def duration(language: Language, seconds: float) -> str:
    """A span of time in its two largest steps; parts of a second where it is short."""
    if not is_plausible(seconds):
        return _unknown(language)
    if abs(seconds) < 1 and seconds:  # none at all is no number of milliseconds
        return _unit(language, seconds * 1000, "duration-millisecond")
    if abs(seconds) < 60:
        return _unit(language, seconds, "duration-second")
    whole = round(seconds)
    parts: list[str] = []
    for step, unit in ((86_400, "duration-day"), (3600, "duration-hour"), (60, "duration-minute")):
        count, whole = divmod(whole, step)
        if count:
            parts.append(_unit(language, count, unit))
        elif parts:
            break  # 2 d 4 min says less than it seems to
    return " ".join(parts[:2])


def opening_time(language: Language, seconds: float) -> str:
    """A span of opening time, of which no day has twenty-four hours: in hours where it is long."""
    if abs(seconds) < 86_400 or not is_plausible(seconds):
        return duration(language, seconds)
    return _unit(language, round(seconds / 3600), "duration-hour")


def moment(language: Language, at: datetime) -> str:
    """With its month as a word: written in figures, an Arabic date is read from either end."""
    local = at.astimezone(PROVINCE)
    time = dates.format_time(local.time(), "HH:mm:ss", locale=language.locale)
    return str(language.locale.datetime_formats["medium"]).format(time, date_of(language, local.date()))


def short_moment(language: Language, at: datetime, now: datetime) -> str:
    """The time of day; with its date where that is not today's."""
    is_today = at.astimezone(PROVINCE).date() == now.astimezone(PROVINCE).date()
    return dates.format_datetime(at, "HH:mm" if is_today else "d MMM HH:mm", tzinfo=PROVINCE, locale=language.locale)


def weekdays(language: Language) -> list[str]:
    """Their names, from Monday."""
    names = dates.get_day_names("wide", context="stand-alone", locale=language.locale)
    return [names[number] for number in range(7)]


def day(language: Language, at: datetime) -> str:
    return dates.format_date(at.astimezone(PROVINCE), "long", locale=language.locale)


def weekday(language: Language, number: int) -> str:
    """The name of a day of the week, from Monday as 0."""
    name: str = language.locale.days["stand-alone"]["wide"][number]
    return name


def weekday_and_day(language: Language, on: date) -> str:
    """A local day near enough to need no year."""
    return dates.format_skeleton("MMMMEEEEd", on, locale=language.locale)


def local_day(language: Language, on: date) -> str:
    """A local day with its year."""
    return dates.format_skeleton("yMMMEd", on, locale=language.locale)


def date_of(language: Language, day: date) -> str:
    """A day of the calendar, without a time."""
    return dates.format_skeleton("yMMMd", day, locale=language.locale)


def month(language: Language, on: date) -> str:
    """A month with its year."""
    return dates.format_skeleton("yMMMM", on, locale=language.locale)


def ago(language: Language, at: datetime, now: datetime) -> str:
    """How long ago, in one step; the words for just now below ten seconds."""
    passed = now - at
    if abs(passed) < timedelta(seconds=10):
        return language.gettext("just now")
    return dates.format_timedelta(-passed, add_direction=True, locale=language.locale, threshold=1.5)


@lru_cache(maxsize=20_000)
def _decimal(locale: Locale, value: float) -> str:
    """A list has hundreds of numbers, many of them again and again, and each takes a quarter of a millisecond."""
    written: str = numbers.format_decimal(value, locale=locale, numbering_system="latn", decimal_quantization=False)
    return written


def _unknown(language: Language) -> str:
    return language.name("word", "unknown")


def _unit(language: Language, value: float, unit: str) -> str:
    if not is_plausible(value):
        return _unknown(language)
    number_shown = round(value) if abs(value) >= 100 or value == int(value) else round(value, 1)
    if unit == "duration-day":  # a word, and in Arabic its singular bears no number; the others are signs
        return units.format_unit(
            number_shown, unit, length="short", locale=language.locale, numbering_system="latn"
        )  # fmt: skip
    shown = _decimal(language.locale, number_shown)
    return units.format_unit(shown, unit, length="short", locale=language.locale, numbering_system="latn")
