"""What the signer must know before it signs.  It asks here itself and believes nobody else."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow


class SignableDevice(Struct, frozen=True):
    number: int
    is_revoked: bool
    exchange_key: bytes
    """X25519, public; empty: it takes no commands."""


class SignableRun(Struct, frozen=True):
    """A run, and how it stands with one device."""

    kind: str
    state: str
    is_cancelled: bool
    started_at: datetime | None
    timeout_s: float
    bundle_digest: str
    host_state: str | None
    """None: the device is not among its hosts."""


class SignableCommand(Struct, frozen=True):
    device_number: int
    name: str
    parameters: str
    """JSON"""
    receipt_key: bytes
    state: str
    give_up_at: datetime


def device(db: Session, device_id: str) -> SignableDevice | None:
    found = db.execute(
        select(Device.number, Device.revoked_at, Device.exchange_key).where(Device.id == device_id)
    ).one_or_none()
    return None if found is None else SignableDevice(found[0], found[1] is not None, found[2] or b"")


def run(db: Session, run_id: int, device_number: int) -> SignableRun | None:
    found = db.execute(
        select(
            RunRow.kind,
            RunRow.state,
            RunRow.cancelled_at,
            RunRow.started_at,
            RunRow.timeout_s,
            RunRow.bundle_digest,
            RunHostRow.state,
        )
        .join(RunHostRow, (RunHostRow.run_id == RunRow.id) & (RunHostRow.device_number == device_number), isouter=True)
        .where(RunRow.id == run_id)
    ).one_or_none()
    if found is None:
        return None
    kind, state, cancelled_at, started_at, timeout_s, bundle_digest, host_state = found
    return SignableRun(kind, state, cancelled_at is not None, started_at, timeout_s, bundle_digest, host_state)


def command(db: Session, command_id: str) -> SignableCommand | None:
    row = db.get(CommandRow, command_id)
    if row is None:
        return None
    return SignableCommand(row.device_number, row.name, row.parameters, row.receipt_key, row.state, row.give_up_at)
