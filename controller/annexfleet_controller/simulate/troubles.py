"""What goes wrong, as data: a script of troubles, each with its hour, its place and how long it lasts.

A script is TOML with `[[trouble]]` tables; `working-day.toml` beside this file is the default.  Troubles only think:
they change the world, and the agents report what they find.
"""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.simulate.province import SHEETS_IN_A_TRAY, Annex, Machine, Printer, Province

Kind = Literal[
    "jam", "paper", "toner_low", "toner_empty", "power_cut", "line_cut", "disk_filling", "queue_rush", "portal_down",
    "device_off", "printer_off", "cover_open", "charger_out", "probe_lost", "queue_stalled", "queue_source_down",
    "link", "power", "off",
]  # fmt: skip
"""The last three are those of rehearsals (`waves.mishaps.MishapKind`)."""
MOST_MINUTES = 14 * 24 * 60
"""A device may come back after days."""

_CLEANED, _FULL = 0.55, 0.985
"""Share of a disk in use after somebody tidied it up, and when it is as good as full."""
_RUSH = 3.0


class Trouble(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One disturbance.  What is left empty means the first one there is."""

    kind: Kind
    minutes: Annotated[float, Meta(gt=0, le=MOST_MINUTES)]
    at: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = ""
    """Local time of the day, every working day of the simulated province."""
    after_minutes: Annotated[float, Meta(ge=0)] | None = None
    """Instead of `at`: so long after the simulation began, once."""
    annex: Annotated[int, Meta(ge=1)] = 1
    """Which annex: 1 is the province's first."""
    device: str = ""
    """A machine's name, such as `guichet-2`."""
    printer: str = ""
    service: str = ""


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    trouble: list[Trouble] = []


def load(file: Path | None = None) -> list[Trouble]:
    """The troubles of a script, or of the default one.  Raises SettingsWrong, naming the key."""
    name = str(file) if file else "working-day.toml"
    try:
        text = (file or files(__package__) / "working-day.toml").read_text(encoding="utf-8")
        script = msgspec.convert(tomllib.loads(text), Script)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsWrong(f"{name}: {error}") from error
    for index, trouble in enumerate(script.trouble):
        if bool(trouble.at) == (trouble.after_minutes is not None):
            raise SettingsWrong(f"{name}: trouble[{index}]: say either `at` or `after_minutes`")
    return script.trouble


def progress(trouble: Trouble, province: Province, began: float) -> float | None:
    """How far it is on its way, from 0 to 1; None while it does not disturb the province.

    `began` is the simulation's first moment by the world's clock.
    """
    if trouble.after_minutes is not None:
        minutes = (province.now - began) / 60 - trouble.after_minutes
    else:
        local = province.local()
        if local.weekday() >= 5:
            return None
        minutes = local.hour * 60 + local.minute + local.second / 60
        minutes -= int(trouble.at[:2]) * 60 + int(trouble.at[3:])
    return minutes / trouble.minutes if 0 <= minutes < trouble.minutes else None


class Disturbance:
    """Applies a script to a province: begins what is due, keeps it up, and puts right what is over."""

    def __init__(self, script: list[Trouble], province: Province) -> None:
        self._script = script
        self._province = province
        self._began = province.now
        self.active: list[Trouble] = []

    def apply(self) -> tuple[list[Trouble], list[Trouble]]:
        """Bring the province in line with the script; the troubles that began now, and those that ended now."""
        far = {id(trouble): progress(trouble, self._province, self._began) for trouble in self._script}
        due = [trouble for trouble in self._script if far[id(trouble)] is not None]
        begun = [trouble for trouble in due if trouble not in self.active]
        ended = [trouble for trouble in self.active if trouble not in due]
        for trouble in ended:
            self._set(trouble, None)
        for trouble in due:
            self._set(trouble, far[id(trouble)])
        self.active = due
        return begun, ended

    def _set(self, trouble: Trouble, far: float | None) -> None:
        annex = self._province.annexes[(trouble.annex - 1) % len(self._province.annexes)]
        _EFFECTS[trouble.kind](annex, trouble, far)


def _jam(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.jammed = far is not None


def _paper(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.sheets, printer.refill_at = (0.0, float("inf")) if far is not None else (SHEETS_IN_A_TRAY, None)


def _toner_low(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.toner = min(printer.toner, 0.06) if far is not None else 1.0


def _toner_empty(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.toner = 0.0 if far is not None else 1.0


def _power_cut(annex: Annex, trouble: Trouble, far: float | None) -> None:
    annex.power = far is None


def _line_cut(annex: Annex, trouble: Trouble, far: float | None) -> None:
    annex.line_up = far is None


def _portal_down(annex: Annex, trouble: Trouble, far: float | None) -> None:
    annex.portal_up = far is None


def _disk_filling(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        if far is None:
            machine.disk_used = machine.disk_bytes * _CLEANED
        else:
            used = _CLEANED + (_FULL - _CLEANED) * min(1.0, 2 * far)  # full at half time, then it stays so
            machine.disk_used = max(machine.disk_used, machine.disk_bytes * used)


def _device_off(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        machine.unplugged = far is not None


def _queue_rush(annex: Annex, trouble: Trouble, far: float | None) -> None:
    queue = annex.queues.get(trouble.service) or next(iter(annex.queues.values()))
    queue.rush = _RUSH if far is not None else 1.0


def _queue_stalled(annex: Annex, trouble: Trouble, far: float | None) -> None:
    queue = annex.queues.get(trouble.service) or next(iter(annex.queues.values()))
    queue.halted = far is not None


def _queue_source_down(annex: Annex, trouble: Trouble, far: float | None) -> None:
    annex.queue_source_up = far is None


def _link(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        machine.link_lost = far is not None


def _off(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        machine.switched_off = far is not None


def _printer_off(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.on = far is None


def _cover_open(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for printer in _printer(annex, trouble.printer):
        printer.cover_open = far is not None


def _charger_out(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        machine.charger_out = far is not None


def _probe_lost(annex: Annex, trouble: Trouble, far: float | None) -> None:
    for machine in _machine(annex, trouble.device):
        machine.probe_lost = far is not None


_EFFECTS = {
    "jam": _jam, "paper": _paper, "toner_low": _toner_low, "toner_empty": _toner_empty, "power_cut": _power_cut,
    "line_cut": _line_cut, "portal_down": _portal_down, "disk_filling": _disk_filling, "queue_rush": _queue_rush,
    "device_off": _device_off, "printer_off": _printer_off, "cover_open": _cover_open, "charger_out": _charger_out,
    "probe_lost": _probe_lost, "queue_stalled": _queue_stalled, "queue_source_down": _queue_source_down,
    "link": _link, "power": _power_cut, "off": _off,
}  # fmt: skip


def _printer(annex: Annex, name: str) -> list[Printer]:
    named = [printer for printer in annex.printers if printer.name == name]
    return named or annex.printers[:1]


def _machine(annex: Annex, name: str) -> list[Machine]:
    named = [machine for machine in annex.machines if machine.name == name]
    return named or annex.machines[:1]
