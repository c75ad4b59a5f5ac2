"""/api/v1/inventory: the devices as Ansible sees them; and how each is reached and tagged."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from annexfleet_controller.access.asked import Db, EngineOf, Now
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.api import paging, problems
from annexfleet_controller.api.settings_acts import hand
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import inventory, targets
from annexfleet_controller.store import audit, devices, fleet, reaching
from annexfleet_controller.store.database import writing
from annexfleet_controller.tending import devices as tending
from annexfleet_controller.tending.typed import DeviceWish

router = APIRouter(prefix="/api/v1", tags=["inventory"], responses=problems.RESPONSES)

Editing = Annotated[Person, Depends(Needs("edit_devices"))]

Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class InventoryOut(BaseModel):
    """Devices in your sight and in service, by id."""

    hosts: dict[str, dict[str, Any]]
    """Variables by device id."""
    groups: dict[str, list[str]]
    """Of these hosts: their ids by group (`annex_…`, `role_…`, `tag_…`, `readiness_…`, `link_online`, `link_offline`,
    `os_…`).
    """
    next: str | None = None
    """Where there are more, which belong to the same groups and to others."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "hosts": {
                        "d-abcdefghijklmnopqrstuvwxyz": {
                            "annexfleet_annex": "berkane-1",
                            "annexfleet_role": "counter",
                            "annexfleet_os_id": "debian",
                            "ansible_connection": "annexfleet",
                        }
                    },
                    "groups": {"annex_berkane_1": ["d-abcdefghijklmnopqrstuvwxyz"]},
                }
            ]
        }
    }


class ReachIn(BaseModel):
    connection: Literal["mqtt", "ssh"]
    ssh_address: Annotated[str, Field(max_length=260, pattern=r"^[A-Za-z0-9._:\[\]-]*$")] = ""
    """host, host:port or [v6]:port; needed for ssh"""


class ReachOut(ReachIn):
    device: str


class TagsIn(BaseModel):
    tags: Annotated[list[Tag], Field(max_length=20)]


class TagsOut(TagsIn):
    device: str


@router.get("/inventory")
def show(
    person: Annotated[Person, Depends(Needs("read_inventory"))],
    db: Db,
    packages: Annotated[bool, Query(description="With each device's packages; about 100 kB a device")] = False,
    cursor: paging.Cursor = "",
    limit: paging.Limit = 100,
) -> InventoryOut:
    """Hosts, their variables and groups; `plugins/inventory/annexfleet.py` puts the pages together for Ansible."""
    (after,) = paging.keys(cursor, 1) or ("",)
    some = targets.targets(db, person.scope, after=after, limit=limit + 1)
    found = inventory.document(some[:limit], packages=packages)
    return InventoryOut(
        hosts=found.hosts, groups=found.groups,
        next=paging.cursor(some[limit - 1].device_id) if len(some) > limit else None,
    )  # fmt: skip


@router.put("/devices/{device_id}/connection")
def put_connection(device_id: str, body: ReachIn, person: Editing, engine: EngineOf, now: Now) -> ReachOut:
    """How Ansible reaches a device: over the agent's own link, or over SSH."""
    if body.connection == "ssh" and not inventory.is_address(body.ssh_address):
        raise Invalid("SSH needs an address: host or host:port", field="ssh_address")
    address = body.ssh_address if body.connection == "ssh" else ""
    with writing(engine) as db:
        row = fleet.device(db, person.scope, device_id)
        reaching.put_connection(db, row.number, body.connection, address)
        audit.add(
            db, now=now, actor=person.name, via=person.via, act="device.connection", subject=f"device:{device_id}",
            annex_id=row.annex_id, facts={"connection": body.connection, "ssh_address": address},
        )  # fmt: skip
    return ReachOut(device=device_id, connection=body.connection, ssh_address=address)


@router.put("/devices/{device_id}/tags")
def put_tags(device_id: str, body: TagsIn, person: Editing, engine: EngineOf, now: Now) -> TagsOut:
    """Words by which you gather devices; these replace those there were."""
    with writing(engine) as db:
        row = devices.seen(db, person.scope, device_id)
        wish = DeviceWish(name=row.name, place=row.place, tags=tuple(body.tags))
        tending.change(db, hand(person), device_id, wish, version=row.version, now=now)
    return TagsOut(device=device_id, tags=sorted(set(body.tags)))
