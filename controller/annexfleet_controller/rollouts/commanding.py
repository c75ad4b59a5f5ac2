"""A command to one device, as people ask for it: checked, queued for the relay, and written into the audit."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from annexfleet_agent.protocol import commands as catalogue
from annexfleet_agent.protocol.commands import ParameterWrong, Value
from annexfleet_controller.errors import CommandWrong
from annexfleet_controller.rollouts.errors import AttachmentUnknown, TakesNoCommands, TooManyCommands
from annexfleet_controller.settings import Home
from annexfleet_controller.store import audit, command_reads, commands, fleet, pulses
from annexfleet_controller.store.command_reads import Command
from annexfleet_controller.store.scope import Scope

WAITING_AT_MOST = 10
_ID = re.compile(r"c-[a-z2-7]{24}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


def send(
    db: Session,
    scope: Scope,
    device_id: str,
    name: str,
    parameters: Mapping[str, Value],
    *,
    by: str,
    via: str,
    now: datetime,
    command_id: str = "",
) -> Command:
    """Queue a command; the relay sends it as soon as the device is there, or gives up after ten minutes.

    With a `command_id` that is queued already nothing more happens: a form that is sent twice acts once.  Raises
    DeviceUnknown, CommandWrong, TakesNoCommands or TooManyCommands.
    """
    device = fleet.device(db, scope, device_id)
    checked = _checked(name, parameters)  # before anything that would be a conflict
    if command_id and not _ID.fullmatch(command_id):
        raise CommandWrong("not the id of a command", field="command_id", reason="wrong_form")
    if not command_reads.takes_commands(db, device.number):
        raise TakesNoCommands(f"device {device_id} takes no commands", device=device_id)
    waiting = command_reads.waiting_count(db, device.number)
    if command_id and commands.find(db, command_id) is not None:
        return command_reads.find(db, scope, command_id)
    if waiting >= WAITING_AT_MOST:
        raise TooManyCommands(f"{waiting} commands wait for device {device_id}", waiting=waiting)
    made = commands.create(
        db, device_number=device.number, name=name, parameters=checked, author=by, now=now, id_=command_id
    )
    pulses.add(db, {device.number: "k"}, now=now, origin="commands")
    facts: dict[str, audit.Fact] = {"command": name, "id": made.id, **checked}
    audit.add(
        db, now=now, actor=by, via=via, act="command.send", subject=f"device:{device_id}", annex_id=device.annex_id,
        facts=facts,
    )  # fmt: skip
    return command_reads.find(db, scope, made.id)


def attachment(home: Home, command: Command) -> Path:
    """The file that a command brought.  Raises AttachmentUnknown."""
    path = home.path / "diagnostics" / command.attachment
    # Its name was written by our relay; that it leads nowhere else is seen to here all the same.
    if not _FILE.fullmatch(command.attachment) or path.is_symlink() or not path.is_file():
        raise AttachmentUnknown(f"command {command.id} has no file")
    return path


def _checked(name: str, parameters: Mapping[str, Value]) -> dict[str, Value]:
    try:
        return catalogue.checked(name, parameters)
    except ParameterWrong as wrong:
        raise CommandWrong(str(wrong), field=wrong.name, reason=wrong.reason) from None
