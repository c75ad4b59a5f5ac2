"""Beats into hours, and hours into days.  Thinks only."""

import math
from collections.abc import Iterable, Sequence

from annexfleet_agent.protocol.messages import Beat, Numbers, Summary
from annexfleet_agent.protocol.metrics import CATALOGUE

_DIGITS = 4
"""Significant digits of a number that the catalogue does not know."""


def bucket_end(at: float, size_s: int) -> int:
    """End of the hour or day (UTC) in which a summary that ends at `at` belongs: an hour's last beat ends with it."""
    return math.ceil(at / size_s) * size_s


def merge(beats: Sequence[Beat], *, at: float) -> Beat:
    """One beat for all of these, which are told oldest first; it ends at `at`.

    Means are weighted with the seconds of the beats that have the number, so a beat cut short counts for less, and a
    time without beats counts for nothing.  `seconds` is how long was really observed.

    Raises ValueError if there are none.
    """
    if not beats:
        raise ValueError("nothing to merge")
    gathered: dict[str, dict[str, list[tuple[float, float | Summary]]]] = {}
    for beat in beats:
        weight = beat.seconds or 1.0  # a beat of no length was one sample
        for subject, numbers in beat.numbers.items():
            metrics = gathered.setdefault(subject, {})
            for metric, value in numbers.items():
                metrics.setdefault(metric, []).append((weight, value))
    numbers_: Numbers = {
        subject: {metric: _rounded(metric, combine(parts)) for metric, parts in metrics.items()}
        for subject, metrics in gathered.items()
    }
    return Beat(
        seq=beats[-1].seq,
        at=at,
        seconds=min(86_400, sum(beat.seconds for beat in beats)),
        samples=min(100_000, sum(beat.samples for beat in beats)),
        numbers=numbers_,
    )


def combine(parts: Iterable[tuple[float, float | Summary]]) -> Summary:
    """The summary of (seconds, summary) pairs, oldest first; there must be one."""
    total = weights = 0.0
    low, high, last = math.inf, -math.inf, math.nan
    for weight, value in parts:
        summary = value if isinstance(value, Summary) else Summary(value, value, value, value)
        total += weight * summary.mean
        weights += weight
        low, high, last = min(low, summary.min), max(high, summary.max), summary.last
    # Rounding must not push the mean out of its band.
    return Summary(last, low, min(high, max(low, total / weights)), high)


def _rounded(metric: str, summary: Summary) -> float | Summary:
    if summary.min == summary.max:
        return summary.last
    known = CATALOGUE.get(metric)
    digits = (known.digits if known else _DIGITS) + 1
    mean = float(f"{summary.mean:.{digits}g}")
    return Summary(summary.last, summary.min, min(summary.max, max(summary.min, mean)), summary.max)
