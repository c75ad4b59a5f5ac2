"""Commands to single devices: from the order to its receipt.

    waiting --claim--> sent --settle--> ended        waiting --give_up--> ended (not_sent)
            <-put_back-     --forget--> ended (unknown)

Sending one again is harmless: a device acts once on an id, and answers a repeat with the receipt that it keeps.  So an
order of which nothing was heard is sent again until it is old; then its outcome is unknown, until a receipt says more.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import CursorResult, Select, delete, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import receipts
from annexfleet_agent.protocol.commands import Value, checked
from annexfleet_controller.store.tables.commands import CommandRow
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState

GIVE_UP_AFTER = timedelta(minutes=10)
"""A restart that comes an hour late, when somebody works at the counter again, does harm."""
RECEIPT_KEY_BYTES = 32
NO_ANSWER = "no_answer"
"""The detail of an unknown outcome of which nothing was heard; a receipt that comes later replaces it."""


class ReceiptForged(Exception):
    """A receipt that the device of its command did not write."""


class Due(NamedTuple):
    """A command that may be sent now."""

    id: str
    device_id: str
    device_number: int
    name: str
    state: str
    sent_at: datetime | None


def create(
    db: Session,
    *,
    device_number: int,
    name: str,
    parameters: Mapping[str, Value],
    author: str,
    now: datetime,
    give_up_after: timedelta = GIVE_UP_AFTER,
    id_: str = "",
) -> CommandRow:
    """A new order, which the relay sends as soon as the device is there; `id_` may come from `new_id`.

    Raises protocol.commands.ParameterWrong.  Whether this person may, and whether the device is one that takes
    commands, the caller looks before.
    """
    values = checked(name, parameters)
    row = CommandRow(
        id=id_ or new_id(),
        device_number=device_number,
        name=name,
        parameters=json.dumps(values, separators=(",", ":"), ensure_ascii=False),
        receipt_key=secrets.token_bytes(RECEIPT_KEY_BYTES),
        author=author,
        created_at=now,
        give_up_at=now + give_up_after,
        state="waiting",
    )
    db.add(row)
    db.flush()
    return row


def new_id() -> str:
    """`c-` and 120 random bits."""
    return "c-" + base64.b32encode(secrets.token_bytes(15)).decode("ascii").lower()


def find(db: Session, command_id: str) -> CommandRow | None:
    return db.get(CommandRow, command_id)


def of_device(db: Session, device_number: int, *, at_most: int = 50) -> list[CommandRow]:
    """The newest first."""
    query = select(CommandRow).where(CommandRow.device_number == device_number)
    return list(db.scalars(query.order_by(CommandRow.created_at.desc(), CommandRow.id).limit(at_most)))


def due(db: Session, *, now: datetime, again_before: datetime, at_most: int = 200) -> list[Due]:
    """What may be sent to devices that are there: what waits, and what was sent before `again_before`; oldest first."""
    again = (CommandRow.state == "sent") & (CommandRow.sent_at < again_before)
    waits = (CommandRow.state == "waiting") & (CommandRow.give_up_at > now)
    rows = db.execute(
        select(CommandRow.id, Device.id, Device.number, CommandRow.name, CommandRow.state, CommandRow.sent_at)
        .join(Device, Device.number == CommandRow.device_number)
        .join(DeviceState, DeviceState.device_number == Device.number)
        .where(or_(waits, again), DeviceState.connected, Device.revoked_at.is_(None))
        .order_by(CommandRow.created_at, CommandRow.id)
        .limit(at_most)
    )
    return [Due(*row) for row in rows]


def claim(db: Session, command_id: str, *, now: datetime) -> bool:
    """Whether it is ours to send now.  An order that was sent already keeps its first moment."""
    taken = db.execute(
        update(CommandRow)
        .where(CommandRow.id == command_id, CommandRow.state == "waiting", CommandRow.give_up_at > now)
        .values(state="sent", sent_at=now)
    )
    return _count(taken) == 1 or db.scalar(select(CommandRow.state).where(CommandRow.id == command_id)) == "sent"


def put_back(db: Session, command_id: str) -> None:
    """It was not acted on, for sure (the device was busy): it waits again."""
    db.execute(
        update(CommandRow)
        .where(CommandRow.id == command_id, CommandRow.state == "sent")
        .values(state="waiting", sent_at=None)
    )


def settle(
    db: Session, command_id: str, outcome: str, *, now: datetime, device_id: str, detail: str = "", attachment: str = ""
) -> int | None:
    """Note how a command ended, once; the device's number, or None if there was nothing to settle.

    `device_id` is who says so: a command of another device is not settled by it.
    """
    number = db.scalar(
        select(Device.number)
        .join(CommandRow, CommandRow.device_number == Device.number)
        .where(CommandRow.id == command_id, Device.id == device_id)
    )
    if number is None:
        return None
    still = or_(
        CommandRow.state != "ended",
        (CommandRow.outcome == "unknown") & (CommandRow.detail == NO_ANSWER),
        # A refusal bears no seal, and who forges one may have let the envelope through: what the device did counts.
        CommandRow.outcome.in_(("refused", "not_sent")) & (CommandRow.outcome != outcome),
    )
    values = {"state": "ended", "outcome": outcome, "detail": detail[:64], "ended_at": now}
    if attachment:
        values["attachment"] = attachment
    settled = db.execute(update(CommandRow).where(CommandRow.id == command_id, still).values(values))
    if attachment and _count(settled) == 0:
        # The receipt came by the other way and was quicker than the file.
        db.execute(
            update(CommandRow)
            .where(CommandRow.id == command_id, CommandRow.attachment == "", CommandRow.outcome == outcome)
            .values(attachment=attachment)
        )
        return number
    return number if _count(settled) else None


def settle_by_receipt(
    db: Session, command_id: str, outcome: str, *, now: datetime, device_id: str, detail: str, proof: str
) -> int | None:
    """As `settle`, by a receipt that came over the broker: it counts if its proof is the device's own.

    Raises ReceiptForged if it is not, for a command that there is.
    """
    key = db.scalar(
        select(CommandRow.receipt_key)
        .join(Device, Device.number == CommandRow.device_number)
        .where(CommandRow.id == command_id, Device.id == device_id)
    )
    if key is None:
        return None
    if not receipts.is_proven(key, command_id, outcome, detail, proof):
        raise ReceiptForged(command_id)
    return settle(db, command_id, outcome, now=now, device_id=device_id, detail=detail)


def give_up(db: Session, *, now: datetime) -> list[int]:
    """End what could not be sent in time; numbers of the devices."""
    late = (CommandRow.state == "waiting") & (CommandRow.give_up_at <= now)
    return _end(db, select(CommandRow.id, CommandRow.device_number).where(late), "not_sent", "", now)


def any_stale(db: Session, *, now: datetime, sent_before: datetime) -> bool:
    """Whether `give_up` or `forget` would end anything; costs no write."""
    late = (CommandRow.state == "waiting") & (CommandRow.give_up_at <= now)
    silent = (CommandRow.state == "sent") & (CommandRow.sent_at < sent_before)
    return bool(db.scalar(select(select(CommandRow.id).where(or_(late, silent)).exists())))


def forget(db: Session, *, sent_before: datetime, now: datetime) -> list[int]:
    """End what was sent long ago and never answered; numbers of the devices."""
    silent = (CommandRow.state == "sent") & (CommandRow.sent_at < sent_before)
    return _end(db, select(CommandRow.id, CommandRow.device_number).where(silent), "unknown", NO_ANSWER, now)


def prune(db: Session, *, before: datetime) -> list[str]:
    """Forget commands that ended before; the names of the attachments that nobody needs any more."""
    old = (CommandRow.state == "ended") & (CommandRow.ended_at < before)
    attachments = db.scalars(select(CommandRow.attachment).where(old, CommandRow.attachment != "")).all()
    db.execute(delete(CommandRow).where(old))
    return list(attachments)


def forget_attachments(db: Session, *, before: datetime) -> list[str]:
    """Keep the commands, but not the files that they brought before; the names of these files."""
    old = (CommandRow.state == "ended") & (CommandRow.ended_at < before) & (CommandRow.attachment != "")
    attachments = list(db.scalars(select(CommandRow.attachment).where(old)))
    db.execute(update(CommandRow).where(old).values(attachment=""))
    return attachments


def _end(db: Session, which: Select[str, int], outcome: str, detail: str, now: datetime) -> list[int]:
    found = db.execute(which).all()
    numbers = set()
    for id_, number in found:
        ended = db.execute(
            update(CommandRow)
            .where(CommandRow.id == id_, CommandRow.state != "ended")
            .values(state="ended", outcome=outcome, detail=detail, ended_at=now)
        )
        if _count(ended):
            numbers.add(number)
    return sorted(numbers)


def _count(result: object) -> int:
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
