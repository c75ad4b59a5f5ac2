"""Whether a rule can be so.  Says of the first thing that cannot which field it is, and why.

Reasons are codes (`REASONS`), whose words are in the catalogues; the bounds they speak of are in the error's facts.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple

from annexfleet_agent.protocol.messages import MOST
from annexfleet_controller.errors import RuleWrong
from annexfleet_controller.rules import model
from annexfleet_controller.rules.model import Condition, Rule
from annexfleet_controller.things import AUDIENCES, SEVERITIES

REASONS = (
    "unknown_rule", "not_a_document", "wrong_type", "unknown_field", "unknown_level", "not_a_number", "out_of_range",
    "always", "never", "clear_not_below", "clear_not_above", "critical_milder", "too_long", "unknown_severity",
    "unknown_audience", "unknown_role", "empty",
)  # fmt: skip

ROLES = ("counter", "kiosk", "tablet", "server")
"""What a device can be used as; a rule may wait otherwise for each."""

LONGEST_S = {
    "for_s": 30 * 86_400.0, "clear_for_s": 86_400.0, "opening_grace_s": 4 * 3600.0, "then_after_s": 7 * 86_400.0,
}  # fmt: skip
MOST_SAMPLES = 10

_RANGES = {
    "ratio": (0.0, 1.0),
    "seconds": (0.0, 10 * 366 * 86_400.0),
    "days": (0.0, 3660.0),
    "count": (0.0, 1e6),
    "bytes": (0.0, MOST),
    "celsius": (-60.0, 200.0),
    "dbm": (-150.0, 0.0),
}
_BEYOND_ONE = frozenset({"load_per_cpu_ratio"})

Direction = Literal["up", "down"]
Comparison = Literal["above", "at_least", "below", "at_most"]
Where = Literal["raise", "guard", "clear", "warning", "critical", "cause"]
"""guard: in the raising condition, but only narrowing what another comparison says, where it is known."""


class Use(NamedTuple):
    """Where a rule compares a value with one of its levels."""

    where: Where
    metric: str
    comparison: Comparison
    level: str

    @property
    def direction(self) -> Direction:
        """Whether more (`up`) or less of the metric makes it hold."""
        return "up" if self.comparison in {"above", "at_least"} else "down"


def check(rule: Rule, *, changed: Collection[str] = ()) -> None:
    """Raises RuleWrong with `field` and `reason`; where two levels do not fit, `field` is one of those `changed`."""
    _check_levels(rule)
    _check_pairs(rule, changed)
    for field, longest in LONGEST_S.items():
        _check_time(field, getattr(rule, field), longest)
    for role, for_s in rule.for_s_by_role.items():
        if role not in ROLES:
            raise wrong("for_s_by_role", "unknown_role", value=role)
        _check_time(f"for_s_by_role.{role}", for_s, LONGEST_S["for_s"])
    if not 1 <= rule.samples <= MOST_SAMPLES:
        raise wrong("samples", "out_of_range", low=1, high=MOST_SAMPLES)
    if rule.severity not in SEVERITIES:
        raise wrong("severity", "unknown_severity", value=rule.severity)
    for field, people in (("audience", rule.audience), ("then", rule.then)):
        if any(person not in AUDIENCES for person in people):
            raise wrong(field, "unknown_audience")
    if not rule.audience:
        raise wrong("audience", "empty")


def uses(rule: Rule) -> list[Use]:
    """Every comparison with a named level, those of the raising condition first."""
    conditions: list[tuple[Where, Condition | None]] = [
        ("raise", rule.raise_when), ("clear", rule.clear_when), ("warning", rule.warning_when),
        ("critical", rule.critical_when), *(("cause", condition) for condition in rule.other_causes.values()),
    ]  # fmt: skip
    return [use for where, condition in conditions if condition is not None for use in _uses(where, condition, "up")]


def allowed(metric: str) -> tuple[float, float]:
    """Lowest and highest level with which a metric can be compared, in its unit."""
    if metric in _BEYOND_ONE:
        return 0.0, 1000.0
    if metric.endswith("per_second"):
        return 0.0, MOST
    return _RANGES.get(metric.rpartition("_")[2], (-MOST, MOST))


def wrong(field: str, reason: str, **facts: object) -> RuleWrong:
    """The error for a field, with a message for logs and the command line."""
    told = " ".join(f"{key}={value}" for key, value in facts.items())
    return RuleWrong(f"{field}: {reason} {told}".rstrip(), field=field, reason=reason, **facts)


_COMPARISONS: tuple[Comparison, ...] = ("above", "at_least", "below", "at_most")
_OPPOSITE: dict[Comparison, Comparison] = {
    "above": "at_most", "at_least": "below", "below": "at_least", "at_most": "above",
}  # fmt: skip


def _uses(where: Where, condition: Condition, sense: Direction) -> Iterator[Use]:
    """`sense` is down inside a `Not`."""
    if isinstance(condition, model.Not):
        yield from _uses(where, condition.of, "down" if sense == "up" else "up")
    elif isinstance(condition, model.Is):
        for comparison in _COMPARISONS:
            level = getattr(condition, comparison)
            if isinstance(level, str):
                yield Use(where, condition.metric, comparison if sense == "up" else _OPPOSITE[comparison], level)
    else:
        for member in condition.of:
            narrows = where == "raise" and isinstance(condition, model.All) and isinstance(member, model.Is)
            yield from _uses("guard" if narrows and member.optional else where, member, sense)


def _check_levels(rule: Rule) -> None:
    used = uses(rule)
    names = {use.level for use in used}
    for name, level in rule.levels.items():
        if name not in names:
            raise wrong(f"levels.{name}", "unknown_level")
        if not math.isfinite(level):
            raise wrong(f"levels.{name}", "not_a_number")
    for use in used:
        field = f"levels.{use.level}"
        if use.level not in rule.levels:
            raise wrong(field, "unknown_level")
        level = rule.levels[use.level]
        low, high = allowed(use.metric)
        if not low <= level <= high:
            raise wrong(field, "out_of_range", low=low, high=high)
        if use.where in {"raise", "clear"}:
            _check_sense(use, field, level, low, high)


def _check_sense(use: Use, field: str, level: float, low: float, high: float) -> None:
    """Every value would do, or none could: nobody means that."""
    if (use.comparison == "at_least" and level <= low) or (use.comparison == "at_most" and level >= high):
        raise wrong(field, "always", low=low, high=high)
    if (use.comparison == "above" and level >= high) or (use.comparison == "below" and level <= low):
        raise wrong(field, "never", low=low, high=high)


def _check_pairs(rule: Rule, changed: Collection[str]) -> None:
    used = uses(rule)
    for raised in (use for use in used if use.where == "raise"):
        for other in used:
            if other.metric == raised.metric and (reason := _misfit(raised, other, rule.levels)):
                mine = raised.level in changed and other.level not in changed
                blamed, partner = (raised, other) if mine else (other, raised)
                raise wrong(f"levels.{blamed.level}", reason, other=rule.levels[partner.level])


def _misfit(raised: Use, other: Use, levels: Mapping[str, float]) -> str:
    """A clear level lies on the good side of the raise level and off it; a critical level not on the good side."""
    if raised.level == other.level:  # written as "no longer so": the rule's author meant it
        return ""
    raise_level, level = levels[raised.level], levels[other.level]
    up = raised.direction == "up"
    same_way = raised.direction == other.direction
    if other.where == "clear" and not same_way and (level >= raise_level if up else level <= raise_level):
        return "clear_not_below" if up else "clear_not_above"
    if other.where == "critical" and same_way and (level < raise_level if up else level > raise_level):
        return "critical_milder"
    return ""


def _check_time(field: str, time_s: float, longest: float) -> None:
    if not math.isfinite(time_s):
        raise wrong(field, "not_a_number")
    if time_s < 0:
        raise wrong(field, "out_of_range", low=0, high=longest)
    if time_s > longest:
        raise wrong(field, "too_long", high=longest)
