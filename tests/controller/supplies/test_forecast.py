"""When a supply is empty: in opening days, since the last cartridge, and honest where nobody can tell."""

import random
from datetime import date, timedelta

import pytest
from tests.controller.supplies.past import NOW, TODAY, falling, opening_days, series, supply_day

from annexfleet_controller.calendars import ALWAYS_OPEN, DEFAULT
from annexfleet_controller.supplies.forecast import OpeningDays, SupplyForecast, cautious, days_left, forecasts
from annexfleet_controller.things import SupplyDay
from annexfleet_controller.trend import Forecast

KEY = ("a" * 24, "Black Cartridge HP CF259A")


def one(rows: list[SupplyDay]) -> SupplyForecast:
    (found,) = forecasts(rows, {}, NOW)
    return found


def test_days_left_are_opening_days():
    found = one(falling(left=20))

    assert found.days_left is not None
    assert found.days_left.reaches_in == pytest.approx(20)
    assert found.state == "fine"
    # Four weeks of five days, and the day that follows is where the last of it goes.
    assert found.empty_on == date(2026, 12, 23)


def test_a_date_years_ahead_is_not_named():
    found = one(falling(left=280, per_day=0.001))

    assert found.days_left is not None
    assert found.days_left.reaches_in == pytest.approx(280)
    assert found.empty_on is None


def test_weekends_do_not_look_like_thrift():
    """The same levels day by day: where it is always open, closed days count as days on which little was used."""
    rows = falling(left=20)

    open_always = days_left(rows, ALWAYS_OPEN, NOW)[KEY]
    office_hours = days_left(rows, DEFAULT, NOW)[KEY]

    assert office_hours is not None
    assert open_always is not None
    assert office_hours.slope == pytest.approx(-0.01)
    assert open_always.slope == pytest.approx(-0.01 * 5 / 7, rel=0.1)


def test_what_is_told_on_a_closed_day_belongs_to_the_day_before():
    rows = falling(left=20)
    saturdays = [supply_day(row.day + timedelta(days=1), row.level_ratio) for row in rows if row.day.weekday() == 4]

    found = days_left(rows + saturdays, DEFAULT, NOW)[KEY]

    assert found is not None
    assert found.reaches_in == pytest.approx(20)


def test_today_counts_as_far_as_it_has_gone():
    at_noon = NOW - timedelta(hours=4)
    assert OpeningDays(DEFAULT, NOW).passed - OpeningDays(DEFAULT, at_noon).passed == pytest.approx(0.5)
    levels = [0.01 * (20 + ago) for ago in reversed(range(30))]
    levels[-1] += 0.005  # half a day is still to come

    found = days_left(series(levels), DEFAULT, at_noon)[KEY]

    assert found is not None
    assert found.reaches_in == pytest.approx(20.5)


def test_only_the_days_since_the_new_cartridge_count():
    old = [0.05 * (10 - day) for day in range(10)]
    new = [1 - 0.02 * day for day in range(10)]

    found = one(series(old + new))

    assert found.days_left is not None
    assert found.days_left.reaches_in == pytest.approx(41)
    assert found.days_left.points == 10


def test_a_new_cartridge_of_today_is_seen_today():
    found = one(series([0.02 * (20 - day) for day in range(19)] + [1.0]))

    assert (found.state, found.why, found.days_left) == ("unknown", "too_few_days", None)
    assert found.level == 1.0


def test_one_odd_reading_is_no_new_cartridge():
    levels: list[float | None] = [0.01 * (15 + ago) for ago in reversed(range(30))]
    levels[20] = 1.0

    found = one(series(levels))

    assert found.days_left is not None
    assert found.days_left.points == 30
    assert found.days_left.reaches_in == pytest.approx(15, abs=0.5)


def test_steps_of_ten_percent_can_be_foretold():
    found = one(series([round(0.9 - 0.02 * day, 1) for day in range(35)]))

    assert found.days_left is not None
    assert found.days_left.reaches_in == pytest.approx(11, abs=4)


@pytest.mark.parametrize(
    ("left", "state"),
    [(0.0, "empty"), (3, "urgent"), (5, "urgent"), (6, "soon"), (15, "soon"), (16, "fine"), (70, "fine")],
)
def test_states(left: float, state: str):
    assert one(falling(left)).state == state


def test_the_lead_time_can_be_set():
    (found,) = forecasts(falling(left=20), {}, NOW, lead_days=25)

    assert found.state == "soon"


@pytest.mark.parametrize(
    ("levels", "state", "why"),
    [
        ([None] * 20, "unknown", "no_level"),
        ([0.5] * 20, "unknown", "made_up_level"),
        ([0.6, 0.59, 0.58], "unknown", "too_few_days"),
        ([0.2] * 20, "unknown", "no_trend"),
        ([0.8] * 20, "fine", "stands_still"),
        ([0.1] * 20, "soon", "by_level"),
        ([0.03], "urgent", "by_level"),
        ([0.0] * 20, "empty", "by_level"),
    ],
)
def test_where_nothing_can_be_foretold_it_says_why(levels: list[float | None], state: str, why: str):
    found = one(series(levels))

    assert (found.state, found.why, found.days_left, found.empty_on) == (state, why, None, None)


def test_a_half_that_moves_is_believed():
    assert one(series([0.5 + 0.01 * ago for ago in reversed(range(20))])).days_left is not None


def test_a_printer_that_sleeps_keeps_its_level():
    rows = falling(left=20)
    rows[-1] = supply_day(TODAY, None)

    found = one(rows)

    assert found.level == pytest.approx(0.21)
    assert found.days_left is not None


def test_what_nobody_told_of_for_a_week_is_unknown_and_after_a_month_gone():
    def until(days_ago: int) -> list[SupplyForecast]:
        return forecasts(falling(3, until=TODAY - timedelta(days=days_ago)), {}, NOW)

    assert [found.why for found in until(6)] == [""]
    assert [(found.state, found.why) for found in until(9)] == [("unknown", "not_heard")]
    assert until(31) == []


def test_pages_a_day():
    assert one(falling(20, pages_per_day=80)).pages_per_day == pytest.approx(80)
    reset = falling(20, pages_per_day=80)
    reset[12:] = [supply_day(row.day, row.level_ratio, pages_count=80.0 * n) for n, row in enumerate(reset[12:])]
    assert one(reset).pages_per_day == pytest.approx(80, rel=0.1)
    assert one(falling(20, pages_count=None)).pages_per_day is None
    assert one(series([0.4, 0.39])).pages_per_day is None


def test_the_early_end_decides_only_where_it_means_something():
    def of(earliest: float, latest: float | None) -> Forecast:
        return Forecast(reaches_in=20, earliest=earliest, latest=latest, slope=-1, confidence=0.9, points=9, span=9)

    assert cautious(None) is None
    assert cautious(of(15, 30)) == 15
    assert cautious(of(15, 36)) == 20
    assert cautious(of(1, 90)) == 20
    assert cautious(of(15, None)) == 20


def test_the_truth_lies_within_the_interval_of_cartridges():
    held = asked = 0
    for seed in range(150):
        chance = random.Random(seed)
        used = [max(0.0, chance.gauss(0.015, 0.007)) for _ in range(400)]
        left = [round(1 - sum(used[:day]), 2) for day in range(1, 41)]
        if left[-1] <= 0.02:
            continue
        truth = next(day for day in range(400) if sum(used[:day]) >= 1) - 40
        found = days_left(series(left), DEFAULT, NOW)[KEY]
        if found is not None:
            asked += 1
            held += found.earliest <= truth <= (found.latest if found.latest is not None else 1e9)

    assert asked > 100
    assert held / asked >= 0.8


def test_the_most_pressing_comes_first():
    rows = [
        *falling(40, printer_id="c" * 24, printer_name="calm"),
        *series([None] * 9, printer_id="d" * 24, printer_name="dumb"),
        *falling(3, printer_id="b" * 24, printer_name="busy"),
        *falling(10, printer_id="e" * 24, printer_name="early"),
        *series([0.0] * 9, printer_id="f" * 24, printer_name="finished"),
    ]
    random.Random(1).shuffle(rows)

    found = forecasts(rows, {}, NOW)

    assert [of.newest.printer_name for of in found] == ["finished", "busy", "early", "calm", "dumb"]
    assert days_left(rows, DEFAULT, NOW).keys() == {(n * 24, KEY[1]) for n in "bcdef"}


def test_each_annex_keeps_its_own_hours():
    here, there = falling(20), falling(20, annex_id="berkane-2", printer_id="b" * 24)

    found = {of.newest.annex_id: of for of in forecasts(here + there, {"berkane-2": ALWAYS_OPEN}, NOW)}

    first, second = found["berkane-1"].days_left, found["berkane-2"].days_left
    assert first is not None
    assert second is not None
    assert second.reaches_in > first.reaches_in * 1.3


def test_the_days_of_these_tests_pass_over_feasts_and_weekends():
    assert opening_days(3, until=date(2026, 11, 19)) == [date(2026, 11, 16), date(2026, 11, 17), date(2026, 11, 19)]
