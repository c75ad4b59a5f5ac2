"""/devices/<id>: everything one device told, live while the page is open."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import metrics, wire
from annexfleet_agent.protocol.messages import Change
from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import dossier, words
from annexfleet_controller.i18n import readings
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.store import alerts, annexes, fleet, lineage, rollout_targets, run_hosts, watches
from annexfleet_controller.things import Thing
from annexfleet_controller.web import condition, curves, timeline
from annexfleet_controller.web.curves import SPANS, Span, about
from annexfleet_controller.web.pages import commands, maintained
from annexfleet_controller.web.pages.province import name_of
from annexfleet_controller.web.pages.queue import service_names
from annexfleet_controller.web.render import Page, WantedBlock

router = APIRouter(include_in_schema=False)

_OWN_SECTIONS = frozenset({"printers", "queues"})
"""Collectors whose readings have a section of their own on the page."""


WATCH_FOR = timedelta(minutes=5)
"""How long a device reports every 2 s once somebody asked for it."""
_MOST_ALERTS = 20
_EVENTS = 20
_EVENTS_READ = 80
"""A start takes about twenty rows and is shown as one line."""
_MOVED = 4
_SHOWN_OTHERWISE = frozenset({"connected", "gone", "receipt"})
"""As absences and as commands."""
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
    package: Annotated[str, Query(max_length=80)] = "",
) -> HTMLResponse:
    """Asked by htmx, only its state."""
    return whole(
        db, person, device_id, page, now=now, language=language, block=block if block == "state" else "", span=span,
        chart=chart, package=package,
    )  # fmt: skip


@router.get("/devices/{device_id}/figures")
def figures(
    *,
    device_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: Db,
    now: Now,
    language: LanguageOf,
    page: Page,
    span: Annotated[Span, Query()] = "24h",
    chart: Annotated[str, Query(max_length=330)] = "",
) -> HTMLResponse:
    """The charts as tables, for who does not see them or has no script."""
    row = fleet.device(db, person.scope, device_id)
    told = fleet.known(db, [row])[row.number]
    return page(
        "figures.html",
        device=row,
        tables=curves.tables(db, row.number, curves.charts(told, language, device_id, chart), span=span, now=now),
        spans=list(SPANS),
        span=span,
        chosen=chart,
        choices=curves.choices(told, language, chart),
        back=f"/devices/{row.id}?{urlencode({'span': span, 'chart': chart})}#charts",
    )


@router.post("/devices/{device_id}/watch")
def watch(
    *,
    device_id: str,
    person: Annotated[Person, Depends(Needs("look"))],
    db: WritingDb,
    now: Now,
    stop: Annotated[bool, Form()] = False,
    chart: Annotated[str, Form(max_length=330)] = "",
) -> Response:
    """Let the device report every 2 s for some minutes, or no longer.

    An order to look, as the check after "I fixed it" gives one: it changes nothing there, so who may look may give it.
    """
    row = fleet.device(db, person.scope, device_id)
    if stop:
        watches.stop(db, row.number, now=now)
    else:
        watches.push(db, row.number, until=now + WATCH_FOR)
    query = urlencode({"span": "1h"} | ({"chart": chart} if chart else {}))
    return RedirectResponse(f"/devices/{row.id}?{query}#charts", 303)


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
    package: str = "",
    status: int = 200,
    refused: commands.Refused | None = None,
) -> HTMLResponse:
    """The page, also with a command that was refused."""
    row = fleet.device(db, person.scope, device_id)
    known = fleet.known(db, [row], live=True)
    told = known[row.number]
    printers, queues = fleet.printers([row], known), fleet.queues([row], known)
    happened = past(fleet.changes(db, row.number, limit=_EVENTS_READ), language)
    return page(
        "device.html",
        block=block,
        status=status,
        device=row,
        annex_name=name_of(annexes.get(db, person.scope, row.annex_id), language.code),
        presence=row.presence(now),
        lineage=lineage.of(db, person.scope, row.number),
        maintained=maintained.on_device(db, row, now=now),
        groups=groups(told, language),
        unreadable=told.unreadable,
        printers=printers,
        queues=queues,
        service_names=service_names(db, language),
        commanding=commands.of_device(db, row, printers, language, refused=refused)
        if person.may("send_commands")
        else None,
        past=happened,
        marks=timeline.of_device(
            db, person, row, printers, language, own=_own_marks(happened, language), since=now - SPANS[span], now=now
        ),
        mark_kinds=timeline.MARK_KINDS,
        watched_until=watches.of(db, row.number, now=now),
        watch_minutes=int(WATCH_FOR.total_seconds() // 60),
        is_new=now - row.enrolled_at < _NEW,
        charts=curves.charts(told, language, device_id, chart),
        choices=curves.choices(told, language, chart),
        spans=list(SPANS),
        span=span,
        span_s=int(SPANS[span].total_seconds()),
        chosen=chart,
        query=urlencode({"span": span} | ({"chart": chart} if chart else {})),
        events=f"/api/v1/events?device={row.id}",
        **_trouble(db, person, row, language, printers=printers, queues=queues),
        **_done(db, person, row.number),
        **_inventory(db, row.number, package),
    )


def _trouble(
    db: Session,
    person: Person,
    row: fleet.DeviceRow,
    language: Language,
    *,
    printers: list[fleet.SeenPrinter],
    queues: list[fleet.SeenQueue],
) -> dict[str, object]:
    """What is wrong with it, and how it stands with its printers and the people who wait there."""
    # By annex, for which there is an index.
    found = partial(alerts.listing, db, person.scope, annex_id=row.annex_id, limit=_MOST_ALERTS)
    of_itself = found(thing=Thing("device", row.id))
    of_printers = [alert for seen in printers for alert in found(thing=Thing("printer", seen.id))]
    say = words.read(db, language) if of_itself or of_printers else None
    return {
        "condition": condition.of_trouble([*of_itself, *of_printers], say, queues),
        "alerts": [dossier.alert_line(one, say) for one in of_itself] if say else [],
    }


def _done(db: Session, person: Person, number: int) -> dict[str, object]:
    """Runs and rollouts, for who may make some."""
    may_run, may_roll = person.may("run_playbooks"), person.may("plan_rollouts")
    return {
        "ran": run_hosts.of_device(db, person.scope, number, limit=_RUNS) if may_run else None,
        "rolled": rollout_targets.of_device(db, person.scope, number, limit=_ROLLOUTS) if may_roll else [],
    }


def _inventory(db: Session, number: int, package: str) -> dict[str, object]:
    """What it is made of; of its packages those whose names hold a word that was looked for."""
    found = state.inventory(fleet.inventory(db, number))
    packages = {} if found is None else found.packages
    wanted = package.strip().casefold()
    return {
        "inventory": found,
        "package": package,
        "packages_count": len(packages),
        "packages": {name: version for name, version in packages.items() if wanted in name.casefold()},
    }


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


def _own_marks(events: list[Event], language: Language) -> list[timeline.Mark]:
    """What it told, for the axis of the curves; that its line came and went stands there as its absence."""
    found = []
    for event in events:
        if event.kind in _SHOWN_OTHERWISE:
            continue
        context, code = ("collector", event.collector) if event.collector else ("happening", event.kind)
        title = language.name(context, code)
        moved = language.gettext(", ").join(" ".join(filter(None, (m.label, m.about, m.value))) for m in event.moved)
        title = language.gettext(": ").join(filter(None, (title, moved)))
        found.append(timeline.Mark(kind="change", at=event.at, until=event.at, title=title))
    return found


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
