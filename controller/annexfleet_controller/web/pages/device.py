"""/devices/<id>: everything one device told, live while the page is open."""

from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import metrics, wire
from annexfleet_agent.protocol.messages import Change
from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, LanguageOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.i18n import readings
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.i18n.direction import isolated
from annexfleet_controller.store import annexes, fleet, rollout_targets, run_hosts
from annexfleet_controller.web import trouble
from annexfleet_controller.web.pages import commands, maintained
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

Span = Literal["24h", "7d", "90d"]
SPANS: dict[Span, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "90d": timedelta(days=90)}
assert tuple(SPANS) == get_args(Span)

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
_OWN_SECTIONS = frozenset({"printers", "queues"})
"""Collectors whose readings have a section of their own on the page."""


_EVENTS = 20
_EVENTS_READ = 80
"""A start takes about twenty rows and is shown as one line."""
_MOVED = 4
_RUNS = 6
_ROLLOUTS = 6
_LONGEST_VALUE = 60
_A_START = timedelta(minutes=2)
"""Collectors report for the first time one after another, the slow ones last."""
_NEW = timedelta(minutes=10)
"""Two beats: until then an empty chart is no wonder."""


class Line(Struct, frozen=True):
    """One reading, ready to be shown."""

    key: str
    label: str
    about: str
    """The rest of the subject, such as `/` of a disk; empty for the device itself."""
    metric: str
    value: object
    low: float | None
    high: float | None
    usual: tuple[float, float] | None
    unusual: bool


class Group(Struct, frozen=True):
    """What one collector told."""

    collector: str
    lines: list[Line]
    missing: list[tuple[str, str, str]]
    """About what, which metric (`*`: everything), problem code."""


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


class Moved(Struct, frozen=True):
    """One reading that moved."""

    label: str
    about: str
    value: str
    """In words; empty where the reading went away."""


class Event(Struct, frozen=True):
    """One line of the device's past; the kind `start` stands for all first reports after one."""

    at: datetime
    kind: str
    collector: str
    moved: list[Moved]


@router.get("/devices/{device_id}")
def show(
    *,
    device_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    block: WantedBlock,
    span: Annotated[Span, Query()] = "24h",
    chart: Annotated[str, Query(max_length=330)] = "",
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    return whole(
        db, person, device_id, page, now=now, language=language, block=block if block == "state" else "", span=span,
        chart=chart,
    )  # fmt: skip


def whole(
    db: Session,
    person: Person,
    device_id: str,
    page: Page,
    *,
    now: datetime,
    language: Language,
    block: str = "",
    span: Span = "24h",
    chart: str = "",
    status: int = 200,
    refused: commands.Refused | None = None,
) -> HTMLResponse:
    """The page, also with a command that was refused."""
    row = fleet.device(db, person.scope, device_id)
    known = fleet.known(db, [row], live=True)
    told = known[row.number]
    printers = fleet.printers([row], known)
    return page(
        "device.html",
        block=block,
        status=status,
        device=row,
        annex_name=name_of(annexes.get(db, person.scope, row.annex_id), language.code),
        presence=row.presence(now),
        maintained=maintained.on_device(db, row, now=now),
        alerts=trouble.of_device(db, person, row.id, language),
        groups=groups(told, language),
        unreadable=told.unreadable,
        printers=printers,
        commanding=commands.of_device(db, row, printers, language, refused=refused)
        if person.may("send_commands")
        else None,
        ran=run_hosts.of_device(db, person.scope, row.number, limit=_RUNS) if person.may("run_playbooks") else None,
        rolled=rollout_targets.of_device(db, person.scope, row.number, limit=_ROLLOUTS)
        if person.may("plan_rollouts")
        else [],
        queues=fleet.queues([row], known),
        inventory=state.inventory(fleet.inventory(db, row.number)),
        past=past(fleet.changes(db, row.number, limit=_EVENTS_READ), language),
        is_new=now - row.enrolled_at < _NEW,
        charts=charts(told, language, device_id, chart),
        choices=choices(told, language, chart),
        spans=list(SPANS),
        span=span,
        span_s=int(SPANS[span].total_seconds()),
        chosen=chart,
        query=urlencode({"chart": chart}) if chart else "",
        events=f"/api/v1/events?device={row.id}&watch=1",
    )


_TOLD_ONCE = frozenset({"uptime_seconds"})
"""True only at the moment it was told; the moment of the start stands for it."""


def groups(known: state.Known, language: Language) -> list[Group]:
    """The readings by collector, with what is missing and why; printers and queues have sections of their own."""
    missing: dict[str, list[tuple[str, str, str]]] = {}
    for m in known.missing:
        missing.setdefault(m.collector, []).append((about(m.subject), m.metric, m.code))
    found = dict(state.by_collector(known))
    names = [name for name in (*metrics.COLLECTORS, "") if name not in _OWN_SECTIONS]
    return [
        Group(
            name, [_line(r, language) for r in found.get(name, []) if r.metric not in _TOLD_ONCE], missing.get(name, [])
        )
        for name in names
        if name in found or name in missing
    ]


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


def _line(reading: state.Reading, language: Language) -> Line:
    known = metrics.CATALOGUE.get(reading.metric)
    usual = known.usual if known is not None else None
    number = reading.number
    spread = reading.summary if reading.summary is not None and reading.summary.max > reading.summary.min else None
    return Line(
        key=f"{reading.subject} {reading.metric}",
        label=language.name("metric", reading.metric),
        about=about(reading.subject),
        metric=reading.metric,
        value=reading.value,
        low=spread.min if spread else None,
        high=spread.max if spread else None,
        usual=usual,
        unusual=usual is not None and number is not None and not usual[0] <= number <= usual[1],
    )


def past(happened: list[fleet.Happened], language: Language) -> list[Event]:
    """What happened, the newest first.  A start, at which every collector reports once, is one line."""
    events: list[Event] = []
    start: datetime | None = None
    """Of the newest report of the start that is being told."""
    for one in happened:
        change = _change(one.payload) if one.kind == "change" else None
        if change is None or change.because:
            moved = [] if change is None else _moved(change, language)
            events.append(Event(one.at, one.kind, one.collector, moved))
        elif start is None or start - one.at > _A_START:
            start = one.at
            events.append(Event(one.at, "start", "", []))
    return events[:_EVENTS]


def _change(payload: bytes) -> Change | None:
    try:
        found = wire.decode_up("change", payload)
    except wire.Malformed:
        return None
    return found if isinstance(found, Change) else None


def _moved(change: Change, language: Language) -> list[Moved]:
    """The readings that moved, with their values; those of a level or a state say most."""
    found: dict[tuple[str, str], Moved] = {}
    for reason in change.because:
        subject, _, metric = reason.rpartition(" ")
        if metric == "*":  # everything of it came or went, and is named beside
            continue
        value = change.readings.get(subject, {}).get(metric)
        text = "" if value is None else readings.text(language, metric, value)
        text = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
        found.setdefault((subject, metric), Moved(language.name("metric", metric), about(subject), text))
    return list(found.values())[:_MOVED]
