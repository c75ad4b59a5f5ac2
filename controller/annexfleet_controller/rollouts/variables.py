"""The variables that a playbook takes, and whether what somebody gives fits them.  Thinks only.

They are described where Ansible itself looks: in the role's `meta/argument_specs.yml`.  Values are data wherever they
come from: that one reads like a template makes it none (`written.py`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from annexfleet_controller.errors import VariableWrong
from annexfleet_controller.rollouts.masking import SHORTEST_SECRET

TYPES = ("str", "bool", "int", "float", "list", "dict", "path", "raw", "json", "bytes", "bits")
MAX_BYTES = 48 * 1024
"""Of all variables as JSON: they travel in a request of 64 KiB."""
_DEEPEST = 8
_YES = frozenset({"true", "yes", "on", "1", "y", "t"})
_NO = frozenset({"false", "no", "off", "0", "n", "f"})
REASONS = (
    "unknown", "missing", "wrong_type", "not_a_choice", "wrong_form", "too_big", "is_secret", "too_short",
)  # fmt: skip


class Variable(Struct, frozen=True, kw_only=True):
    name: str
    type: str = "str"
    """One of TYPES."""
    elements: str = ""
    """Of a list: what is in it."""
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    secret: bool = False
    """`no_log`, of itself or of something within it: never shown, kept only in a file while the run lasts."""
    description: str = ""
    """English, as the role's author wrote it."""
    options: tuple["Variable", ...] = ()
    """Of a dict, or of a list of dicts."""


def specified(options: object) -> tuple[Variable, ...]:
    """The variables of `argument_specs.main.options`; what is not understood is left out."""
    if not isinstance(options, Mapping):
        return ()
    return tuple(_variable(name, spec) for name, spec in options.items() if isinstance(name, str))


def checked(variables: Sequence[Variable], given: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """All that was given, secrets too, each of its type.  Defaults are the role's own affair.

    Raises VariableWrong: `field` names the variable, `reason` is one of REASONS.
    """
    known = {variable.name: variable for variable in variables}
    for name in given:
        if name not in known:
            raise _wrong(name, "unknown")
        if known[name].secret:
            raise _wrong(name, "is_secret")
    for name, value in secrets.items():
        if name not in known or name in given:
            raise _wrong(name, "unknown")
        _demand_length(name, value)
    found = {}
    for name, value in {**given, **secrets}.items():
        found[name] = _value(known[name], name, value)
    for variable in variables:
        if variable.required and variable.name not in found:
            raise _wrong(variable.name, "missing")
    if len(json.dumps(found)) > MAX_BYTES:
        raise _wrong(max(found, key=lambda name: len(json.dumps(found[name]))), "too_big")
    return found


def from_text(variable: Variable, text: str) -> Any:
    """What somebody typed as a value of a variable: lists and dicts as JSON, a list also with commas.

    Raises VariableWrong.
    """
    if variable.type in {"list", "dict", "raw"}:
        try:
            return json.loads(text)
        except ValueError:
            if variable.type == "raw":
                return text
            if variable.type == "dict" or text.lstrip().startswith("["):
                raise _wrong(variable.name, "wrong_form") from None
            return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _variable(name: str, spec: object) -> Variable:
    spec = spec if isinstance(spec, Mapping) else {}
    type_ = spec.get("type", "str")
    description = spec.get("description", "")
    choices = spec.get("choices")
    options = specified(spec.get("options"))
    return Variable(
        name=name, type=type_ if type_ in TYPES else "raw", elements=str(spec.get("elements") or ""),
        required=spec.get("required") is True, default=spec.get("default"),
        choices=tuple(choices) if isinstance(choices, list) else (),
        secret=spec.get("no_log") is True or any(option.secret for option in options),
        description=" ".join(map(str, description)) if isinstance(description, list) else str(description),
        options=options,
    )  # fmt: skip


def _wrong(name: str, reason: str) -> VariableWrong:
    shown = "".join(letter for letter in name if letter.isprintable())[:100]
    return VariableWrong(f"variable {shown}: {reason.replace('_', ' ')}", field=shown, reason=reason)


def _demand_length(name: str, value: Any) -> None:
    """What is too short to be masked is no secret."""
    if isinstance(value, Mapping):
        return  # what of it is secret, the role knows; the long texts in it are masked
    if isinstance(value, str | int | float) and len(str(value)) < SHORTEST_SECRET:
        raise _wrong(name, "too_short")


def _value(variable: Variable, place: str, value: Any, *, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise _wrong(place, "too_big")
    value = _typed(variable.type, place, value)
    if variable.type == "list":
        items = Variable(name=variable.name, type=variable.elements or "raw", options=variable.options)
        value = [_value(items, f"{place}[{number}]", item, depth=depth + 1) for number, item in enumerate(value)]
    elif variable.type == "dict" and variable.options:
        value = _fields(variable, place, value, depth=depth)
    _demand_form(place, value, depth=depth)
    if variable.choices:
        wanted = value if isinstance(value, list) else [value]
        if any(item not in variable.choices for item in wanted):
            raise _wrong(place, "not_a_choice")
    return value


def _fields(variable: Variable, place: str, value: Mapping[str, Any], *, depth: int) -> dict[str, Any]:
    known = {option.name: option for option in variable.options}
    found = {}
    for name, item in value.items():
        if name not in known:
            raise _wrong(f"{place}.{name}", "unknown")
        found[name] = _value(known[name], f"{place}.{name}", item, depth=depth + 1)
    for option in variable.options:
        if option.required and option.name not in found:
            raise _wrong(f"{place}.{option.name}", "missing")
    return found


def _typed(type_: str, place: str, value: Any) -> Any:
    """The value as its type has it.  Text will do for numbers and truths: forms and command lines know nothing else."""
    if type_ in {"raw", "json"}:
        return value
    if type_ in {"str", "path", "bytes", "bits"}:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _wrong(place, "wrong_type")
        return str(value)
    if type_ == "list" and isinstance(value, list | tuple):
        return list(value)
    if type_ == "dict" and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return dict(value)
    if type_ == "bool":
        return _truth(place, value)
    if type_ in {"int", "float"}:
        return _number(type_, place, value)
    raise _wrong(place, "wrong_type")


def _truth(place: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _YES or word in _NO:
        return word in _YES
    raise _wrong(place, "wrong_type")


def _number(type_: str, place: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(place, "wrong_type")
    try:
        number = int(value) if type_ == "int" else float(value)
    except (ValueError, OverflowError):
        raise _wrong(place, "wrong_type") from None
    if type_ == "int" and isinstance(value, float) and value != number:
        raise _wrong(place, "wrong_type")
    if not -(2**63) <= number < 2**63:  # not a number fails this, too
        raise _wrong(place, "wrong_form")
    return number


def _demand_form(place: str, value: Any, *, depth: int) -> None:
    """Text must be such as any file and any database takes."""
    if depth > _DEEPEST:
        raise _wrong(place, "too_big")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _wrong(place, "wrong_form")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _demand_form(place, key, depth=depth)
            _demand_form(f"{place}.{key}", item, depth=depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _demand_form(f"{place}[{number}]", item, depth=depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _wrong(place, "wrong_form")
