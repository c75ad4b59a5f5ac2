"""What is planned in one annex until tomorrow morning, for people who are to leave devices switched on."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.calendars import Calendar
from annexfleet_controller.maintenance import Maintenance, spans
from annexfleet_controller.store import calendars, fleet, maintenance, rollouts
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.waves import windows
from annexfleet_controller.waves.model import TargetState

MORNING = time(8)
_MOST_ROLLOUTS = 5
_TO_COME: tuple[TargetState, ...] = ("waiting", "deferred", "running", "verifying")


class Work(Struct, frozen=True, kw_only=True):
    """Planned maintenance, or an update of devices."""

    starts_at: datetime
    ends_at: datetime | None
    """None of an update: it ends when it is done."""
    lasts_now: bool
    reason: str
    """As whoever planned it wrote it: a maintenance's reason, an update's name."""
    names: tuple[str, ...] = ()
    """Of the devices and printers that it is about; empty: the whole annex, or as `devices` says."""
    devices: int = 0
    """Of an update: how many are to be updated yet."""


def planned(db: Session, place: Annex, *, now: datetime) -> list[Work]:
    """What lasts now, and what begins before tomorrow morning by the annex's own clock; in order."""
    until = next_morning(place, now)
    return sorted(
        [*_maintenance(db, place, now, until), *_updates(db, place, now, until)], key=lambda work: work.starts_at
    )


def next_morning(place: Annex, now: datetime) -> datetime:
    zone = zones.zone(place.time_zone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, MORNING, zone)


def _maintenance(db: Session, place: Annex, now: datetime, until: datetime) -> list[Work]:
    scope = Scope(frozenset({place.id}))
    found = [
        (m, span)
        for m in maintenance.to_come(db, scope, now=now, annex_id=place.id)
        for span in spans(m, now, until)
        if span.end > now and span.start < until
    ]
    names = _names(db, scope, [m for m, _ in found], now=now)
    return [
        Work(
            starts_at=span.start, ends_at=span.end, lasts_now=span.start <= now, reason=m.reason,
            names=tuple(names[thing.id] for thing in m.area.things if thing.id in names),
        )
        for m, span in found
    ]  # fmt: skip


def _names(db: Session, scope: Scope, found: list[Maintenance], *, now: datetime) -> Mapping[str, str]:
    """Names of the things of these maintenances that stand in the annex; of others nothing is told."""
    things = {thing for m in found for thing in m.area.things}
    if not things:
        return {}
    rows = fleet.devices(db, scope, now=now)
    names = {row.id: row.name for row in rows}
    if any(thing.kind == "printer" for thing in things):
        known = fleet.known(db, rows, collectors=["printers"])
        names |= {seen.id: seen.printer.name for seen in fleet.printers(rows, known)}
    return names


def _updates(db: Session, place: Annex, now: datetime, until: datetime) -> list[Work]:
    """Rollouts under way that still have devices here; one that was not started comes when a person starts it."""
    scope = Scope(frozenset({place.id}))
    made = []
    calendar: Calendar | None = None
    for found in rollouts.listing(db, scope, state="running", annex_id=place.id, limit=_MOST_ROLLOUTS):
        left = sum(found.tally.get(state, 0) for state in _TO_COME)
        if not left:
            continue
        calendar = calendar or calendars.of(db, place.id)
        window = windows.now(calendar, rollouts.find(db, scope, found.id).policy, now)
        begins = now if window.is_open else window.next_at
        if begins is not None and begins < until:
            made.append(
                Work(starts_at=begins, ends_at=None, lasts_now=window.is_open, reason=found.name, devices=left)
            )  # fmt: skip
    return made
