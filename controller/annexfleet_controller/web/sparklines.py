"""Lines over time as shapes of an SVG, made here so that they need no script; words beside them say the same."""

from collections.abc import Sequence

from msgspec import Struct

WIDTH, HEIGHT = 240, 48


class Curve(Struct, frozen=True):
    """One line, and what can be said of it."""

    path: str
    """For `d` of a path, in a box of WIDTH by HEIGHT; time goes from left to right in every language."""
    last: float
    lowest: float
    highest: float


def curve(
    points: Sequence[tuple[float, float | None]],
    *,
    since: float,
    until: float,
    top: float,
    gap_s: float,
    height: int = HEIGHT,
) -> Curve | None:
    """A line through points of Unix seconds and values; None where there are not two.

    The box reaches from 0 to `top`.  The line is broken where a value is missing, or more than `gap_s` lie between two.
    """
    known = [(at, value) for at, value in points if value is not None and since <= at <= until]
    if len(known) < 2:
        return None
    pieces: list[str] = []
    before: float | None = None
    for at, value in points:
        if value is None or not since <= at <= until:
            before = None if value is None else before
            continue
        x = (at - since) / (until - since) * WIDTH
        y = height - min(1.0, max(0.0, value / top if top else 0.0)) * (height - 2) - 1
        pieces.append(f"{'L' if before is not None and at - before <= gap_s else 'M'}{x:.1f} {y:.1f}")
        before = at
    values = [value for _, value in known]
    return Curve("".join(pieces), values[-1], min(values), max(values))


def nice_top(highest: float) -> float:
    """A round number at or above it, so that two pages of the same day look alike."""
    for step in (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000):
        if highest <= step:
            return float(step)
    return highest
