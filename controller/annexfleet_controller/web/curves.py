"""What of a device is drawn over time, and the same figures as a table for who does not look at curves."""

from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from urllib.parse import urlencode

from msgspec import Struct, structs
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import metrics
from annexfleet_controller import state
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import isolated
from annexfleet_controller.store import history

Span = Literal["1h", "24h", "7d", "90d"]
SPANS: dict[Span, timedelta] = {
    "1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "90d": timedelta(days=90),
}  # fmt: skip
assert tuple(SPANS) == get_args(Span)

_ROWS: dict[Span, int] = {"1h": 12, "24h": 24, "7d": 28, "90d": 90}
"""Of a table: every beat, every hour, every six hours, every day."""
_SHOWN_FIRST = (
    "cpu_used_ratio",
    "memory_used_ratio",
    "disk_used_ratio",
    "queue_waiting_count",
    "portal_total_seconds",
    "printer_jobs_count",
    "battery_charge_ratio",
    "temperature_celsius",
)
"""Of what a device measures, the first four of these are drawn until somebody chooses."""
_CHARTS = 4


class Chart(Struct, frozen=True):
    """One metric over time, drawn by static/charts.js."""

    label: str
    about: str
    metric: str
    subject: str
    unit: str
    address: str
    """Of its series, without since and until."""


class Choice(Struct, frozen=True):
    """A metric that can be drawn."""

    value: str
    text: str
    chosen: bool


class Row(Struct, frozen=True):
    """Some time of a table, in the metric's own unit."""

    since: datetime
    low: float
    mean: float
    high: float


class Table(Struct, frozen=True):
    chart: Chart
    rows: list[Row]
    """The newest first; times of which nothing is known are missing."""


def charts(known: state.Known, language: Language, device_id: str, chosen: str) -> list[Chart]:
    """What is drawn: the chosen one alone, else the first four that this device measures."""
    drawable = _drawable(known)
    if chosen:
        subject, _, metric = chosen.rpartition(" ")
        return [_chart(language, device_id, subject, metric)] if metric in metrics.CATALOGUE else []
    first = [r for name in _SHOWN_FIRST for r in drawable if r.metric == name]
    seen: dict[str, state.Reading] = {}
    for reading in first:
        seen.setdefault(reading.metric, reading)
    return [_chart(language, device_id, r.subject, r.metric) for r in list(seen.values())[:_CHARTS]]


def choices(known: state.Known, language: Language, chosen: str) -> list[Choice]:
    """Every number of this device that has a past."""
    found = []
    for reading in _drawable(known):
        value = f"{reading.subject} {reading.metric}"
        rest = about(reading.subject)
        text = language.name("metric", reading.metric) + (f" – {isolated(rest)}" if rest else "")
        found.append(Choice(value, text, value == chosen))
    return found


def tables(db: Session, device_number: int, drawn: list[Chart], *, span: Span, now: datetime) -> list[Table]:
    """Lowest, mean and highest of each chart, in steps that a person can read through."""
    wanted = [(chart.subject, chart.metric) for chart in drawn]
    found = history.several(db, device_number, wanted, since=now - SPANS[span], until=now, points=_ROWS[span])
    return [Table(chart, _rows(series)) for chart, series in zip(drawn, found, strict=True)]


def _rows(series: history.Series) -> list[Row]:
    width = series.step_s or 300
    rows = [
        Row(datetime.fromtimestamp(at - width, UTC), low, mean, high)
        for at, low, mean, high in zip(series.at, series.mins, series.values, series.maxs, strict=True)
        if low is not None and mean is not None and high is not None
    ]
    return rows[::-1]


def about(subject: str) -> str:
    """The part of a subject that names a thing: `/` of `disk:/`."""
    return subject.partition(":")[2]


def _drawable(known: state.Known) -> list[state.Reading]:
    return [
        reading
        for _, of in state.by_collector(known)
        for reading in of
        if reading.number is not None and getattr(metrics.CATALOGUE.get(reading.metric), "kind", "") == "gauge"
    ]


def of_subject(language: Language, device_id: str, subject: str, metric: str) -> Chart:
    """One metric of one subject, for the page of a thing that a device tells of.  The caption leaves the name out."""
    return structs.replace(_chart(language, device_id, subject, metric), about="")


def _chart(language: Language, device_id: str, subject: str, metric: str) -> Chart:
    known = metrics.CATALOGUE[metric]
    return Chart(
        label=language.name("metric", metric),
        about=about(subject),
        metric=metric,
        subject=subject,
        unit=known.unit,
        address=f"/api/v1/devices/{device_id}/series?{urlencode({'metric': metric, 'subject': subject})}",
    )
