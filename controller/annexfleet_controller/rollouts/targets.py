"""Devices of the store as targets of a run."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller.rollouts.inventory import Target
from annexfleet_controller.store import reaching, readiness
from annexfleet_controller.store.reaching import Reachable
from annexfleet_controller.store.scope import Scope


def targets(
    db: Session, scope: Scope, *, ids: Collection[str] | None = None, after: str = "", limit: int | None = None
) -> list[Target]:
    """The devices in sight and in service by id, with all that an inventory tells of them.

    Those of these ids, or else a page of all, from after that id.
    """
    found = reaching.devices(db, scope, ids=ids, after=after, limit=limit)
    tags = reaching.tags(db, [device.number for device in found])
    standing = readiness.states(db, {device.annex_id for device in found})
    return [
        Target(
            device_id=device.id,
            name=device.name,
            annex_id=device.annex_id,
            role=device.role,
            tags=tags.get(device.number, ()),
            connection=device.connection,
            ssh_address=device.ssh_address,
            connected=device.connected,
            takes_commands=device.takes_commands,
            agent_version=device.agent_version,
            readiness=standing.get(device.annex_id, "unknown"),
            told=_told(device),
        )
        for device in found
    ]


def _told(device: Reachable) -> Inventory | None:
    if device.inventory is None:
        return None
    try:
        told = wire.decode_up("inventory", device.inventory)
    except wire.Malformed:
        return None  # a newer version wrote it
    return told if isinstance(told, Inventory) else None
