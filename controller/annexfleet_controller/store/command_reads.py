"""Commands to devices as people look at them; their life is in `commands`."""

import json
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.commands import Value
from annexfleet_controller.errors import CommandUnknown
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device


class Command(Struct, frozen=True, kw_only=True):
    """One act that was asked of a device, and what became of it."""

    id: str
    device_id: str
    annex_id: str
    """Where the device stands now."""
    name: str
    parameters: dict[str, Value]
    author: str
    created_at: datetime
    give_up_at: datetime
    state: str
    """waiting, sent or ended"""
    outcome: str
    """done, refused, failed, unknown or not_sent; empty until it ended"""
    detail: str
    sent_at: datetime | None
    ended_at: datetime | None
    attachment: str


def takes_commands(db: Session, device_number: int) -> bool:
    """Whether the device is in service and told a key to which commands are sealed."""
    query = select(Device.number).where(
        Device.number == device_number, Device.exchange_key.is_not(None), Device.revoked_at.is_(None)
    )
    return db.scalar(query) is not None


def waiting_count(db: Session, device_number: int) -> int:
    """How many commands wait for this device; the caller's transaction keeps others from adding some meanwhile."""
    db.execute(select(Device.number).where(Device.number == device_number).with_for_update())
    query = select(func.count()).where(CommandRow.device_number == device_number, CommandRow.state == "waiting")
    return db.scalar(query) or 0


def of_device(
    db: Session, device_number: int, *, before: tuple[datetime, str] | None = None, limit: int = 20
) -> list[Command]:
    """The commands of a device that is in sight, the newest first, from before that moment and id."""
    query = _rows().where(CommandRow.device_number == device_number)
    if before is not None:
        at, id_ = before
        earlier = (CommandRow.created_at == at) & (CommandRow.id < id_)
        query = query.where((CommandRow.created_at < at) | earlier)
    query = query.order_by(CommandRow.created_at.desc(), CommandRow.id.desc()).limit(limit)
    return [_command(*row) for row in db.execute(query)]


def find(db: Session, scope: Scope, command_id: str) -> Command:
    """Raises CommandUnknown where there is none, or none whose device is in sight."""
    row = db.execute(_rows().where(CommandRow.id == command_id, scope.limit(Device.annex_id))).first()
    if row is None:
        raise CommandUnknown(f"no command {command_id!r}")
    return _command(*row)


def _rows() -> "Select[CommandRow, str, str]":
    return select(CommandRow, Device.id, Device.annex_id).join(Device, Device.number == CommandRow.device_number)


def _command(row: CommandRow, device_id: str, annex_id: str) -> Command:
    return Command(
        id=row.id, device_id=device_id, annex_id=annex_id, name=row.name, parameters=json.loads(row.parameters),
        author=row.author, created_at=row.created_at, give_up_at=row.give_up_at, state=row.state,
        outcome=row.outcome, detail=row.detail, sent_at=row.sent_at, ended_at=row.ended_at, attachment=row.attachment,
    )  # fmt: skip
