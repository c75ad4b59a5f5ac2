"""What each command of the catalogue does on this device.  There is nothing else that one could ask for.

`protocol.commands` says which there are and of which type their parameters; here each becomes a program to be run, or
is refused because this installation does not take it.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

import annexfleet_agent
from annexfleet_agent.protocol.commands import COMMANDS, ParameterWrong, Value, checked
from annexfleet_agent.settings import Settings

_SYSTEMD = Path("/run/systemd/system")
_SOONEST_REBOOT_S = 5
"""So that the receipt is gone before the line is."""


class CommandRefused(Exception):
    """This installation does not do it; `detail` is a code for the receipt."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class CommandFailed(Exception):
    """It cannot be done here; `detail` is a code for the receipt."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Plan(Struct, frozen=True, kw_only=True):
    """What a command comes to; one of the first three."""

    argv: tuple[str, ...] = ()
    """To be run; its output is the answer, and its exit code says whether it is done."""
    afterwards: tuple[str, ...] = ()
    """To be started when the command's receipt is kept, and left to itself."""
    watch_s: float | None = None
    timeout_s: float = 60.0
    extra: dict[str, str] = {}
    """For its environment."""


class Here(Struct, frozen=True, kw_only=True):
    """What a plan depends on besides what was asked."""

    settings: Settings
    settings_path: Path | None
    search: str
    """PATH, by which programs are found."""
    has_systemd: bool


def here(settings: Settings, settings_path: Path | None, search: str) -> Here:
    return Here(
        settings=settings, settings_path=settings_path, search=search, has_systemd=_SYSTEMD.is_dir()
    )  # fmt: skip


def plan(name: str, parameters: Mapping[str, Value], where: Here) -> Plan:
    """What is to be done.  Raises CommandRefused, CommandFailed."""
    try:
        good = checked(name, parameters)
    except ParameterWrong as error:
        raise CommandRefused(error.reason) from None
    made = _PLANS[name](good, where)
    return Plan(
        argv=made.argv, afterwards=made.afterwards, watch_s=made.watch_s, extra=made.extra,
        timeout_s=COMMANDS[name].timeout_s,
    )  # fmt: skip


def _restart_service(parameters: Mapping[str, Value], where: Here) -> Plan:
    unit = str(parameters["unit"])
    full = unit if "." in unit else f"{unit}.service"
    if full not in where.settings.runner.services:
        raise CommandRefused("not_allowed")
    if where.has_systemd:
        return Plan(argv=(_program("systemctl", where), "restart", "--", full))
    return Plan(argv=(_program("service", where), full.removesuffix(".service"), "restart"))


def _clear_print_queue(parameters: Mapping[str, Value], where: Here) -> Plan:
    # `cancel` takes the name after -a as a queue; `protocol.commands` lets no name begin with a hyphen.
    return Plan(argv=(_program("cancel", where), "-a", str(parameters["printer"])))


def _reboot(parameters: Mapping[str, Value], where: Here) -> Plan:
    delay_s = max(_SOONEST_REBOOT_S, round(float(parameters["delay_s"])))
    reboot = (_program("systemctl", where), "reboot") if where.has_systemd else (_program("reboot", where),)
    return Plan(afterwards=("/bin/sh", "-c", 'sleep "$1"; shift; exec "$@"', "sh", str(delay_s), *reboot))


def _diagnostics(_parameters: Mapping[str, Value], where: Here) -> Plan:
    argv = [sys.executable, "-m", "annexfleet_agent.runner.diagnostics"]
    if where.settings_path is not None:
        argv += ["--settings", str(where.settings_path)]
    package = Path(annexfleet_agent.__file__).parents[1]
    return Plan(argv=tuple(argv), extra={"PYTHONPATH": str(package)})


def _watch(parameters: Mapping[str, Value], _where: Here) -> Plan:
    return Plan(watch_s=float(parameters["seconds"]))


_PLANS: dict[str, Callable[[Mapping[str, Value], Here], Plan]] = {
    "restart_service": _restart_service,
    "clear_print_queue": _clear_print_queue,
    "reboot": _reboot,
    "diagnostics": _diagnostics,
    "watch": _watch,
}


def _program(name: str, where: Here) -> str:
    found = shutil.which(name, path=where.search)
    if found is None:
        raise CommandFailed("no_such_program")
    return found
