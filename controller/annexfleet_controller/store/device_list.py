"""The list of all devices: what is asked of it, a page of it, and how many there are.  No beat is read for it."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from annexfleet_controller import state
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.alerts import AlertRow
from annexfleet_controller.store.tables.devices import Device, DeviceTag
from annexfleet_controller.store.tables.places import Annex
from annexfleet_controller.store.tables.readings import DeviceState


class Wanted(Struct, frozen=True, kw_only=True):
    """What narrows the list; what is empty does not."""

    search: str = ""
    """In name, id, model, serial number and place."""
    annex: str = ""
    district: str = ""
    role: str = ""
    presence: str = ""
    """A `state.Presence`; `revoked` for those that are out of service, which are in no other list."""
    troubled: bool = False
    """Only those of which an alert is open."""
    tag: str = ""
    version: str = ""
    """Of the agent."""


class Listed(Struct, frozen=True, kw_only=True):
    """A device in a row."""

    id: str
    name: str
    annex_id: str
    annex_fr: str
    annex_ar: str
    role: str
    model: str
    place: str
    presence: state.Presence
    heard_at: datetime | None
    agent_version: str
    alerts: int
    """Open ones."""


def count(db: Session, scope: Scope, wanted: Wanted, *, now: datetime) -> int:
    return db.scalar(_matching(scope, wanted, select(func.count()).select_from(Device), now)) or 0


def page(
    db: Session, scope: Scope, wanted: Wanted, *, now: datetime, page: int = 1, size: int = 50
) -> tuple[list[Listed], int]:
    """A page of them by name and id, from 1, and how many there are in all."""
    # A search looks through every device: once for both.  Else an index gives the page, and another the number.
    both: Any = select(Device.number, func.count().over() if wanted.search else literal(0)).select_from(Device)
    query = _matching(scope, wanted, both, now).order_by(Device.name, Device.id)
    found = db.execute(query.offset((page - 1) * size).limit(size)).all()
    known = found[0][1] if found else 0
    return _listed(db, [number for number, _ in found], now), known or count(db, scope, wanted, now=now)


def _listed(db: Session, numbers: list[int], now: datetime) -> list[Listed]:
    rows = db.execute(
        select(
            Device.id, Device.name, Device.annex_id, Annex.name_fr, Annex.name_ar, Device.role, Device.model,
            Device.place, Device.revoked_at, Device.retired_at, DeviceState.connected, DeviceState.heard_at,
            DeviceState.agent_version,
        )
        .join(Annex, Annex.id == Device.annex_id)
        .join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
        .where(Device.number.in_(numbers))
        .order_by(Device.name, Device.id)
    ).all()  # fmt: skip
    troubles = _troubles(db, [row[0] for row in rows])
    return [
        Listed(
            id=id_, name=name, annex_id=annex_id, annex_fr=fr, annex_ar=ar, role=role, model=model, place=place,
            presence=state.presence(
                connected=bool(connected), heard_at=heard_at, revoked_at=revoked_at or retired_at, now=now
            ),
            heard_at=heard_at, agent_version=version or "", alerts=troubles.get(id_, 0),
        )
        for id_, name, annex_id, fr, ar, role, model, place, revoked_at, retired_at, connected, heard_at, version in (
            tuple(row) for row in rows
        )
    ]  # fmt: skip


def versions(db: Session, scope: Scope) -> list[str]:
    """Of the agents of the devices in sight, the newest written first."""
    query = select(DeviceState.agent_version).distinct()
    if scope.annexes is not None:
        query = query.join(Device, Device.number == DeviceState.device_number).where(scope.limit(Device.annex_id))
    return sorted((version for version in db.scalars(query) if version), reverse=True)


def tags(db: Session, scope: Scope) -> list[str]:
    """Words by which devices in sight are gathered."""
    query = select(DeviceTag.tag).distinct().order_by(DeviceTag.tag)
    if scope.annexes is not None:
        query = query.join(Device, Device.number == DeviceTag.device_number).where(scope.limit(Device.annex_id))
    return list(db.scalars(query))


def _matching(scope: Scope, wanted: Wanted, query: "Select[Any]", now: datetime) -> "Select[Any]":
    in_service = and_(Device.revoked_at.is_(None), Device.retired_at.is_(None))
    query = query.where(scope.limit(Device.annex_id), ~in_service if wanted.presence == "revoked" else in_service)
    if wanted.presence in _PRESENCES or wanted.version:
        query = query.join(DeviceState, DeviceState.device_number == Device.number, isouter=True)
    if wanted.presence in _PRESENCES:
        query = query.where(_is(wanted.presence, now))
    if wanted.version:
        query = query.where(DeviceState.agent_version == wanted.version)
    for column, value in ((Device.annex_id, wanted.annex), (Device.role, wanted.role)):
        if value:
            query = query.where(column == value)
    if wanted.district:
        query = query.where(Device.annex_id.in_(select(Annex.id).where(Annex.district_id == wanted.district)))
    if wanted.tag:
        tagged = DeviceTag.device_number == Device.number
        query = query.where(exists().where(tagged, DeviceTag.tag == wanted.tag))
    if wanted.troubled:
        query = query.where(
            Device.id.in_(select(AlertRow.thing_id).where(AlertRow.state == "open", AlertRow.thing_kind == "device"))
        )
    for word in wanted.search.split():
        pattern = like(word)
        query = query.where(_SEARCHED.ilike(pattern, escape="\\"))
    return query


_PRESENCES = frozenset({"online", "silent", "never"})
_SEARCHED = Device.name + "\n" + Device.id + "\n" + Device.model + "\n" + Device.hardware_serial + "\n" + Device.place
"""As one text: looked through once, which is faster than five columns."""


def _is(presence: str, now: datetime) -> ColumnElement[bool]:
    heard = DeviceState.heard_at
    if presence == "never":
        return heard.is_(None)
    recent = heard > now - state.SILENT_AFTER
    if presence == "online":
        return and_(DeviceState.connected, recent)
    return and_(heard.is_not(None), or_(DeviceState.connected.is_(False), ~recent))


def _troubles(db: Session, device_ids: list[str]) -> dict[str, int]:
    query = select(AlertRow.thing_id, func.count()).where(
        AlertRow.state == "open", AlertRow.thing_kind == "device", AlertRow.thing_id.in_(device_ids)
    )
    return {row[0]: row[1] for row in db.execute(query.group_by(AlertRow.thing_id))}
