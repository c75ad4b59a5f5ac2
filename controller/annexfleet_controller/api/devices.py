"""/api/v1/devices: what each device told, now and in the past."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, JsonValue

from annexfleet_agent.protocol import wire
from annexfleet_controller import state
from annexfleet_controller.access.asked import Db, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.errors import Invalid
from annexfleet_controller.store import fleet, history

router = APIRouter(prefix="/api/v1/devices", tags=["devices"], responses=problems.RESPONSES)

Presence = Literal["online", "silent", "never", "revoked"]
Looking = Annotated[Person, Depends(Needs("look"))]

_EXAMPLE: dict[str, JsonValue] = {
    "id": "d-abcdefghijklmnopqrstuvwxyz",
    "annex": "berkane-1",
    "name": "guichet-1",
    "role": "counter",
    "model": "OptiPlex 3080",
    "serial": "7CXK2N3",
    "presence": "online",
    "heard_at": "2026-11-23T08:00:00Z",
    "agent_version": "0.1.0",
    "enrolled_at": "2026-11-02T09:30:00Z",
}


class DeviceOut(BaseModel):
    id: str
    annex: str
    name: str
    role: str
    model: str
    serial: str
    presence: Presence
    heard_at: datetime | None
    agent_version: str
    enrolled_at: datetime

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class DevicePage(BaseModel):
    items: list[DeviceOut]
    next: str | None = None


class ReadingOut(BaseModel):
    subject: str
    metric: str
    value: float | str | list[str]
    at: datetime

    model_config = {
        "json_schema_extra": {
            "examples": [
                {"subject": "", "metric": "cpu_used_ratio", "value": 0.31, "at": "2026-11-23T08:00:00Z"},
                {"subject": "disk:/", "metric": "disk_used_ratio", "value": 0.62, "at": "2026-11-23T08:00:00Z"},
            ]
        }
    }


class MissingOut(BaseModel):
    """A reading that could not be taken; the metric `*` is everything of the subject."""

    subject: str
    metric: str
    problem: str
    at: datetime


class DeviceDetail(DeviceOut):
    """Besides: every reading, and why some are missing."""

    clock_offset_s: float
    readings: list[ReadingOut]
    missing: list[MissingOut]


class SeriesOut(BaseModel):
    """Lists of equal length, oldest first.  A silent device leaves null, never zero."""

    subject: str
    metric: str
    step_s: int
    at: list[float]
    values: list[float | None]
    mins: list[float | None]
    maxs: list[float | None]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "subject": "", "metric": "cpu_used_ratio", "step_s": 0, "at": [1795420800, 1795421100],
                    "values": [0.21, 0.34], "mins": [0.05, 0.11], "maxs": [0.6, 0.9],
                }
            ]
        }
    }  # fmt: skip


class ChangeOut(BaseModel):
    at: datetime
    kind: str
    collector: str
    because: list[str] = []
    """What moved, as `subject metric`."""


class ChangePage(BaseModel):
    items: list[ChangeOut]
    next: str | None = None


@router.get("")
def list_devices(
    *,
    person: Looking,
    db: Db,
    now: Now,
    annex: Annotated[str, Query(max_length=63)] = "",
    role: Annotated[str, Query(max_length=16)] = "",
    presence: Annotated[Presence | Literal[""], Query(description="Without it, all in service")] = "",
    search: paging.Search = "",
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> DevicePage:
    """The devices in your sight, by name."""
    after = paging.keys(cursor, 2)
    rows = fleet.devices(
        db, person.scope, now=now, annex_id=annex, role=role, presence=presence, search=search,
        after=(after[0], after[1]) if after else None, limit=limit + 1,
    )  # fmt: skip
    last = rows[limit - 1] if len(rows) > limit else None
    return DevicePage(
        items=[DeviceOut(**_fields(row, now)) for row in rows[:limit]],
        next=paging.cursor(last.name, last.id) if last else None,
    )


@router.get("/{device_id}")
def show_device(device_id: str, person: Looking, db: Db, now: Now) -> DeviceDetail:
    """One device with all that it told."""
    row = fleet.device(db, person.scope, device_id)
    known = fleet.known(db, [row], live=True)[row.number]
    return DeviceDetail(
        **_fields(row, now),
        clock_offset_s=row.clock_offset_s,
        readings=[
            ReadingOut(subject=r.subject, metric=r.metric, value=r.value, at=r.at)
            for _, readings in state.by_collector(known)
            for r in readings
        ],
        missing=[MissingOut(subject=m.subject, metric=m.metric, problem=m.code, at=m.at) for m in known.missing],
    )


@router.get("/{device_id}/series")
def show_series(
    *,
    device_id: str,
    person: Looking,
    db: Db,
    now: Now,
    metric: Annotated[str, Query(max_length=160, examples=["cpu_used_ratio"])],
    subject: Annotated[str, Query(max_length=160, examples=["disk:/"])] = "",
    since: Annotated[paging.Moment | None, Query(description="By default, a day before `until`")] = None,
    until: Annotated[paging.Moment | None, Query(description="By default, now")] = None,
) -> SeriesOut:
    """One number over time."""
    row = fleet.device(db, person.scope, device_id)
    end = (until or now).astimezone(UTC)
    start = (since or end - timedelta(days=1)).astimezone(UTC)
    if start >= end:
        raise Invalid("since must be before until", field="since")
    found = history.series(db, row.number, subject, metric, since=start, until=end)
    return SeriesOut(
        subject=subject, metric=metric, step_s=found.step_s,
        at=found.at, values=found.values, mins=found.mins, maxs=found.maxs,
    )  # fmt: skip


@router.get("/{device_id}/changes")
def list_changes(
    device_id: str, person: Looking, db: Db, cursor: paging.Cursor = "", limit: paging.Limit = 50
) -> ChangePage:
    """What happened to a device, the newest first."""
    row = fleet.device(db, person.scope, device_id)
    rows = fleet.changes(db, row.number, before=_before(cursor), limit=limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return ChangePage(
        items=[ChangeOut(at=r.at, kind=r.kind, collector=r.collector, because=_because(r)) for r in rows[:limit]],
        next=paging.cursor(last.at.isoformat(), str(last.id)) if last else None,
    )


def _before(cursor: str) -> tuple[datetime, int] | None:
    keys = paging.keys(cursor, 2)
    if keys is None:
        return None
    try:
        at = datetime.fromisoformat(keys[0])
        number = int(keys[1])
    except ValueError:
        raise Invalid("not a cursor", field="cursor") from None
    if not paging.is_in_reach(at) or not 0 <= number <= paging.LARGEST_ID:
        raise Invalid("not a cursor", field="cursor")
    return at, number


def _because(row: fleet.Happened) -> list[str]:
    if row.kind != "change":
        return []
    try:
        return list(msgspec.json.decode(wire.unpack(row.payload), type=_Because).because)
    except (wire.Malformed, msgspec.DecodeError):
        return []


class _Because(msgspec.Struct):
    because: list[str] = []


def _fields(row: fleet.DeviceRow, now: datetime) -> dict[str, Any]:
    return {
        "id": row.id, "annex": row.annex_id, "name": row.name, "role": row.role, "model": row.model,
        "serial": row.hardware_serial, "presence": row.presence(now), "heard_at": row.heard_at,
        "agent_version": row.agent_version, "enrolled_at": row.enrolled_at,
    }  # fmt: skip
