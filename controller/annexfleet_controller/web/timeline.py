"""What happened around a device, a printer or a queue, on one axis: drawn over its curves, told in words below them.

A mark is a band where it lasts and a line where it is a moment.  Both are told apart by sign and place as well as by
colour (static/charts.js), and every one that is drawn stands in the list too.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import chronicle, words
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.maintenance import About, Maintenance, active, spans
from annexfleet_controller.store import alerts, around, changes, fleet, maintenance
from annexfleet_controller.store.around import Deed
from annexfleet_controller.store.command_reads import Command
from annexfleet_controller.things import Alert, Thing

MarkKind = Literal["alert", "maintenance", "away", "rollout", "run", "command", "change"]
MARK_KINDS: tuple[MarkKind, ...] = ("alert", "maintenance", "away", "rollout", "run", "command", "change")
"""In the order of the key."""
LASTING = frozenset({"alert", "maintenance", "away"})
"""Drawn as a band; the others as a line where they began (static/charts.js)."""

_AWAY_AT_LEAST = timedelta(minutes=1)
"""A reconnect is no absence."""
_AT_MOST = 60


class Mark(Struct, frozen=True, kw_only=True):
    """One thing that was so, or was done, while the curves ran."""

    kind: MarkKind
    at: datetime
    until: datetime | None
    """None while it lasts."""
    title: str
    """In words; strangers' names in it come isolated."""
    severity: str = ""
    """Of an alert."""
    by: str = ""
    href: str = ""


class Placed(Struct, frozen=True):
    """A mark on an axis that the server draws, in percents of its length."""

    kind: MarkKind
    severity: str
    start: float
    width: float
    """0 for a moment."""


def placed(marks: Iterable[Mark], *, since: datetime, until: datetime, now: datetime) -> list[Placed]:
    """Where the marks of this span stand on it; those outside are left out.  What lasts reaches until now."""
    whole = (until - since).total_seconds()
    found = []
    for mark in marks:
        if mark.at > until or (mark.until is not None and mark.until < since):
            continue
        start = 100 * max(0.0, (mark.at - since).total_seconds()) / whole
        end = 100 * (min(mark.until or now, until) - since).total_seconds() / whole
        width = max(0.0, end - start) if mark.kind in LASTING else 0.0
        found.append(Placed(mark.kind, mark.severity, round(start, 2), round(width, 2)))
    return found


def of_thing(
    db: Session,
    person: Person,
    thing: Thing,
    language: Language,
    *,
    annex_id: str,
    devices: Sequence[fleet.DeviceRow],
    own: Iterable[Mark],
    since: datetime,
    now: datetime,
) -> list[Mark]:
    """The marks of a printer or a queue that these devices tell of, the newest first, with its `own` changes.

    Rollouts and runs are those on these devices; of their commands the caller knows which concern the thing.
    """
    told = alerts.of_things(db, person.scope, [thing], annex_id=annex_id, since=since, limit=_AT_MOST)
    work = maintenance.around(db, person.scope, annex_id, since=since, until=now)
    numbers = [device.number for device in devices]
    done = around.deeds(db, person.scope, numbers, since=since, until=now, limit=_AT_MOST)
    about = About(thing=thing, annex_id=annex_id, devices=tuple((device.id, device.role) for device in devices))
    found = [
        *_alerts(told, words.read(db, language) if told else None),
        *_maintenance(work, about, since=since, now=now),
        *(_of_deed(deed, language) for deed in done if deed.kind in person.reads_deeds and deed.kind != "command"),
        *(one for one in own if one.at >= since or one.until is None or one.until >= since),
    ]
    return sorted(found, key=lambda one: (one.at, one.kind), reverse=True)[:_AT_MOST]


def of_device(
    db: Session,
    person: Person,
    device: fleet.DeviceRow,
    printers: Sequence[fleet.SeenPrinter],
    language: Language,
    *,
    own: Iterable[Mark],
    since: datetime,
    now: datetime,
) -> list[Mark]:
    """The marks of a span that ends now, the newest first, as far as this person may know of them.

    `own` are the device's own changes; those of the span are taken.
    """
    things = [Thing("device", device.id), *(Thing("printer", seen.id) for seen in printers)]
    told = alerts.of_things(db, person.scope, things, annex_id=device.annex_id, since=since, limit=_AT_MOST)
    work = maintenance.around(db, person.scope, device.annex_id, since=since, until=now)
    done = around.deeds(db, person.scope, [device.number], since=since, until=now, limit=_AT_MOST)
    found = [
        *_alerts(told, words.read(db, language) if told else None),
        *_maintenance(
            work,
            About(thing=Thing("device", device.id), annex_id=device.annex_id, role=device.role),
            since=since,
            now=now,
        ),
        *_away(db, device, since=since),
        *(_of_deed(deed, language) for deed in done if deed.kind in person.reads_deeds),
        *(one for one in own if one.at >= since),
    ]
    return sorted(found, key=lambda one: (one.at, one.kind), reverse=True)[:_AT_MOST]


def deed_href(deed: Deed) -> str:
    """Where a deed has a page of its own; empty where it has none."""
    return {"rollout": f"/rollouts/{deed.id}", "run": f"/runs/{deed.id}"}.get(deed.kind, "")


def of_command(command: Command, language: Language) -> Mark:
    title = language.name("command", command.name)
    at = command.sent_at or command.created_at
    return Mark(kind="command", at=at, until=command.ended_at, title=title, by=command.author)


def _of_deed(deed: Deed, language: Language) -> Mark:
    title = chronicle.deed_title(deed, language)
    return Mark(kind=deed.kind, at=deed.began_at, until=deed.ended_at, title=title, by=deed.by, href=deed_href(deed))


def _alerts(told: Iterable[Alert], say: words.Words | None) -> Iterable[Mark]:
    for one in told:
        assert say is not None  # read where there is an alert
        href = f"/incidents/{one.incident_id}" if one.incident_id else ""
        until = one.cleared_at if one.state == "cleared" else None
        yield Mark(
            kind="alert", at=one.since, until=until, title=say.alert(one).title, severity=one.severity, href=href
        )


def _maintenance(work: Iterable[Maintenance], about: About, *, since: datetime, now: datetime) -> Iterable[Mark]:
    for one in work:
        for span in spans(one, since, now):
            # Asked of one moment of it: whether this thing is among what it covers.
            if span.start <= now and active([one], about, now=span.start) is not None:
                until = span.end if span.end <= now else None
                yield Mark(
                    kind="maintenance", at=span.start, until=until, title=one.reason, by=one.author, href="/maintenance"
                )


def _away(db: Session, device: fleet.DeviceRow, *, since: datetime) -> Iterable[Mark]:
    """When its connection was down for longer than a reconnect takes."""
    gone: datetime | None = None
    for row in changes.happenings(
        db, since=since, kinds=("connected", "gone"), collectors=("",), numbers=[device.number]
    ):
        if row.kind == "gone":
            gone = gone or row.at
        elif gone is not None:
            if row.at - gone >= _AWAY_AT_LEAST:
                yield Mark(kind="away", at=gone, until=row.at, title="")
            gone = None
    if gone is not None and not device.connected:
        yield Mark(kind="away", at=gone, until=None, title="")
