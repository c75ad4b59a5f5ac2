"""A trend: the line that outliers do not bend, how sure it is, and when it keeps silent."""

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from statistics import NormalDist, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_controller.trend import MOST_POINTS, Forecast, disk_full_in, forecast, line, since_reset

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


def falling(count: int, *, per_day: float = 0.01, first: float = 0.9) -> list[tuple[float, float]]:
    return [(float(day), first - per_day * day) for day in range(count)]


@given(
    st.integers(6, 200),
    st.floats(0.001, 1000).filter(lambda slope: slope > 0),
    st.floats(-1e4, 1e4),
    st.floats(1, 9),
)
def test_an_exact_line_is_found(count: int, slope: float, start: float, spans_ahead: float):
    points = [(float(x), start + slope * x) for x in range(count)]
    ahead = spans_ahead * (count - 1)

    found = forecast(points, reaches=start + slope * (count - 1 + ahead), at=count - 1.0)

    assert found is not None
    assert found.slope == pytest.approx(slope, rel=1e-6)
    assert found.reaches_in == pytest.approx(ahead, rel=1e-6)
    assert found.earliest == pytest.approx(ahead, rel=1e-4)
    assert found.latest == pytest.approx(ahead, rel=1e-4)
    assert (found.points, found.span) == (min(count, MOST_POINTS), count - 1)


@given(st.data())
def test_a_quarter_of_nonsense_hardly_matters(data: st.DataObject):
    count = data.draw(st.integers(16, 80))
    points = falling(count)
    for at in range(1, count - 1, 4):
        points[at] = (points[at][0], data.draw(st.floats(0, 1)))

    found = forecast(points, reaches=0, at=count - 1.0)

    assert found is not None
    assert found.slope == pytest.approx(-0.01, rel=0.35)


def test_one_wild_value_changes_nothing():
    points = falling(30)
    points[17] = (17.0, 1e9)

    found = forecast(points, reaches=0, at=29.0)

    assert found is not None
    assert found.reaches_in == pytest.approx(61, abs=0.5)


@given(
    st.integers(0, 10_000),
    st.floats(0.01, 100),
    st.floats(-1000, 1000),
    st.floats(0.01, 100),
    st.floats(-1000, 1000),
)
def test_units_and_zero_points_do_not_matter(seed: int, of_x: float, x0: float, of_y: float, y0: float):
    points = noisy(random.Random(seed), 25)
    scaled = [(x * of_x + x0, y * of_y + y0) for x, y in points]

    plain = forecast(points, reaches=0, at=24.0)
    other = forecast(scaled, reaches=y0, at=24 * of_x + x0)

    assert plain is not None
    assert other is not None
    assert other.reaches_in / of_x == pytest.approx(plain.reaches_in, rel=1e-6, abs=1e-5)
    assert other.earliest / of_x == pytest.approx(plain.earliest, rel=1e-6, abs=1e-5)
    assert (other.latest is None) == (plain.latest is None)
    if other.latest is not None and plain.latest is not None:
        assert other.latest / of_x == pytest.approx(plain.latest, rel=1e-6, abs=1e-5)


@given(st.permutations(falling(12)))
def test_points_may_come_in_any_order(points: Sequence[tuple[float, float]]):
    assert forecast(points, reaches=0, at=11.0) == forecast(falling(12), reaches=0, at=11.0)


# -- how sure it is ---------------------------------------------------------------------------------------------------


def noisy(chance: random.Random, count: int) -> list[tuple[float, float]]:
    """Each reading off by itself: a sensor's noise."""
    return [(float(day), 1 - 0.01 * day + chance.gauss(0, 0.02)) for day in range(count)]


def scattered(chance: random.Random, count: int) -> tuple[list[tuple[float, float]], float]:
    return noisy(chance, count), 100.0


def printed(chance: random.Random, count: int) -> tuple[list[tuple[float, float]], float]:
    """A cartridge: each day takes what was printed on it, and that adds up; readings in whole percents."""
    left, day, points = 1.0, 0, []
    while left > 0:
        if day < count:
            points.append((float(day), round(left, 2)))
        left -= max(0.0, chance.gauss(0.01, 0.006))
        day += 1
    return points, float(day)


@pytest.mark.parametrize(
    ("noise", "count", "least"),
    [
        (scattered, 15, 0.88),
        (scattered, 30, 0.88),
        (scattered, 60, 0.88),
        (scattered, 80, 0.88),
        # Fifteen days say little about how much days differ.
        (printed, 15, 0.78),
        (printed, 30, 0.80),
        (printed, 60, 0.85),
        (printed, 80, 0.85),
    ],
)
def test_the_truth_lies_within_the_interval_about_as_often_as_stated(
    noise: Callable[[random.Random, int], tuple[list[tuple[float, float]], float]], count: int, least: float
):
    held = asked = 0
    for seed in range(250):
        points, truth = noise(random.Random(seed), count)
        found = forecast(points, reaches=0, at=count - 1.0, confidence=0.9)
        if found is None:
            continue
        asked += 1
        held += found.earliest <= truth - (count - 1) <= (math.inf if found.latest is None else found.latest)

    assert asked > 200
    assert held / asked >= least


def test_more_confidence_takes_a_wider_interval():
    points = noisy(random.Random(5), 40)

    widths = []
    for confidence in (0.5, 0.8, 0.9, 0.99):
        found = forecast(points, reaches=0, at=39.0, confidence=confidence)
        assert found is not None
        assert found.latest is not None
        assert found.earliest <= found.reaches_in <= found.latest
        widths.append(found.latest - found.earliest)
    assert widths == sorted(widths)


def test_the_slope_and_its_interval_are_those_of_the_books():
    """Worked out here from the definition: all pairs, Kendall's variance with its ties, ranks around the middle."""
    points = [(0, 10), (1, 9), (2, 9), (4, 7), (5, 8), (7, 4), (8, 4), (9, 4), (11, 1), (12, 2)]
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2))
    # Ten points; 9 stands there twice and 4 three times.
    variance = (10 * 9 * 25 - 2 * 1 * 9 - 3 * 2 * 11) / 18
    half = NormalDist().inv_cdf(0.95) * math.sqrt(variance)
    lower_rank, upper_rank = (45 - half) / 2, (45 + half) / 2 + 1  # counted from 1

    found = line(points, confidence=0.9)

    assert found.slope == median(slopes)
    assert found.weakest == slopes[math.floor(lower_rank) - 1]
    assert found.strongest == slopes[math.ceil(upper_rank) - 1]
    assert found.weakest < found.slope < found.strongest


def test_what_may_never_happen_has_no_latest():
    def found(seed: int) -> Forecast | None:
        chance = random.Random(seed)
        points = [(float(day), 0.5 - 0.004 * day + chance.gauss(0, 0.08)) for day in range(24)]
        return forecast(points, reaches=0, at=23.0)

    doubtful = [of for of in map(found, range(40)) if of is not None and of.latest is None]

    assert doubtful
    assert all(0 <= of.earliest < of.reaches_in and not of.is_tight for of in doubtful)
    sure = forecast(falling(24), reaches=0, at=23.0)
    assert sure is not None
    assert sure.latest is not None


def test_a_wide_interval_is_not_tight():
    def of(earliest: float, latest: float | None) -> Forecast:
        return Forecast(reaches_in=10, earliest=earliest, latest=latest, slope=-1, confidence=0.9, points=9, span=9)

    assert of(8, 15).is_tight
    assert not of(1, 40).is_tight
    assert not of(9, None).is_tight


# -- when it keeps silent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ([], "nothing known"),
        (falling(5), "too few"),
        ([(0.0, 0.5 - place / 100) for place in range(50)], "one moment"),
        ([(float(day), 0.4) for day in range(30)], "no movement"),
        ([(float(day), 0.4 + day / 100) for day in range(30)], "away from it"),
        ([(float(day), 0.9 - day / 1e6) for day in range(30)], "too slow to tell"),
        ([(float(day), math.nan) for day in range(30)], "no numbers"),
        ([(float(day + 100), 0.9 - day / 100) for day in range(30)], "not yet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_foretold_from(points: list[tuple[float, float]], why: str):
    assert forecast(points, reaches=0, at=29.0) is None


def test_a_short_span_is_refused_where_the_caller_says_so():
    assert forecast(falling(10), reaches=0, at=9.0, least_span=10) is None
    assert forecast(falling(10), reaches=0, at=9.0, least_span=9) is not None


def test_a_confidence_that_is_none_is_refused():
    for confidence in (0, 1, -1, 90):
        with pytest.raises(ValueError, match="confidence"):
            forecast(falling(10), reaches=0, at=9.0, confidence=confidence)


def test_what_was_reached_is_reached_now():
    found = forecast(falling(30, per_day=0.05), reaches=0.4, at=40.0)

    assert found is not None
    assert (found.reaches_in, found.earliest, found.latest) == (0, 0, 0)


# -- resets -----------------------------------------------------------------------------------------------------------


def test_only_what_came_after_the_last_new_cartridge_counts():
    old = [(float(day), 0.5 - 0.05 * day) for day in range(10)]
    new = [(float(10 + day), 1 - 0.01 * day) for day in range(12)]

    found = forecast(old + new, reaches=0, at=21.0)

    assert found is not None
    assert (found.points, found.slope) == (12, pytest.approx(-0.01))
    assert found.reaches_in == pytest.approx(89)


@pytest.mark.parametrize("resets", [1, 2, 3])
def test_of_several_resets_the_last_counts(resets: int):
    points = [(float(day), 1 - 0.04 * (day % 20)) for day in range(20 * resets + 10)]

    assert len(since_reset(points, reaches=0)) == 10


def test_too_little_after_a_reset_is_too_little():
    old = falling(40, per_day=0.02)
    new = [(40.0, 1.0), (41.0, 0.99), (42.0, 0.98)]

    assert forecast(old + new, reaches=0, at=42.0) is None


@given(st.integers(0, 10_000))
def test_noise_is_no_reset(seed: int):
    points = noisy(random.Random(seed), 40)

    assert len(since_reset(points, reaches=0)) == 40


def test_a_tidied_disk_is_a_reset_too():
    points = [(float(hour), 0.5 + 0.02 * hour) for hour in range(20)]
    points += [(float(20 + hour), 0.4 + 0.005 * hour) for hour in range(20)]

    assert len(since_reset(points, reaches=1)) == 20


# -- disks ------------------------------------------------------------------------------------------------------------


def disk(hours: int, used: Callable[[float], float]) -> list[tuple[datetime, float]]:
    return [(NOW - timedelta(minutes=5 * step), used(-step / 12)) for step in range(hours * 12, -1, -1)]


def test_a_disk_that_fills_is_foretold_in_seconds():
    found = disk_full_in(disk(24, lambda hour: 0.9 + 0.01 * hour), now=NOW)

    assert found is not None
    assert found.reaches_in == pytest.approx(10 * 3600, rel=0.01)
    assert found.latest == pytest.approx(10 * 3600, rel=0.02)


def test_slow_growth_is_seen_over_a_week():
    chance = random.Random(1)
    # By noise alone the last day moves either way; over a week the growth is plain.
    points = disk(7 * 24, lambda hour: 0.8 + 0.0005 * hour + chance.gauss(0, 0.02))

    found = disk_full_in(points, now=NOW)

    assert found is not None
    assert found.reaches_in == pytest.approx(400 * 3600, rel=0.4)


def test_a_disk_that_stays_as_it_is_is_not_foretold():
    chance = random.Random(2)

    assert disk_full_in(disk(48, lambda hour: 0.9), now=NOW) is None
    assert disk_full_in(disk(48, lambda hour: 0.6 + chance.gauss(0, 0.001)), now=NOW) is None
    assert disk_full_in([], now=NOW) is None
