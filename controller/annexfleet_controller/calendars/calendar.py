"""When an annex is open: asked often, by rules, alerts, forecasts and rollouts, and answered from a cache.

Open is what the clock on the annex's wall says: a moment counts as open when the local time it shows lies in a span of
that local day.  So an hour that the clock skips is never open, and one that it shows twice is open twice.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from annexfleet_controller import zones
from annexfleet_controller.calendars.holidays import KNOWN_RAMADANS, Holiday, Ramadan, fixed_on

_NEARLY_ALWAYS = timedelta(days=1)
"""An annex opened within a day, unless it never closes: looking back further costs thirty times as much."""
HORIZON_DAYS = 60
"""No opening or closing is looked for beyond."""
MOST_FORECAST_DAYS = 3660.0

_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_DAYS_ANSWERED = range(84_000)
"""From 1970 into 2199; nothing is open outside."""
_MOST_CACHED_DAYS = 400
"""Enough for a year's report; thousands of calendars may be held at once."""

Spans = tuple[tuple[int, int], ...]
"""Opening times of a local day, in minutes since its midnight: ascending, apart, ends at most 1440."""
Week = tuple[Spans, Spans, Spans, Spans, Spans, Spans, Spans]
"""From Monday."""


class DatedHours(Struct, frozen=True):
    """Other hours than usual, from a day to a day, both included; without spans it is closed."""

    first: date
    last: date
    hours: Spans
    name: str = ""


class Calendar(Struct, frozen=True, dict=True):
    """The opening hours of one annex, resolved.

    Every moment given must be aware, else ValueError; every moment returned is aware UTC.  What counts on a day, from
    strongest: a dated exception, a holiday, Ramadan's hours, the week's.
    """

    time_zone: str
    week: Week
    ramadan_week: Week
    ramadans: tuple[Ramadan, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    """Those that were entered; the fixed ones are known."""
    exceptions: tuple[DatedHours, ...] = ()
    """The first that holds a day counts."""
    closed_on_holidays: bool = True

    def is_open(self, at: datetime) -> bool:
        if at.tzinfo is None:
            raise ValueError("a moment without a time zone")
        second = at.timestamp()
        for start, end in self._on(int(second // _DAY_S)):  # noqa: SIM110  # twice as fast as any()
            if start <= second < end:
                return True
        return False

    def open_seconds(self, since: datetime, until: datetime) -> float:
        """Seconds of opening time within [since, until); 0 if `until` is not after `since`."""
        first, last = _microsecond(since), _microsecond(until)
        total = 0
        for number in _days_between(first, last):
            for start, end in self._on(number):
                total += max(0, min(end * 1_000_000, last) - max(start * 1_000_000, first))
        return total / 1e6

    def spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        """The opening spans within [since, until), in order and clipped; spans that touch are one."""
        first, last = _microsecond(since), _microsecond(until)
        found: list[tuple[int, int]] = []
        for number in _days_between(first, last):
            for start, end in self._on(number):
                clipped = max(start * 1_000_000, first), min(end * 1_000_000, last)
                if clipped[0] < clipped[1]:
                    _join(found, clipped)
        return [(_from_microsecond(start), _from_microsecond(end)) for start, end in found]

    def next_opening(self, at: datetime) -> datetime | None:
        """The first open moment from `at` on, which is `at` itself while open; None if there is none within 60 days."""
        spans = self.spans(at, at + timedelta(days=HORIZON_DAYS))
        return spans[0][0] if spans else None

    def closes_at(self, at: datetime) -> datetime | None:
        """The end of the span that holds `at`; None while closed, or where it stays open for 60 days and more."""
        if not self.is_open(at):
            return None
        limit = at + timedelta(days=HORIZON_DAYS)
        end = self.spans(at, limit)[0][1]
        return end if end < limit else None

    def opened_at(self, at: datetime) -> datetime | None:
        """The start of the span that holds `at`, but at most 60 days back; None while closed."""
        if not self.is_open(at):
            return None
        end = at + timedelta(microseconds=1)
        since = at - _NEARLY_ALWAYS
        start = self.spans(since, end)[-1][0]
        return start if start > since else self.spans(at - timedelta(days=HORIZON_DAYS), end)[-1][0]

    def opening_days(self, since: datetime, until: datetime) -> int:
        """How many local days have any opening time within [since, until)."""
        first, last = _microsecond(since), _microsecond(until)
        return len(
            {
                local
                for number in _days_between(first, last)
                for start, end, local in self._pieces(number)
                if max(start * 1_000_000, first) < min(end * 1_000_000, last)
            }
        )

    def add_opening_days(self, at: datetime, days: float) -> datetime:
        """The moment when so many opening days have passed since `at`; for forecasts.

        A day's opening time counts as one day, part of it as that part.  Where nothing opens for 60 days in a row,
        every day counts from there on.  No further than 3,660 days.  Raises ValueError for days below 0.
        """
        if not days >= 0:
            raise ValueError("days below 0")
        left = min(days, MOST_FORECAST_DAYS)
        from_s = _microsecond(at) / 1e6
        number = last_open = int(from_s // _DAY_S)
        while left > 0 and number - last_open <= HORIZON_DAYS:
            for start, end, local in self._pieces(number):
                begins = max(start, from_s)
                if begins >= end:
                    continue
                last_open, from_s = number, begins
                whole_s = 60 * sum(closes - opens for opens, closes in self.hours(_date(local)))
                if left * whole_s <= end - begins:
                    return _EPOCH + timedelta(seconds=begins + left * whole_s)
                left -= (end - begins) / whole_s
                from_s = end
            number += 1
        return _EPOCH + timedelta(seconds=from_s, days=left)

    def why_closed(self, day: date) -> str:
        """`exception`, `holiday:<name>` or `weekend` for a local day that never opens; empty for one that does."""
        if self.hours(day):
            return ""
        if self.exception_on(day) is not None:
            return "exception"
        name = self.holiday_on(day) if self.closed_on_holidays else ""
        return f"holiday:{name}" if name else "weekend"

    # -- one local day

    @property
    def zone(self) -> ZoneInfo:
        return zones.zone(self.time_zone)

    def hours(self, day: date) -> Spans:
        """The opening times of a local day."""
        exception = self.exception_on(day)
        if exception is not None:
            return exception.hours
        if self.closed_on_holidays and self.holiday_on(day):
            return ()
        return (self.ramadan_week if self.is_ramadan(day) else self.week)[day.weekday()]

    def exception_on(self, day: date) -> DatedHours | None:
        for exception in self.exceptions:
            if exception.first <= day <= exception.last:
                return exception
        return None

    def holiday_on(self, day: date) -> str:
        """The name of the day's holiday, fixed or entered, whether this annex closes or not; empty on any other day."""
        return self._entered.get(day) or fixed_on(day)

    def is_ramadan(self, day: date) -> bool:
        return any(ramadan.first_day <= day <= ramadan.last_day for ramadan in self.ramadans)

    # -- the cache: spans by UTC day, in seconds since 1970

    @cached_property
    def _entered(self) -> dict[date, str]:
        return {holiday.date: holiday.name for holiday in self.holidays}

    @cached_property
    def _days(self) -> dict[int, Spans]:
        return {}

    def _on(self, number: int) -> Spans:
        """Spans within that UTC day."""
        days = self._days
        spans = days.get(number)
        if spans is None:
            found: list[tuple[int, int]] = []
            for start, end, _ in self._pieces(number):
                _join(found, (start, end))
            if len(days) >= _MOST_CACHED_DAYS:
                days.clear()
            spans = days[number] = tuple(found)
        return spans

    def _pieces(self, number: int) -> Iterator[tuple[int, int, int]]:
        """What is open within that UTC day: start, end, and the local day it belongs to, counted from 1970."""
        for first, last, offset in _offsets(self.time_zone, number):
            for local in range((first + offset) // _DAY_S, (last + offset - 1) // _DAY_S + 1):
                midnight = local * _DAY_S - offset
                for opens, closes in self.hours(_date(local)):
                    start, end = max(first, midnight + opens * 60), min(last, midnight + closes * 60)
                    if start < end:
                        yield start, end, local


@lru_cache(maxsize=8192)
def _offsets(zone_name: str, number: int) -> tuple[tuple[int, int, int], ...]:
    """The stretches of a UTC day in which the zone's offset stays the same: start, end, offset, in seconds."""
    if number not in _DAYS_ANSWERED:
        return ()
    zone = zones.zone(zone_name)

    def offset_at(second: int) -> int:
        offset = datetime.fromtimestamp(second, zone).utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    start = number * _DAY_S
    end = start + _DAY_S
    offset = offset_at(start)
    stretches: list[tuple[int, int, int]] = []
    for second in range(start + 3600, end + 1, 3600):
        if offset_at(second) == offset:
            continue
        before, after = second - 3600, second
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset_at(middle) == offset else (before, middle)
        if after < end:  # one at the very end is the next day's
            stretches.append((start, after, offset))
            start, offset = after, offset_at(after)
    return (*stretches, (start, end, offset))


def _join(found: list[tuple[int, int]], span: tuple[int, int]) -> None:
    """Add a span that begins no earlier than the last one's end; one that touches it prolongs it."""
    if found and found[-1][1] >= span[0]:
        found[-1] = found[-1][0], span[1]
    else:
        found.append(span)


def _days_between(first: int, last: int) -> range:
    """The UTC days that hold some of [first, last), in microseconds; none outside of what is answered."""
    day = _DAY_S * 1_000_000
    if first >= last:
        return range(0)
    return range(max(first // day, 0), min((last - 1) // day + 1, _DAYS_ANSWERED.stop))


def _date(number: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + number)


def _microsecond(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return (at - _EPOCH) // timedelta(microseconds=1)


def _from_microsecond(microsecond: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microsecond)


def _working_days(opens: int, closes: int) -> Week:
    day: Spans = ((opens, closes),)
    return (day, day, day, day, day, (), ())


DEFAULT_TIME_ZONE = "Africa/Casablanca"
DEFAULT_WEEK = _working_days(8 * 60 + 30, 16 * 60 + 30)
"""Source: decree 2-05-916 of 20 July 2005, article 1: Monday to Friday, 8:30 to 16:30.  Its pause of half an hour (an
hour and a half on Friday, for the prayer) is left out, because counters take turns; who closes then enters it."""
DEFAULT_RAMADAN_WEEK = _working_days(9 * 60, 15 * 60)
"""Source: order 05.1899 of 30 September 2005; the ministry's communiqué of 10 February 2026 says the same."""

DEFAULT = Calendar(DEFAULT_TIME_ZONE, DEFAULT_WEEK, DEFAULT_RAMADAN_WEEK, ramadans=KNOWN_RAMADANS)
"""What counts where nobody entered anything."""

_ALL_DAY: Spans = ((0, 24 * 60),)
_ALL_WEEK: Week = (_ALL_DAY,) * 7
ALWAYS_OPEN = Calendar(DEFAULT_TIME_ZONE, _ALL_WEEK, _ALL_WEEK, closed_on_holidays=False)
