"""When something that grows or shrinks reaches a level: a line that outliers do not bend, and how sure it is of itself.

The line is that of Theil and Sen: the median of the slopes between all pairs of points, laid through their median.  A
quarter of the points may be nonsense and it hardly moves.  Its slope's interval is Sen's (1968), from the variance of
Kendall's S with ties.  That takes the noise of each point for independent, which a cartridge's is not: what was printed
on a busy day stays printed.  So what residuals drift apart over time, and not only from one to the next, widens it, for
the past and for the days to come.

Thinks only, in any unit of time: a forecast speaks in that of the points.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import NormalDist, median

from msgspec import Struct

MOST_POINTS = 60
"""1,770 slopes: about a millisecond."""
LEAST_POINTS = 6
FARTHEST_SPANS = 10.0
"""No forecast reaches further than so many times the span of its points."""

_LOOK_S = (86_400.0, 7 * 86_400.0)
"""How far back a disk is looked at: a log that fills it since this morning first, slow growth else."""
_LEAST_DISK_SPAN_S = 3600.0

_WINDOW = 5
"""Points on each side of a jump that must agree on it."""
_JUMP_OF_RANGE = 0.05
_JUMP_OF_STEPS = 3.0
_MAD_TO_SIGMA = 1.4826
_MEDIAN_TO_MEAN = 1.2533
"""A median's standard error is so many times a mean's (square root of pi / 2)."""

_HIDDEN_BY_LINE = 2.0
"""The line follows what wanders, and leaves about half of it in the residuals (found by simulation, see the tests)."""

Point = tuple[float, float]
"""When, and how much."""


class Forecast(Struct, frozen=True, kw_only=True):
    """When a level is reached, counted from the moment of asking, in the points' unit of time.

    0 is: by now.  `latest` None: perhaps never, as far as the points tell.
    """

    reaches_in: float
    earliest: float
    latest: float | None
    slope: float
    """Per unit of time; toward the level."""
    confidence: float
    """How often the truth lies from `earliest` to `latest`, from 0 to 1."""
    points: int
    """How many it rests on: those since the last reset, thinned out to MOST_POINTS."""
    span: float
    """From the first to the last of them."""

    @property
    def is_tight(self) -> bool:
        """Whether the interval is no wider than the estimate is far, so that its early end means something."""
        return self.latest is not None and self.latest - self.earliest <= self.reaches_in


class Line(Struct, frozen=True):
    """y = level + slope * (x - middle)."""

    slope: float
    level: float
    middle: float
    weakest: float
    strongest: float
    """Ends of the slope's interval."""

    def at(self, x: float) -> float:
        return self.level + self.slope * (x - self.middle)


def forecast(
    points: Sequence[Point],
    *,
    reaches: float,
    at: float,
    confidence: float = 0.9,
    least_points: int = LEAST_POINTS,
    least_span: float = 0.0,
) -> Forecast | None:
    """When the points reach a level, seen from `at`; None where nothing honest can be said.

    That is: too few points or over too short a span (since the last reset: a jump away from the level, such as a new
    cartridge or a disk tidied up), no movement or one away from the level, or one so slow that the level is more than
    FARTHEST_SPANS spans away.  Points may come in any order; those after `at` and those that are no numbers do not
    count; of several at one moment their median does.  Raises ValueError for a confidence that is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence}")
    known = since_reset(_tidy(points, at), reaches=reaches)
    known = _thin(known)
    if len(known) < max(3, least_points):
        return None
    span = known[-1][0] - known[0][0]
    if span < least_span:
        return None
    found = line(known, confidence=confidence)
    if found.slope == 0:
        return None
    crosses = found.middle + (reaches - found.level) / found.slope
    if crosses <= known[0][0] or crosses - at > FARTHEST_SPANS * span:
        return None  # it moves away, or too slowly for us to tell
    early, late = _bounds(known, found, crosses, reaches, NormalDist().inv_cdf((1 + confidence) / 2))
    return Forecast(
        reaches_in=max(0.0, crosses - at),
        earliest=max(0.0, early - at),
        latest=None if late is None else max(0.0, late - at),
        slope=found.slope,
        confidence=confidence,
        points=len(known),
        span=span,
    )


def disk_full_in(
    points: Sequence[tuple[datetime, float]], *, now: datetime, confidence: float = 0.9
) -> Forecast | None:
    """In how many seconds a disk is full, from moments and the ratio used (0 to 1); None where nobody can tell.

    The last day counts where it shows growth, so that a runaway log is seen within hours; else the last week.
    """
    at = now.timestamp()
    told = [(moment.timestamp(), ratio) for moment, ratio in points]
    for look_s in _LOOK_S:
        recent = [point for point in told if point[0] >= at - look_s]
        found = forecast(recent, reaches=1.0, at=at, confidence=confidence, least_span=_LEAST_DISK_SPAN_S)
        if found is not None and found.latest is not None:
            return found
    return None


def line(points: Sequence[Point], *, confidence: float) -> Line:
    """The line of Theil and Sen through points at different moments, in order; at least two."""
    slopes = sorted((y - y0) / (x - x0) for place, (x0, y0) in enumerate(points) for x, y in points[place + 1 :])
    slope = median(slopes)
    middle = median(x for x, _ in points)
    level = median(y - slope * (x - middle) for x, y in points)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(_variance_of_s([y for _, y in points])) / 2
    below = max(0, math.floor(len(slopes) / 2 - half) - 1)
    above = min(len(slopes) - 1, math.ceil(len(slopes) / 2 + half))
    return Line(slope, level, middle, slopes[below], slopes[above])


def since_reset(points: Sequence[Point], *, reaches: float) -> Sequence[Point]:
    """The points since the last jump away from the level, all of them if there was none.

    A jump is where the points after it lie farther from the level than those before, by far more than one step usually
    changes; one of five on each side may disagree.  A single newest point proves nothing.
    """
    if len(points) < 3:
        return points
    levels = [y for _, y in points]
    away = 1.0 if median(levels) > reaches else -1.0
    heights = [away * y for y in levels]
    step = median(abs(b - a) for a, b in pairwise(heights))
    reach = max(*heights, away * reaches) - min(*heights, away * reaches)
    jump = max(_JUMP_OF_RANGE * reach, _JUMP_OF_STEPS * step)
    for start in range(len(heights) - 2, 0, -1):
        before, after = sorted(heights[max(0, start - _WINDOW) : start]), sorted(heights[start : start + _WINDOW])
        low = after[1] if len(after) == _WINDOW else after[0]
        high = before[-2] if len(before) == _WINDOW else before[-1]
        if low - high > jump:
            # As one may disagree, the jump itself is here or a point or two beside it.
            beside = range(max(1, start - 2), min(start + 3, len(heights)))
            return points[max(beside, key=lambda place: heights[place] - heights[place - 1]) :]
    return points


def _bounds(
    points: Sequence[Point], found: Line, crosses: float, reaches: float, z: float
) -> tuple[float, float | None]:
    """The earliest and the latest crossing; None for never."""
    direction = 1.0 if found.slope > 0 else -1.0
    slope = abs(found.slope)
    ends = sorted((direction * found.weakest, direction * found.strongest))
    residuals = [y - found.at(x) for x, y in points]
    span = points[-1][0] - points[0][0]
    wander = _wander([x for x, _ in points], residuals)
    slope_wander = z * math.sqrt(wander / span)
    strongest = slope + math.hypot(ends[1] - slope, slope_wander)
    weakest = slope - math.hypot(slope - ends[0], slope_wander)

    ahead = max(0.0, crosses - points[-1][0])
    spread = _MAD_TO_SIGMA * median(map(abs, residuals))
    level_variance = (_MEDIAN_TO_MEAN * spread) ** 2 / len(points) + wander * (ahead + span / 8)
    slack = z * math.sqrt(level_variance) / slope

    distance = abs(reaches - found.level)
    if direction * (reaches - found.level) < 0:
        distance = 0.0  # it was crossed in the first half: where the line pivots does not matter
    early = crosses - math.hypot(crosses - (found.middle + distance / strongest), slack)
    if weakest <= 0:
        return early, None
    return early, crosses + math.hypot(found.middle + distance / weakest - crosses, slack)


def _wander(moments: Sequence[float], residuals: Sequence[float]) -> float:
    """Variance per unit of time by which residuals drift apart; 0 where they only scatter.

    Scatter is as large between neighbours as between points far apart; what wanders is not.
    """
    far = max(2, len(residuals) // 4)
    near_gap = _mean_gap(moments, 1)
    far_gap = _mean_gap(moments, far)
    apart = _spread(residuals, far) - _spread(residuals, 1)
    return _HIDDEN_BY_LINE * max(0.0, apart) / (far_gap - near_gap)


def _spread(residuals: Sequence[float], lag: int) -> float:
    return (_MAD_TO_SIGMA * median(abs(b - a) for a, b in zip(residuals, residuals[lag:], strict=False))) ** 2


def _mean_gap(moments: Sequence[float], lag: int) -> float:
    gaps = [b - a for a, b in zip(moments, moments[lag:], strict=False)]
    return sum(gaps) / len(gaps)


def _variance_of_s(levels: Sequence[float]) -> float:
    """Of Kendall's S where nothing moves; levels that stand there several times make it smaller."""
    ties: dict[float, int] = {}
    for level in levels:
        ties[level] = ties.get(level, 0) + 1
    count = len(levels)
    whole = count * (count - 1) * (2 * count + 5)
    return (whole - sum(n * (n - 1) * (2 * n + 5) for n in ties.values())) / 18


def _tidy(points: Sequence[Point], at: float) -> Sequence[Point]:
    """In order, each moment once."""
    by_moment: dict[float, list[float]] = {}
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y) and x <= at:
            by_moment.setdefault(x, []).append(y)
    return [(x, median(by_moment[x])) for x in sorted(by_moment)]


def _thin(points: Sequence[Point]) -> Sequence[Point]:
    """At most MOST_POINTS, evenly, the first and the newest among them."""
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
