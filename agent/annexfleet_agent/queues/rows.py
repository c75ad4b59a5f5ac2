"""The canonical row: what is known of one service queue, whatever system counts it.

Missing is unknown, never 0.  A field of a wrong type, below zero or not finite is refused, and the others stay.  Only
these numbers leave the device: no ticket number and no name has a place here.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, structs

from annexfleet_agent.queues.path import Absent, Mismatch, Path

MAX_COUNT = 1_000_000
MAX_WAIT_S = 366 * 86_400.0
"""A ticket that nobody closed may wait for months; more than this is no wait."""
FUTURE_SLACK_S = 120.0
"""So far may the source's clock be ahead of ours."""

_SERVICE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Row(Struct, frozen=True, kw_only=True):
    """One queue; every figure is None while unknown."""

    service: str
    waiting: int | None = None
    longest_wait_s: float | None = None
    average_wait_s: float | None = None
    served_last_hour: int | None = None
    abandoned_last_hour: int | None = None
    counters_open: int | None = None
    counters_total: int | None = None
    observed_at: float | None = None
    """Unix time at which the source says that this was so."""
    oldest_at: float | None = None
    """Unix time since which the person who came first waits; the age is computed when it is reported."""


class Refusal(Struct, frozen=True):
    """Why a field of a row was not taken."""

    field: str
    reason: str


METRIC_OF = {
    "waiting": "queue_waiting_count",
    "longest_wait_s": "queue_longest_wait_seconds",
    "average_wait_s": "queue_average_wait_seconds",
    "served_last_hour": "queue_served_last_hour_count",
    "abandoned_last_hour": "queue_abandoned_last_hour_count",
    "counters_open": "queue_counters_open_count",
    "counters_total": "queue_counters_total_count",
    "observed_at": "queue_observed_at_seconds",
    "oldest_at": "queue_longest_wait_seconds",
}
"""Field of a row -> the reading that suffers when it is refused."""

FIELDS = tuple(METRIC_OF)
_WAITS = {"longest_wait_s", "average_wait_s"}
_MOMENTS = {"observed_at", "oldest_at"}


def service_id(value: object) -> str:
    """A queue's id as this source names it: lower case, spaces become `-`.  Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a service's id is a text or a whole number")  # noqa: TRY004  # one kind for the caller
    name = re.sub(r"\s+", "-", str(value).strip().lower())
    if _SERVICE.fullmatch(name) is None:
        raise ValueError("a service's id has up to 63 of a-z 0-9 . _ - and begins with a letter or digit")
    return name


def pick(document: object, fields: Mapping[str, Path]) -> tuple[dict[str, Any], list[Refusal]]:
    """The row's fields where the expressions say; a field without one is looked up by its own name.

    A field that is asked for by an expression and is not there is refused; one that is merely not offered is unknown.
    """
    values: dict[str, Any] = {}
    refused: list[Refusal] = []
    for name in ("service", *FIELDS):
        path = fields.get(name)
        if path is None:
            if isinstance(document, Mapping) and document.get(name) is not None:
                values[name] = document[name]
            continue
        try:
            values[name] = path.read(document)
        except (Absent, Mismatch) as error:
            refused.append(Refusal(name, str(error)))
    return values, refused


def canonical(service: str, values: Mapping[str, Any], *, now: float) -> tuple[Row, list[Refusal]]:
    """A row of checked figures, and what was refused.

    Counts are whole numbers from 0; waits are seconds; moments are Unix seconds or ISO 8601 (without an offset: UTC).
    """
    taken: dict[str, Any] = {}
    refused: list[Refusal] = []
    for name in FIELDS:
        value = values.get(name)
        if value is None:
            continue
        try:
            if name in _MOMENTS:
                taken[name] = _moment(value, now)
            elif name in _WAITS:
                taken[name] = _number(value, MAX_WAIT_S)
            else:
                taken[name] = _count(value)
        except ValueError as error:
            refused.append(Refusal(name, f"{name} {error}"))
    return Row(service=service, **taken), refused


def longest_wait(row: Row, *, now: float) -> float | None:
    """Seconds that the person who came first has waited until now, or None."""
    if row.oldest_at is not None:
        return max(0.0, now - row.oldest_at)
    return row.longest_wait_s


def stamped(row: Row, observed_at: float) -> Row:
    """The row with a moment of observation if it has none."""
    return row if row.observed_at is not None else structs.replace(row, observed_at=observed_at)


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is no number")  # noqa: TRY004  # one kind for the caller
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("is not finite")
    if number < 0:
        raise ValueError("is below zero")
    if number > most:
        raise ValueError(f"is over {most:g}")
    return number


def _count(value: object) -> int:
    number = _number(value, MAX_COUNT)
    if not number.is_integer():
        raise ValueError("is no whole number")
    return int(number)


def _moment(value: object, now: float) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError("is no moment in ISO 8601") from None
    if isinstance(value, datetime):
        try:
            seconds = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            raise ValueError("is no moment") from None
    else:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("is no moment")  # noqa: TRY004  # as above
        seconds = _number(value, 1e18)
    if seconds > now + FUTURE_SLACK_S:
        raise ValueError("lies in the future (in milliseconds?)" if seconds > 1e11 else "lies in the future")
    if seconds < 0:
        raise ValueError("is below zero")
    return seconds
