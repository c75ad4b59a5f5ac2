"""When a supply will be empty: its level over opening days, so that weekends and holidays do not look like thrift.

A day that is closed counts for nothing, today as far as it has gone.  Only the days since the last new cartridge count.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_controller import trend, zones
from annexfleet_controller.calendars import DEFAULT, Calendar
from annexfleet_controller.supplies import levels
from annexfleet_controller.things import SupplyDay
from annexfleet_controller.trend import Forecast

LOOK_BACK_DAYS = 90
CONFIDENCE = 0.9
URGENT_OPENING_DAYS = 5.0
LEAD_OPENING_DAYS = 15.0
"""How long an ordered part takes to be there, and some slack."""
NOT_HEARD_AFTER = timedelta(days=7)
GONE_AFTER = timedelta(days=30)
"""A supply that nobody told of for so long is no longer there."""

_LEAST_OPENING_DAYS = 5.0
_EMPTY_AT_MOST = 0.005
_URGENT_AT_MOST, _SOON_AT_MOST = 0.03, 0.10
"""Where only the level speaks; 10 % is where printers themselves begin to warn."""
_PLENTY_FROM = 0.25
_STANDS_STILL_DAYS = 10.0
_DATED_OPENING_DAYS = 250.0
"""About a year."""
_PAGES_DAYS = 30
_REFILL = 0.15
"""A level does not rise by itself; one that did by so much was a new cartridge."""

State = Literal["empty", "urgent", "soon", "fine", "unknown"]
STATES: tuple[State, ...] = get_args(State)
"""From what presses most."""

Why = Literal["", "by_level", "stands_still", "no_level", "made_up_level", "not_heard", "too_few_days", "no_trend"]
"""by_level: by its level alone, as nothing can be foretold.  stands_still: hardly anything is used.  no_level: the
printer does not tell.  made_up_level: it says one half for ever.  not_heard: nobody told for days."""
WHYS: tuple[Why, ...] = get_args(Why)

Series = Sequence[SupplyDay]


class SupplyForecast(Struct, frozen=True, kw_only=True):
    """One supply, as it will go on."""

    newest: SupplyDay
    part: levels.Part
    state: State
    why: Why = ""
    days_left: Forecast | None = None
    """In opening days."""
    empty_on: date | None = None
    """The local day of `days_left.reaches_in`; None where that is so far that a date would say too much."""
    pages_per_day: float | None = None
    """Of the whole printer, a day of opening."""

    @property
    def level(self) -> float | None:
        return self.newest.level_ratio

    @property
    def cautious_days(self) -> float | None:
        """Opening days left, for deciding; `cautious` says which end of the interval it is."""
        return cautious(self.days_left)


def cautious(days_left: Forecast | None) -> float | None:
    """The number that rules and states compare: the early end of a tight interval, the estimate of a wide one.

    The early end of a wide interval is now, whatever the cartridge: whoever acts on it acts on noise.
    """
    if days_left is None:
        return None
    return days_left.earliest if days_left.is_tight else days_left.reaches_in


def days_left(rows: Series, calendar: Calendar, now: datetime) -> dict[tuple[str, str], Forecast | None]:
    """In how many opening days each supply of an annex is empty, by printer id and supply; for rules.

    None where nobody can tell.  `rows` in any order, of annexes that share the calendar.
    """
    days = OpeningDays(calendar, now)
    return {key: _judged(of, days)[2] for key, of in _by_supply(rows)}


def forecasts(
    rows: Series,
    calendars: Mapping[str, Calendar],
    now: datetime,
    *,
    lead_days: float = LEAD_OPENING_DAYS,
) -> list[SupplyForecast]:
    """Every supply that somebody told of within a month: the most pressing first, then by annex and printer.

    `calendars` by annex id; one that is missing keeps the administration's hours.
    """
    made: dict[str, OpeningDays] = {}
    found = []
    for _, of in _by_supply(rows):
        annex_id = of[-1].annex_id
        days = made.get(annex_id)
        if days is None:
            days = made[annex_id] = OpeningDays(calendars.get(annex_id, DEFAULT), now)
        if days.today - of[-1].day <= GONE_AFTER:
            found.append(_forecast(of, days, lead_days))
    return sorted(found, key=_by_urgency)


class OpeningDays:
    """The opening days up to a moment, counted once for all supplies of a calendar."""

    def __init__(self, calendar: Calendar, now: datetime) -> None:
        self.calendar = calendar
        self.now = now
        self.zone = zones.zone(calendar.time_zone)
        self.today = now.astimezone(self.zone).date()
        self._ends: dict[date, float] = {}
        first = self.today - timedelta(days=LOOK_BACK_DAYS)
        passed = 0.0
        for ago in range(LOOK_BACK_DAYS + 1):
            day = first + timedelta(days=ago)
            passed += self._share_of_today() if day == self.today else float(bool(calendar.hours(day)))
            self._ends[day] = passed
        self.passed = passed

    def at_end_of(self, day: date) -> float | None:
        """How many opening days had passed by then, by now if it is today; None for a day too long ago or to come."""
        return self._ends.get(day)

    def after(self, days: float) -> date:
        """The local day on which so many opening days from now have passed."""
        return self.calendar.add_opening_days(self.now, days).astimezone(self.zone).date()

    def _share_of_today(self) -> float:
        midnight = datetime.combine(self.today, datetime.min.time(), self.zone).astimezone(UTC)
        whole = 60 * sum(closes - opens for opens, closes in self.calendar.hours(self.today))
        return self.calendar.open_seconds(midnight, self.now) / whole if whole else 0.0


def _forecast(of: Series, days: OpeningDays, lead_days: float) -> SupplyForecast:
    newest = of[-1]
    last_known = next((row for row in reversed(of) if row.level_ratio is not None), newest)
    state, why, left = _judged(of, days)
    if left is not None:
        soon = cautious(left) or 0.0
        state = "urgent" if soon <= URGENT_OPENING_DAYS else "soon" if soon <= lead_days else "fine"
        if last_known.level_ratio is not None and last_known.level_ratio <= _EMPTY_AT_MOST:
            state = "empty"
    return SupplyForecast(
        # A printer that sleeps cannot tell its level; what it told before still counts.
        newest=last_known,
        part=levels.part(newest),
        state=state,
        why=why,
        days_left=left,
        empty_on=None if left is None or left.reaches_in > _DATED_OPENING_DAYS else days.after(left.reaches_in),
        pages_per_day=_pages_per_day(of, days),
    )


def _judged(of: Series, days: OpeningDays) -> tuple[State, Why, Forecast | None]:
    """The state as far as it follows from the level alone, why nothing can be foretold, and the forecast if it can."""
    told = [(row.day, row.level_ratio) for row in of if row.level_ratio is not None]
    if untellable := _untellable(of, told, days):
        return "unknown", untellable, None
    points = _points(told, days)
    left = trend.forecast(points, reaches=0.0, at=days.passed, confidence=CONFIDENCE, least_span=_LEAST_OPENING_DAYS)
    if left is not None:
        return "fine", "", left
    level = told[-1][1]
    if level <= _SOON_AT_MOST:
        return _by_level(level), "by_level", None
    span = points[-1][0] - points[0][0] if points else 0.0
    if level >= _PLENTY_FROM and span >= _STANDS_STILL_DAYS:
        return "fine", "stands_still", None
    return "unknown", "too_few_days" if span < _LEAST_OPENING_DAYS else "no_trend", None


def _untellable(of: Series, told: Sequence[tuple[date, float]], days: OpeningDays) -> Why:
    if days.today - of[-1].day > NOT_HEARD_AFTER:
        return "not_heard"
    if not told:
        return "no_level"
    return "made_up_level" if len(told) >= 3 and all(level == 0.5 for _, level in told) else ""


def _by_level(level: float) -> State:
    if level <= _EMPTY_AT_MOST:
        return "empty"
    return "urgent" if level <= _URGENT_AT_MOST else "soon"


def _points(told: Sequence[tuple[date, float]], days: OpeningDays) -> list[tuple[float, float]]:
    """Opening days passed and level, since the last new cartridge.

    What was told on a closed day counts for the opening day before it.
    """
    at: dict[float, float] = {}
    for day, level in told:
        passed = days.at_end_of(day)
        if passed is not None:
            at[passed] = level
    points = sorted(at.items())
    start = 0
    for place in range(1, len(points)):
        before = points[place - 1][1]
        stays = place + 1 == len(points) or points[place + 1][1] - before > _REFILL / 2
        if points[place][1] - before > _REFILL and stays:
            start = place
    return points[start:]


def _pages_per_day(of: Series, days: OpeningDays) -> float | None:
    """None where the printer does not count, or counted too little time."""
    at = {
        passed: row.pages_count
        for row in of
        if row.pages_count is not None and (passed := days.at_end_of(row.day)) is not None
    }
    points = sorted(at.items())[-_PAGES_DAYS:]
    if len(points) < 3 or points[-1][0] - points[0][0] < 2:
        return None
    # The median of slopes, so that a counter that was set back once does not count.
    return max(0.0, trend.line(points, confidence=CONFIDENCE).slope)


def _by_supply(rows: Series) -> list[tuple[tuple[str, str], list[SupplyDay]]]:
    def key(row: SupplyDay) -> tuple[str, str]:
        return row.printer_id, row.supply

    ordered = sorted(rows, key=lambda row: (*key(row), row.day))
    return [(of, list(some)) for of, some in groupby(ordered, key=key)]


def _by_urgency(of: SupplyForecast) -> tuple[int, float, str, str, str, str]:
    left = of.cautious_days
    newest = of.newest
    return (
        STATES.index(of.state),
        float("inf") if left is None else left,
        newest.annex_id,
        newest.printer_name,
        newest.printer_id,
        newest.supply,
    )
