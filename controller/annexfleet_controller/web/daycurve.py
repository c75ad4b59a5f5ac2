"""A day's curve beside the usual one of that day, as points of an SVG: it needs no script and takes its room at once.

Time runs from left to right in every language.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import mean
from zoneinfo import ZoneInfo

from msgspec import Struct

WIDTH, HEIGHT = 600, 180
_FIRST_H, _LAST_H = 8, 16
"""Hours that are shown at least: those at which annexes are usually open."""
_LEAST_TOP = 4.0
_GAP_S = 1800.0
"""Two points that are farther apart are not joined: nobody told what was between them."""


class Hour(Struct, frozen=True):
    """A line of the table."""

    hour: int
    today: float | None
    usual: float | None


class Curve(Struct, frozen=True):
    """What is drawn, in units of WIDTH and HEIGHT."""

    today: list[str]
    """Points of polylines, one for each stretch without a hole."""
    usual: str
    labels: list[tuple[int, float]]
    """Hours of the axis, each with its place as a percentage."""
    top: float
    """The number at the upper edge."""
    hours: list[Hour]
    first_h: int
    last_h: int
    """The ends of the axis, in hours of the local day."""
    weeks: int
    """Of how many of the weeks before anything is known."""

    @property
    def is_empty(self) -> bool:
        return not self.today and not self.usual


def hourly(at: Sequence[float], values: Sequence[float | None], zone: ZoneInfo) -> dict[int, float]:
    """Means by hour of the local day, of those hours of which something is known."""
    of: dict[int, list[float]] = {}
    for moment, value in zip(at, values, strict=True):
        if value is not None:
            of.setdefault(datetime.fromtimestamp(moment, UTC).astimezone(zone).hour, []).append(value)
    return {hour: mean(found) for hour, found in of.items()}


def curve(
    at: Sequence[float], values: Sequence[float | None], before: Sequence[Mapping[int, float]], zone: ZoneInfo
) -> Curve:
    """Today's points, and the means of the days before by hour."""
    known = [(_hour_of(moment, zone), value) for moment, value in zip(at, values, strict=True) if value is not None]
    usual = {hour: mean(found) for hour in range(24) if (found := [day[hour] for day in before if hour in day])}
    # Hours of the night at which nobody ever waits are left out.
    busy = [int(hour) for hour, value in known if value] + [hour for hour, value in usual.items() if value]
    first, last = min([_FIRST_H, *busy]), max([_LAST_H, *(hour + 1 for hour in busy)])
    top = max([_LEAST_TOP, *(value for _, value in known), *usual.values()])
    today = hourly(at, values, zone)

    def point(hour: float, value: float) -> str:
        return f"{WIDTH * (hour - first) / (last - first):.1f},{HEIGHT * (1 - value / top):.1f}"

    return Curve(
        today=[
            " ".join(point(hour, value) for hour, value in some)
            for some in _unbroken([one for one in known if first <= one[0] <= last])
        ],
        usual=" ".join(point(hour + 0.5, usual[hour]) for hour in sorted(usual) if first <= hour < last),
        labels=[(hour, 100 * (hour - first) / (last - first)) for hour in range(first, last + 1, 2)],
        top=top,
        hours=[
            Hour(hour, today.get(hour), usual.get(hour))
            for hour in range(first, last)
            if hour in today or hour in usual
        ],
        first_h=first,
        last_h=last,
        weeks=sum(bool(day) for day in before),
    )  # fmt: skip


def _unbroken(points: Sequence[tuple[float, float]]) -> Iterable[list[tuple[float, float]]]:
    some: list[tuple[float, float]] = []
    for hour, value in points:
        if some and (hour - some[-1][0]) * 3600 > _GAP_S:
            yield some
            some = []
        some.append((hour, value))
    if some:
        yield some


def _hour_of(moment: float, zone: ZoneInfo) -> float:
    local = datetime.fromtimestamp(moment, UTC).astimezone(zone)
    return local.hour + local.minute / 60
