"""A rule as a form: its numbers in units that people type, and what they typed as an override.

Each number keeps one unit, by its metric and its default: shares in percent, sizes in GB, times in what their default
is a whole number of.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from annexfleet_controller.rules.check import Use, uses
from annexfleet_controller.rules.model import Rule

Unit = Literal["percent", "gigabytes", "seconds", "minutes", "hours", "days", "celsius", "count"]
_SCALE: dict[Unit, float] = {
    "percent": 0.01, "gigabytes": 1e9, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0,
    "celsius": 1.0, "count": 1.0,
}  # fmt: skip
TIMES = ("for_s", "clear_for_s", "opening_grace_s", "then_after_s")
PEOPLE = ("audience", "then")
FLAGS = ("only_open", "enabled")
_DECIMAL_MARKS = str.maketrans({",": ".", "٫": "."})
_LONGEST_NUMBER = 40


class NumberField(Struct, frozen=True):
    """One number of a form."""

    name: str
    """`levels.used`, `for_s`, `for_s_by_role.tablet`: as a refusal names it."""
    unit: Unit
    text: str
    """As typed or as it is, in `unit`."""
    base: str
    """As it is without an override of this scope."""
    use: Use | None = None
    role: str = ""


class Form(Struct, frozen=True):
    """A rule's form, filled in."""

    levels: tuple[NumberField, ...]
    times: tuple[NumberField, ...]
    severity: str
    audience: tuple[str, ...]
    then: tuple[str, ...]
    only_open: bool
    enabled: bool
    samples: str


Typed = Mapping[str, Sequence[str]]
"""What came with a form: each name with all its values."""


def filled(rule: Rule, base: Rule, default: Rule, typed: Typed | None = None) -> Form:
    """The form of a rule as it is, or as somebody typed it."""

    def text(name: str, value: float, unit: Unit) -> str:
        return _shown(value, unit) if typed is None else _one(typed, name)

    levels = []
    for use in _first_uses(rule):
        unit = unit_of(use.metric, default.levels[use.level])
        name = f"levels.{use.level}"
        value = text(name, rule.levels[use.level], unit)
        levels.append(NumberField(name, unit, value, _shown(base.levels[use.level], unit), use))
    times = []
    for name, role, of in _times(base):
        unit = _time_unit(of(default))
        times.append(NumberField(name, unit, text(name, of(rule), unit), _shown(of(base), unit), role=role))
    return Form(
        levels=tuple(levels),
        times=tuple(times),
        severity=rule.severity if typed is None else _one(typed, "severity"),
        audience=tuple(rule.audience if typed is None else typed.get("audience", ())),
        then=tuple(rule.then if typed is None else typed.get("then", ())),
        only_open=rule.only_open if typed is None else bool(typed.get("only_open")),
        enabled=rule.enabled if typed is None else bool(typed.get("enabled")),
        samples=str(rule.samples) if typed is None else _one(typed, "samples"),
    )


def document(typed: Typed, base: Rule, default: Rule) -> dict[str, Any]:
    """What was typed as an override: only what differs from `base`.  Text that is no number stays text, to be refused.

    A number that was left empty is as it was.
    """
    found: dict[str, Any] = {}
    for number in filled(base, base, default, typed).levels:
        if number.text not in {"", number.base} and number.use is not None:
            found.setdefault("levels", {})[number.use.level] = _number(number.text, number.unit)
    for number in filled(base, base, default, typed).times:
        if number.text in {"", number.base}:
            continue
        if number.role:
            found.setdefault("for_s_by_role", {})[number.role] = _number(number.text, number.unit)
        else:
            found[number.name] = _number(number.text, number.unit)
    samples = _one(typed, "samples")
    if samples not in {"", str(base.samples)}:
        found["samples"] = int(samples) if samples.isdecimal() and len(samples) < _LONGEST_NUMBER else samples
    if (severity := _one(typed, "severity")) not in {"", base.severity}:
        found["severity"] = severity
    for people in PEOPLE:
        if set(typed.get(people, ())) != set(getattr(base, people)):
            found[people] = list(typed.get(people, ()))
    for flag in FLAGS:
        if bool(typed.get(flag)) is not getattr(base, flag):
            found[flag] = bool(typed.get(flag))
    return found


def unit_of(metric: str, default: float) -> Unit:
    """In which unit people type a level of this metric."""
    match metric.rpartition("_")[2]:
        case "ratio":
            return "percent"
        case "bytes":
            return "gigabytes"
        case "celsius":
            return "celsius"
        case "seconds":
            return _time_unit(default)
        case _:
            return "count"


def _time_unit(default_s: float) -> Unit:
    units: tuple[tuple[Unit, float], ...] = (("days", 86_400.0), ("hours", 7200.0), ("minutes", 60.0))
    for unit, at_least in units:
        if default_s >= at_least and default_s % _SCALE[unit] == 0:
            return unit
    return "seconds" if default_s else "minutes"


def _shown(value: float, unit: Unit) -> str:
    return f"{round(value / _SCALE[unit], 6):.15g}"


def _number(text: str, unit: Unit) -> float | str:
    if len(text) > _LONGEST_NUMBER:
        return text
    try:
        return round(float(text.translate(_DECIMAL_MARKS)) * _SCALE[unit], 9)
    except (ValueError, OverflowError):
        return text


def _one(typed: Typed, name: str) -> str:
    values = typed.get(name, ())
    return values[0].strip() if values else ""


def _first_uses(rule: Rule) -> list[Use]:
    """Each level once, where it decides first."""
    found: dict[str, Use] = {}
    for use in uses(rule):
        found.setdefault(use.level, use)
    return list(found.values())


def _times(base: Rule) -> list[tuple[str, str, Callable[[Rule], float]]]:
    """Name, role and getter of each time that the form asks for."""

    def of_field(name: str) -> Callable[[Rule], float]:
        return lambda rule: float(getattr(rule, name))

    def of_role(role: str) -> Callable[[Rule], float]:
        return lambda rule: rule.for_s_by_role.get(role, rule.for_s)

    found = [(name, "", of_field(name)) for name in TIMES]
    found[1:1] = [(f"for_s_by_role.{role}", role, of_role(role)) for role in base.for_s_by_role]
    return found
