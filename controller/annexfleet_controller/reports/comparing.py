"""A month beside the one before it.

A month that is not over has fewer opening hours than a whole one, so what is counted is compared by opening hour, and
only where both months have enough of them.
"""

from typing import Literal

from msgspec import Struct

from annexfleet_controller.reports.figures import Figures

Measure = Literal[
    "served", "known", "incidents", "trouble", "acknowledge", "repair", "pages", "jams", "waiting", "longest_wait"
]
Kind = Literal["ratio", "count", "duration", "people"]
Judgement = Literal["better", "worse", "same", "more", "less", "unknown"]

LEAST_OPEN_S = 8 * 3600.0
"""With less judged time than a working day nothing is compared."""
_SAME_RATIO = 0.001
_SAME_PART = 0.05


class Compared(Struct, frozen=True):
    """One figure of the month and what became of it."""

    measure: Measure
    kind: Kind
    value: float | None
    """In the unit of its kind: a ratio, a count, seconds, people; None: not known."""
    before: float | None
    """The same of the month before."""
    judgement: Judgement
    change: float | None = None
    """Of ratios the difference; of others by which part of the month before it is more (0.2) or less (-0.2), by
    opening hour; None where nothing can be said, or where it was 0."""


class _Rule(Struct, frozen=True):
    kind: Kind
    higher: Literal["better", "worse", "neither"]
    by_hour: bool


_RULES: dict[Measure, _Rule] = {
    "served": _Rule("ratio", "better", False),
    "known": _Rule("ratio", "better", False),
    "incidents": _Rule("count", "worse", True),
    "trouble": _Rule("duration", "worse", True),
    "acknowledge": _Rule("duration", "worse", False),
    "repair": _Rule("duration", "worse", False),
    "pages": _Rule("count", "neither", True),
    "jams": _Rule("count", "worse", True),
    "waiting": _Rule("people", "worse", False),
    "longest_wait": _Rule("duration", "worse", False),
}
MEASURES = tuple(_RULES)


def values(of: Figures) -> dict[Measure, float | None]:
    """The figures that are compared; None for what is not known, which is never 0."""
    printing = of.printing
    return {
        "served": of.whole.served_ratio,
        "known": of.whole.known_ratio,
        "incidents": float(of.incidents.count),
        "trouble": of.incidents.open_s,
        "acknowledge": of.incidents.mean_acknowledged_s(),
        "repair": of.incidents.mean_repaired_s(),
        "pages": float(printing.pages) if printing.counted else None,
        "jams": float(printing.jams) if printing.printers else None,
        "waiting": of.queues.mean_waiting,
        "longest_wait": of.queues.wait_quantile_s(0.9),
    }


def compared(now: Figures, before: Figures | None) -> list[Compared]:
    """Every measure, in the order of MEASURES."""
    ours, theirs = values(now), (values(before) if before is not None else {})
    comparable = before is not None and min(now.whole.open_s, before.whole.open_s) >= LEAST_OPEN_S
    found = []
    for measure, rule in _RULES.items():
        value, other = ours[measure], theirs.get(measure)
        if value is None or other is None or not comparable or before is None:
            found.append(Compared(measure, rule.kind, value, other, "unknown"))
            continue
        scale = before.whole.open_s / now.whole.open_s if rule.by_hour else 1.0
        judgement, change = _judged(rule, value * scale, other)
        found.append(Compared(measure, rule.kind, value, other, judgement, change))
    return found


def _judged(rule: _Rule, value: float, other: float) -> tuple[Judgement, float | None]:
    if rule.kind == "ratio":
        change: float | None = value - other
        same = abs(value - other) < _SAME_RATIO
    else:
        change = (value - other) / other if other else None
        same = abs(value - other) <= _SAME_PART * other
    if same:
        return "same", change
    more = value > other
    if rule.higher == "neither":
        return ("more" if more else "less"), change
    return ("better" if more == (rule.higher == "better") else "worse"), change
