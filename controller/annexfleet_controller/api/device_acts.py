"""/api/v1/devices: a device renamed, moved, taken out of service, replaced."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from annexfleet_controller.access.asked import Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import problems
from annexfleet_controller.api.annexes import Confirmed
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.api.versions import IfMatch, Version, demanded, etag
from annexfleet_controller.errors import SettingChanged
from annexfleet_controller.store import devices
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.tending import devices as tending
from annexfleet_controller.tending.typed import DeviceWish

router = APIRouter(prefix="/api/v1/devices/{device_id}", tags=["devices"], responses=problems.RESPONSES)

Editing = Annotated[Person, Depends(Needs("edit_devices"))]
_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"model": problems.Problem}}


class DeviceChange(BaseModel):
    """What is left out stays as it is."""

    name: Annotated[str | None, Field(max_length=120)] = None
    place: Annotated[str | None, Field(max_length=80, description="Room or counter")] = None
    annex: Annotated[str | None, Field(max_length=63, description="Where it goes; both must be in your sight")] = None
    version: Version = None

    model_config = {"json_schema_extra": {"examples": [{"name": "guichet-3", "place": "salle 2", "version": 1}]}}


class Replacement(Confirmed):
    new: Annotated[str, Field(max_length=28, description="The device that takes its place")]


class DeviceKept(BaseModel):
    """A device as people decide about it."""

    id: str
    annex: str
    name: str
    role: str
    place: str
    retired_at: datetime | None
    replaced_by: str | None
    version: int


@router.patch("", responses=_CONFLICT | {428: {"model": problems.Problem}})
def change_device(
    *, device_id: str, body: DeviceChange, person: Editing, db: WritingDb, now: Now, response: Response,
    if_match: IfMatch = "",
) -> DeviceKept:  # fmt: skip
    """Rename or move a device as it was read; 409 if somebody changed it since."""
    version = demanded(if_match, body.version)
    device = devices.seen(db, person.scope, device_id)
    if device.version != version:
        raise SettingChanged(version=device.version)
    # The version that the caller read is their yes: it says which device they mean, where it is.
    if body.annex is not None and body.annex != device.annex_id:
        reach = tending.moving(db, hand(person), [device_id], body.annex)[2]
        tending.move(db, hand(person), [device_id], body.annex, confirmed=reach.digest, now=now)
    wish = DeviceWish(
        name=device.name if body.name is None else body.name, place=device.place if body.place is None else body.place
    )
    tending.change(db, hand(person), device_id, wish, version=device.version, now=now)
    response.headers["ETag"] = etag(device.version)
    return _out(db, device)


@router.post("/retire", responses=_CONFLICT)
def retire_device(
    device_id: str, person: Editing, db: WritingDb, now: Now, body: Confirmed | None = None
) -> DeviceKept:
    """Take it out of service for good.

    Without a digest it answers 409 with the one that confirms what that touches now.
    """
    tending.retire(db, hand(person), [device_id], confirmed=body.digest if body else "", now=now)
    return _out(db, devices.seen(db, person.scope, device_id))


@router.post("/replace", responses=_CONFLICT)
def replace_device(device_id: str, body: Replacement, person: Editing, db: WritingDb, now: Now) -> DeviceKept:
    """Another device of the annex takes its name, place, tags and role, and this one is retired.

    Without a digest it answers 409 with the one that confirms what that touches now.
    """
    tending.replace(db, hand(person), device_id, body.new, confirmed=body.digest, now=now)
    return _out(db, devices.seen(db, person.scope, device_id))


def _out(db: Session, device: Device) -> DeviceKept:
    after = None if device.replaced_by is None else devices.by_number(db, device.replaced_by)
    return DeviceKept(
        id=device.id, annex=device.annex_id, name=device.name, role=device.role, place=device.place,
        retired_at=device.retired_at, replaced_by=None if after is None else after.id, version=device.version,
    )  # fmt: skip
