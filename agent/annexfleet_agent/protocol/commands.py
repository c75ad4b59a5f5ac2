"""The catalogue of commands that a technician may send to a device, with typed parameters.

Each is one act, done once.  There is no free shell here: what is not in this table cannot be asked for.  What a command
may touch on a device (which services, say) its `agent.toml` narrows further.
"""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Value = str | int | float | bool
ParameterKind = Literal["unit", "printer", "seconds", "choice"]

_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,99}")
_PRINTER = re.compile(r"[^\s/#\x00-\x1f\x7f-\x9f]{1,127}")
"""As CUPS names queues: no space, slash or number sign."""


class Parameter(Struct, frozen=True, kw_only=True):
    name: str
    kind: ParameterKind
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = 0
    """Of `seconds`."""
    default: Value | None = None
    """None: it must be given."""


class CommandKind(Struct, frozen=True, kw_only=True):
    name: str
    parameters: tuple[Parameter, ...] = ()
    disturbs: bool = False
    """Whether somebody at the counter notices: asked twice, and told so."""
    timeout_s: float = 60.0
    idempotent: bool = True
    """Whether doing it twice does no harm: then an unknown outcome may simply be tried again."""


COMMANDS: dict[str, CommandKind] = {
    command.name: command
    for command in (
        CommandKind(name="restart_service", parameters=(Parameter(name="unit", kind="unit"),), disturbs=True),
        CommandKind(name="clear_print_queue", parameters=(Parameter(name="printer", kind="printer"),), disturbs=True),
        CommandKind(
            name="reboot",
            parameters=(Parameter(name="delay_s", kind="seconds", least=0, most=3600, default=60),),
            disturbs=True,
            idempotent=False,
        ),
        CommandKind(name="diagnostics", timeout_s=300.0),
        CommandKind(
            name="watch", parameters=(Parameter(name="seconds", kind="seconds", least=0, most=900, default=300),)
        ),
    )
}


class ParameterWrong(ValueError):
    """`name` says which; `reason`: unknown_command, unknown, missing, wrong_type, wrong_form or out_of_range."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def checked(command: str, parameters: Mapping[str, Value]) -> dict[str, Value]:
    """The parameters with defaults filled in, each of its type and in its range.

    Both sides call this: the controller before it keeps a command, the device before it acts.  Raises ParameterWrong.
    """
    kind = COMMANDS.get(command)
    if kind is None:
        raise ParameterWrong("command", "unknown_command")
    known = {parameter.name: parameter for parameter in kind.parameters}
    for name in parameters:
        if name not in known:
            raise ParameterWrong(str(name)[:40], "unknown")
    found: dict[str, Value] = {}
    for name, parameter in known.items():
        value = parameters.get(name, parameter.default)
        if value is None:
            raise ParameterWrong(name, "missing")
        found[name] = _checked(parameter, value)
    return found


def _checked(parameter: Parameter, value: Value) -> Value:
    name = parameter.name
    if parameter.kind == "seconds":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParameterWrong(name, "wrong_type")
        if not parameter.least <= value <= parameter.most:  # nor NaN
            raise ParameterWrong(name, "out_of_range")
        return value
    if not isinstance(value, str):
        raise ParameterWrong(name, "wrong_type")
    if parameter.kind == "choice":
        good = value in parameter.choices
    else:
        form = _UNIT if parameter.kind == "unit" else _PRINTER
        # Nothing that a program takes for an option, and nothing that a page shows as something else.
        good = form.fullmatch(value) is not None and value[0] != "-" and value.isprintable()
    if not good:
        raise ParameterWrong(name, "wrong_form")
    return value
