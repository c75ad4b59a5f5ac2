"""Beats into hours, and hours into days.  Thinks only."""

import math
from collections.abc import Iterable, Sequence

from annexfleet_agent.protocol.messages import Beat, Numbers, Summary
from annexfleet_agent.protocol.metrics import CATALOGUE

_DIGITS = 4
"""Significant digits of a number that the catalogue does not know."""
MOST_SUBJECTS = 200
MOST_NUMBERS = 2000
"""In one hour or day.  A beat has some thirty; whoever gives other names in each would make a book of an hour."""


def bucket_end(at: float, size_s: int) -> int:
    """End of the hour or day (UTC) in which a summary that ends at `at` belongs: an hour's last beat ends with it."""
    return math.ceil(at / size_s) * size_s


def merge(beats: Sequence[Beat], *, at: float) -> Beat:
    """One beat for all of these, which are told oldest first; it ends at `at`.

    Means are weighted with the seconds of the beats that have the number, so a beat cut short counts for less, and a
    time without beats counts for nothing.  `seconds` is how long was really observed.  Subjects and numbers beyond the
    first so many are left out.

    Raises ValueError if there are none.
    """
    if not beats:
        raise ValueError("nothing to merge")
    numbers_: Numbers = {
        subject: {metric: _rounded(metric, combine(parts)) for metric, parts in metrics.items()}
        for subject, metrics in _gathered(beats).items()
    }
    return Beat(
        seq=beats[-1].seq,
        at=at,
        seconds=min(86_400, sum(beat.seconds for beat in beats)),
        samples=min(100_000, sum(beat.samples for beat in beats)),
        numbers=numbers_,
    )


def _gathered(beats: Sequence[Beat]) -> dict[str, dict[str, list[tuple[float, float | Summary]]]]:
    """Each number of each subject with the seconds it counts for."""
    gathered: dict[str, dict[str, list[tuple[float, float | Summary]]]] = {}
    count = 0
    for beat in beats:
        weight = beat.seconds or 1.0  # a beat of no length was one sample
        for subject, numbers in beat.numbers.items():
            if subject not in gathered and len(gathered) >= MOST_SUBJECTS:
                continue
            metrics = gathered.setdefault(subject, {})
            for metric, value in numbers.items():
                if metric not in metrics:
                    if count >= MOST_NUMBERS:
                        continue
                    count += 1
                metrics.setdefault(metric, []).append((weight, value))
    return gathered


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
