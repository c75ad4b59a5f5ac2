"""Reports as a person reads them: the output of `annexfleet-agent check`, as plain text and as JSON."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from annexfleet_agent.collectors.report import Problem, Report
from annexfleet_agent.protocol.messages import Value
from annexfleet_agent.protocol.metrics import CATALOGUE, Metric

_NAME_WIDTH = 34
"""The longest metric's name has 33 characters."""
_VALUE_WIDTH = 14
_LEAST_WIDTH = 60
_MEANING_FROM_WIDTH = 110
"""Narrower screens have no room for what a metric means."""
_RAISED = re.compile(r"^\w+(Error|Exception|Failed): ")
"""The class of an exception, which helps nobody at a counter."""


def render(reports: Mapping[str, Report], *, width: int = 80) -> str:
    """What each collector found, grouped by what it is about: metric, value with its unit, and a note.

    The note says why a value is missing, or that it is out of the ordinary; on a wide screen also what the metric
    means.  No line is longer than `width`, which counts at least 60.  Ends with a line break.
    """
    width = max(_LEAST_WIDTH, width)
    subjects = sorted(
        {subject for report in reports.values() for subject in (*report.readings, *report.problems)}, key=_order
    )
    lines = []
    for subject in subjects:
        lines.append(_cut(subject or "this device", width))
        for report in reports.values():
            for metric, value in report.readings.get(subject, {}).items():
                lines += _reading(metric, value, report.problems.get(subject, {}).get(metric), width)
            for metric, problem in report.problems.get(subject, {}).items():
                if metric not in report.readings.get(subject, {}):
                    name = "everything else" if metric == "*" else metric
                    lines += _row(name, "-", _reason(problem), width)
        lines.append("")
    silent = [name for name, report in reports.items() if not report.readings and not report.problems]
    if silent:
        lines += textwrap.wrap(f"Nothing to report: {', '.join(silent)}.", width)
    return "\n".join(lines).rstrip("\n") + "\n"


def to_json(reports: Mapping[str, Report]) -> str:
    """One object by collector: `readings` by subject and metric in base units, and `problems` with code and detail."""
    whole = {name: {"readings": report.readings, "problems": report.problems} for name, report in reports.items()}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def _order(subject: str) -> tuple[bool, str]:
    return subject != "", subject


def _reading(name: str, value: Value, problem: Problem | None, width: int) -> list[str]:
    metric = CATALOGUE.get(name)
    notes = [_reason(problem)] if problem else []
    if metric is not None:
        if _is_unusual(metric, value):
            notes.append("unusual")
        if width >= _MEANING_FROM_WIDTH:
            notes.append(metric.meaning)
    return _row(name, human(name, value), "; ".join(notes), width)


def _row(name: str, value: str, note: str, width: int) -> list[str]:
    """One line, or several where the value or the note needs them."""
    left = f"  {name:<{_NAME_WIDTH}} "
    room = width - len(left)
    if len(value) > _VALUE_WIDTH:  # a word, or a set of words
        value = f"{value}  ({note})" if note else value
        return list(_hanging(left, value, room))
    first = f"{value:<{_VALUE_WIDTH}} "
    if not note:
        return [(left + value).rstrip()]
    return list(_hanging(left + first, note, room - len(first)))


def _hanging(left: str, text: str, room: int) -> Iterator[str]:
    for number, part in enumerate(textwrap.wrap(text, room) or [""]):
        yield (left if number == 0 else " " * len(left)) + part


def _reason(problem: Problem) -> str:
    detail = _RAISED.sub("", problem.detail)
    return f"{problem.code}: {detail}" if detail else problem.code


def _is_unusual(metric: Metric, value: Value) -> bool:
    if metric.usual is None or isinstance(value, str | list):
        return False
    return not metric.usual[0] <= value <= metric.usual[1]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


# -- values with units a person thinks in -----------------------------------------------------------------------------


def human(name: str, value: Value) -> str:
    """A value as a person says it, in the unit of the metric of that name; an unknown name has no unit.

    `human("disk_free_bytes", 84494274560)` is `84.5 GB`.
    """
    if isinstance(value, str):
        return value or "none"
    if isinstance(value, list):
        return ", ".join(value) if value else "none"
    if name.endswith("_at_seconds"):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if "_bits_" in name:
        return _scaled(value, "bit/s")
    metric = CATALOGUE.get(name)
    say = _BY_UNIT.get(metric.unit) if metric else None
    return say(value) if say else f"{value:.10g}"


def _scaled(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:.4g} T{unit}"


def _duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms"
    if abs(seconds) < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


_BY_UNIT: dict[str, Callable[[float], str]] = {
    "ratio": lambda value: f"{value * 100:.1f} %",
    "bool": lambda value: "yes" if value else "no",
    "bytes": lambda value: _scaled(value, "B"),
    "bytes_per_second": lambda value: _scaled(value, "B/s"),
    "per_second": lambda value: f"{value:.3g} /s",
    "seconds": _duration,
    "celsius": lambda value: f"{value:.1f} °C",
    "dbm": lambda value: f"{value:.0f} dBm",
}
