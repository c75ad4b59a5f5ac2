"""Maintenance as pages show it: lines of the list, and the banner over an annex or a device."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_controller import zones
from annexfleet_controller.access.person import Person
from annexfleet_controller.alerts import planning
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.maintenance import (
    About,
    Condition,
    Maintenance,
    active,
    condition,
    last_moment,
    next_span,
    span_at,
)
from annexfleet_controller.store import fleet, maintenance
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.things import Thing
from annexfleet_controller.web.pages.province import names_of


class Line(Struct, frozen=True, kw_only=True):
    """One maintenance in a list."""

    id: int
    version: int
    condition: Condition
    province: bool
    names: list[str]
    """Of the annexes, devices and printers that it covers."""
    roles: tuple[str, ...]
    reason: str
    author: str
    starts_at: datetime
    """Of what lasts, of what comes next, or of all of it where it is over."""
    ends_at: datetime
    days: list[str]
    """Of a weekly one, in words; empty for one that lasts once."""
    at: str
    minutes: int
    until: datetime | None
    """Some moment of the last day of a weekly one."""
    cancelled_by: str
    may_change: bool
    end_value: str
    """Its end as a field of a form holds it: a local moment, or a day."""


class Banner(Struct, frozen=True):
    """That something is being worked on, until when, why and by whom."""

    until: datetime
    reason: str
    author: str
    partly: bool
    """Whether it covers only some devices or printers of the annex."""


def lines(
    db: Session, person: Person, found: Sequence[Maintenance], *, now: datetime, language: Language
) -> list[Line]:
    """These maintenances in words, in their order."""
    places = names_of(db, person.scope, language.code)
    found = planning.in_sight(db, person.scope, found, now=now)
    printers = _printer_names(db, person.scope, found, now=now)
    return [_line(db, person, m, now=now, language=language, places=places, printers=printers) for m in found]


def on_annex(db: Session, annex_id: str, *, now: datetime) -> list[Banner]:
    """What lasts in this annex now: first what covers all of it."""
    about = About(thing=Thing("annex", annex_id), annex_id=annex_id)
    found = [
        Banner(span.end, m.reason, m.author, active([m], about, now=now) is None)
        for m in maintenance.to_come(db, Scope(frozenset({annex_id})), now=now)
        if (span := span_at(m, now)) is not None
    ]
    return sorted(found, key=lambda banner: (banner.partly, banner.until))


def on_device(db: Session, device: fleet.DeviceRow, *, now: datetime) -> list[Banner]:
    """What keeps this device quiet now."""
    about = About(thing=Thing("device", device.id), annex_id=device.annex_id, role=device.role)
    lasting = maintenance.current(db, since=now, now=now)
    m = active(lasting, about, now=now)
    span = None if m is None else span_at(m, now)
    return [] if m is None or span is None else [Banner(span.end, m.reason, m.author, partly=False)]


def _line(
    db: Session,
    person: Person,
    m: Maintenance,
    *,
    now: datetime,
    language: Language,
    places: dict[str, str],
    printers: dict[str, str],
) -> Line:
    span = span_at(m, now) or next_span(m, now)
    zone = zones.zone(m.time_zone)
    names = formats.weekdays(language)
    week = m.weekly
    return Line(
        id=m.id, version=m.version, condition=condition(m, now), province=m.area.province,
        names=[places.get(annex, annex) for annex in m.area.annexes]
        + [_thing_name(db, person.scope, thing, printers) for thing in m.area.things],
        roles=m.area.roles, reason=m.reason, author=m.author,
        starts_at=m.starts_at if span is None else span.start,
        ends_at=last_moment(m) if span is None else span.end,
        days=[names[day] for day in week.weekdays] if week else [],
        at=week.at.strftime("%H:%M") if week else "",
        minutes=week.minutes if week else 0,
        until=datetime.combine(week.until, week.at, zone) if week else None,
        cancelled_by=m.cancelled_by,
        may_change=maintenance.may_change(person.scope, m),
        end_value=week.until.isoformat() if week else _local(m.ends_at, zone),
    )  # fmt: skip


def _local(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")


def _thing_name(db: Session, scope: Scope, thing: Thing, printers: dict[str, str]) -> str:
    if thing.kind == "printer":
        return printers.get(thing.id, thing.id[:8])
    try:
        return fleet.device(db, scope, thing.id).name
    except DeviceUnknown:  # it moved to another annex since
        return thing.id[:8]


def _printer_names(db: Session, scope: Scope, found: Sequence[Maintenance], *, now: datetime) -> dict[str, str]:
    """Names by identity of the printers that are covered by name; only their annexes are read."""
    wanted = {annex for m in found for annex in m.touches if any(t.kind == "printer" for t in m.area.things)}
    names: dict[str, str] = {}
    for annex_id in sorted(annex for annex in wanted if scope.covers(annex)):
        rows = fleet.devices(db, scope, now=now, annex_id=annex_id)
        known = fleet.known(db, rows, collectors=["printers"])
        names |= {seen.id: seen.printer.name for seen in fleet.printers(rows, known)}
    return names
