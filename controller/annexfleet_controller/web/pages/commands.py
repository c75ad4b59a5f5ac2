"""Commands to one device: the forms and receipts on its page, and sending one."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from fastapi.responses import RedirectResponse, Response
from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import commands as catalogue
from annexfleet_agent.protocol.commands import CommandKind, Parameter, Value
from annexfleet_controller.access.asked import LanguageOf, Now, WritingDb
from annexfleet_controller.access.door import Needs
from annexfleet_controller.access.person import Person
from annexfleet_controller.errors import AnnexfleetError, CommandWrong
from annexfleet_controller.i18n import formats
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts import commanding
from annexfleet_controller.rollouts.errors import TakesNoCommands, TooManyCommands
from annexfleet_controller.store import command_reads, commands, fleet
from annexfleet_controller.store.command_reads import Command
from annexfleet_controller.web.render import Page

router = APIRouter(include_in_schema=False)

SHOWN = 8
_COMMANDS_READ = 60
_OF_PRINTERS = frozenset(
    kind.name for kind in catalogue.COMMANDS.values() if any(p.kind == "printer" for p in kind.parameters)
)
_PRINTER_ID = re.compile(r"[0-9a-f]{24}")
UNITS = (
    "cups.service", "cups-browsed.service", "ipp-usb.service", "avahi-daemon.service", "systemd-timesyncd.service",
    "chrony.service",
)  # fmt: skip
"""Those that agents let restart unless they are set otherwise; any other can be typed."""
_SECONDS = {"delay_s": (0, 60, 300, 900, 3600), "seconds": (60, 300, 900)}
"""What people choose between; programs may say any number in range."""


class Choice(Struct, frozen=True):
    value: str
    text: str


class Field(Struct, frozen=True):
    """One parameter of a command's form."""

    name: str
    kind: str
    choices: list[Choice]
    value: str
    is_wrong: bool


class CommandForm(Struct, frozen=True):
    """One command as it can be sent to this device."""

    name: str
    disturbs: bool
    fields: list[Field]
    key: str
    """The id that the command will have, so that a form that is sent twice acts once."""
    reason: str
    """Why it was refused when it was sent last; a code."""


class Receipt(Struct, frozen=True):
    """A command that was sent, in its reader's words."""

    id: str
    name: str
    standing: str
    """A code: the outcome, else the state."""
    detail: str
    about: list[tuple[str, str]]
    author: str
    created_at: datetime
    ended_at: datetime | None
    give_up_at: datetime
    has_file: bool


class Commanding(Struct, frozen=True):
    """The part "Commands" of a device's page."""

    takes: bool
    """Whether the device takes any."""
    forms: list[CommandForm]
    receipts: list[Receipt]
    refused: str
    """The code of why nothing was sent, apart from a parameter that was wrong."""


class Refused(Struct, frozen=True):
    """A form that was sent in vain."""

    name: str
    values: Mapping[str, str]
    error: AnnexfleetError


@router.post("/devices/{device_id}/commands")
def send(
    *,
    device_id: str,
    person: Annotated[Person, Depends(Needs("send_commands"))],
    db: WritingDb,
    now: Now,
    language: LanguageOf,
    page: Page,
    name: Annotated[str, Form(max_length=40)],
    key: Annotated[str, Form(max_length=32)] = "",
    unit: Annotated[str, Form(max_length=120)] = "",
    printer: Annotated[str, Form(max_length=200)] = "",
    delay_s: Annotated[str, Form(max_length=20)] = "",
    seconds: Annotated[str, Form(max_length=20)] = "",
    from_printer: Annotated[str, Form(max_length=24)] = "",
) -> Response:
    """What cannot be so is said beside what was typed, on the device's page; else back to where it was typed."""
    from annexfleet_controller.web.pages import device  # noqa: PLC0415  # that page shows our part

    typed = {"unit": unit.strip(), "printer": printer, "delay_s": delay_s, "seconds": seconds}
    try:
        parameters = _parameters(name, typed)
        commanding.send(
            db, person.scope, device_id, name, parameters, by=person.name, via=person.via, now=now, command_id=key
        )
    except (CommandWrong, TakesNoCommands, TooManyCommands) as error:
        status = 422 if isinstance(error, CommandWrong) else 409
        refused = Refused(name, typed, error)
        return device.whole(db, person, device_id, page, now=now, language=language, status=status, refused=refused)
    if _PRINTER_ID.fullmatch(from_printer):
        return RedirectResponse(f"/printers/{from_printer}#commands", 303)
    return RedirectResponse(f"/devices/{device_id}#commands", 303)


def of_device(
    db: Session,
    device: fleet.DeviceRow,
    printers: Sequence[fleet.SeenPrinter],
    language: Language,
    *,
    refused: Refused | None = None,
) -> Commanding:
    """What the page of a device shows of commands."""
    names = [seen.printer.name for seen in printers]
    error = refused.error if refused is not None else None
    return Commanding(
        takes=command_reads.takes_commands(db, device.number),
        forms=[_form(kind, names, language, refused) for kind in catalogue.COMMANDS.values()],
        receipts=[_receipt(c, language) for c in command_reads.of_device(db, device.number, limit=SHOWN)],
        refused=error.code if error is not None and not isinstance(error, CommandWrong) else "",
    )


def of_printer(db: Session, device: fleet.DeviceRow, seen: fleet.SeenPrinter, language: Language) -> Commanding:
    """What the page of a printer shows of commands: those to its device that concern it, with what became of them."""
    kinds = [catalogue.COMMANDS[name] for name in sorted(_OF_PRINTERS)]
    sent = to_printer(db, [device.number], seen.printer.name)
    return Commanding(
        takes=command_reads.takes_commands(db, device.number),
        forms=[_form(kind, [seen.printer.name], language, None) for kind in kinds],
        receipts=[_receipt(command, language) for command in sent[:SHOWN]],
        refused="",
    )


def to_printer(db: Session, numbers: Sequence[int], name: str) -> list[Command]:
    """The newest commands to these devices that concern the printer of this name."""
    found = [c for number in numbers for c in command_reads.of_device(db, number, limit=_COMMANDS_READ)]
    concerned = [c for c in found if c.name in _OF_PRINTERS and c.parameters.get("printer") == name]
    return sorted(concerned, key=lambda c: c.created_at, reverse=True)


def _parameters(name: str, typed: Mapping[str, str]) -> dict[str, Value]:
    kind = catalogue.COMMANDS.get(name)
    if kind is None:
        raise CommandWrong(f"no command {name!r}", field="command", reason="unknown_command")
    return {p.name: _value(p, typed[p.name]) for p in kind.parameters if typed.get(p.name)}


def _value(parameter: Parameter, typed: str) -> Value:
    if parameter.kind != "seconds":
        return typed
    if not (typed.isascii() and typed.isdecimal()):
        raise CommandWrong("not a number of seconds", field=parameter.name, reason="wrong_type")
    return int(typed)


def _form(kind: CommandKind, printers: Sequence[str], language: Language, refused: Refused | None) -> CommandForm:
    here = refused if refused is not None and refused.name == kind.name else None
    facts = here.error.facts if here is not None and isinstance(here.error, CommandWrong) else {}
    return CommandForm(
        name=kind.name,
        disturbs=kind.disturbs,
        fields=[
            Field(
                name=parameter.name,
                kind=parameter.kind,
                choices=_choices(parameter, printers, language),
                value=here.values.get(parameter.name, "") if here is not None else _default(parameter),
                is_wrong=facts.get("field") == parameter.name,
            )
            for parameter in kind.parameters
        ],
        key=commands.new_id(),
        reason=str(facts.get("reason", "")),
    )


def _default(parameter: Parameter) -> str:
    return "" if parameter.default is None else str(parameter.default)


def _choices(parameter: Parameter, printers: Sequence[str], language: Language) -> list[Choice]:
    if parameter.kind == "unit":
        return [Choice(unit, unit) for unit in UNITS]
    if parameter.kind == "printer":
        return [Choice(name, name) for name in sorted(set(printers))]
    return [
        Choice(str(seconds), formats.duration(language, seconds) if seconds else language.name("moment", "at_once"))
        for seconds in _SECONDS.get(parameter.name, ())
        if parameter.least <= seconds <= parameter.most
    ]


def _receipt(command: Command, language: Language) -> Receipt:
    about = []
    for name, value in command.parameters.items():
        kind = language.name("command_parameter", name)
        known = catalogue.COMMANDS.get(command.name)
        seconds = known is not None and any(p.name == name and p.kind == "seconds" for p in known.parameters)
        timed = seconds and isinstance(value, int | float) and value
        about.append((kind, formats.duration(language, float(value)) if timed else str(value)))
    return Receipt(
        id=command.id, name=command.name, standing=command.outcome or command.state, detail=_detail(command.detail),
        about=about, author=command.author, created_at=command.created_at, ended_at=command.ended_at,
        give_up_at=command.give_up_at, has_file=bool(command.attachment),
    )  # fmt: skip


def _detail(code: str) -> str:
    """The code that has words: whichever number a program ended with, people read the same."""
    return "exit" if code.startswith("exit_") else code
