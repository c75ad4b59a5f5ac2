"""A playbook's variables as fields of a form, and back from what was typed in.

A list of texts is a field with a line for each; a list of things with parts is rows, of which empty ones do not count;
what is deeper than that is typed as JSON.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from annexfleet_controller.errors import VariableWrong
from annexfleet_controller.i18n.catalogues import Language
from annexfleet_controller.rollouts.variables import Variable

PREFIX = "v."
MORE_ROWS = 2
"""Empty ones below those that are filled in."""
ROWS_AT_MOST = 100
_MARKUP = re.compile(r"\b[A-Z]\(([^)]*)\)")
_FLAT = frozenset({"str", "int", "float", "path", "bytes", "bits"})

_LONG = frozenset({"pem", "content", "text"})
"""What a variable is called by whose value has several lines."""

Kind = Literal["text", "long", "number", "truth", "choice", "lines", "rows", "json"]
Typed = Mapping[str, str]
"""Texts by the name of their field."""


class Field(Struct, frozen=True, kw_only=True):
    """One variable, or one part of a row."""

    name: str
    """Of the field in the form."""
    kind: Kind
    label: str
    help: str
    """English, of a playbook that this installation has added; empty where there are words in the reader's language."""
    value: str = ""
    hint: str = ""
    """What counts where nothing is typed."""
    choices: Sequence[str] = ()
    required: bool = False
    secret: bool = False
    wrong: str = ""
    """A code that has words."""
    rows: Sequence[Sequence["Field"]] = ()
    seldom: bool = False
    """Whether it can be left alone nearly always."""


def fields(
    variables: Sequence[Variable], typed: Typed, language: Language, *, wrong: VariableWrong | None = None
) -> list[Field]:
    """A field for each variable, with what was typed."""
    return [_field(variable, PREFIX + variable.name, typed, language, wrong) for variable in variables]


def typed_of(variables: Sequence[Variable], values: Mapping[str, Any]) -> dict[str, str]:
    """How these values, and for the rest the defaults, stand in the form before anything is typed."""
    found: dict[str, str] = {}
    for variable in variables:
        value = values.get(variable.name, variable.default)
        _write(found, variable, PREFIX + variable.name, value)
    return found


def given(variables: Sequence[Variable], typed: Typed) -> dict[str, Any]:
    """The values of a form; those that are as the role has them anyway are left out.

    Raises VariableWrong for what is no JSON; whether the rest fits is looked at where the run is begun.
    """
    found = {}
    for variable in variables:
        value = _value(variable, PREFIX + variable.name, typed)
        if value is None or (not variable.required and value == _comparable(variable)):
            continue
        found[variable.name] = value
    return found


def without(typed: Typed, variables: Sequence[Variable]) -> dict[str, str]:
    """What was typed, but for these variables: a secret is never shown again."""
    names = {PREFIX + variable.name for variable in variables}
    return {name: text for name, text in typed.items() if ".".join(name.split(".")[:2]) not in names}


# -- values into texts -----------------------------------------------------------------------------------------------


def _write(found: dict[str, str], variable: Variable, name: str, value: Any) -> None:
    if _kind(variable) == "rows":
        rows = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        for number, row in enumerate(rows[:ROWS_AT_MOST]):
            for option in variable.options:
                part = row.get(option.name) if isinstance(row, dict) else None
                if part is not None:
                    found[f"{name}.{number}.{option.name}"] = _text(option, part)
    elif value is not None:
        found[name] = _text(variable, value)


def _text(variable: Variable, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if _kind(variable) == "lines" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
    return str(value)


def _comparable(variable: Variable) -> Any:
    """The default as the form would give it back, or something that no form gives."""
    default = variable.default
    if default is None:
        return "" if variable.type in _FLAT and not variable.choices else [] if variable.type == "list" else None
    if isinstance(default, bool | list | dict):
        return default
    return str(default)


# -- texts into fields -----------------------------------------------------------------------------------------------


def _kind(variable: Variable, *, deep: bool = False) -> Kind:
    if variable.type == "bool":
        return "truth"
    if variable.choices and variable.type != "list":
        return "choice"
    if variable.type == "list" and variable.elements in (_FLAT | {""}):
        return "lines"
    if variable.options and not deep and variable.type in {"list", "dict"}:
        return "rows"
    return _plain_kind(variable)


def _plain_kind(variable: Variable) -> Kind:
    if variable.type in {"int", "float"}:
        return "number"
    if variable.type not in _FLAT:
        return "json"
    return "long" if variable.name.rpartition("_")[2] in _LONG else "text"


def _field(
    variable: Variable,
    name: str,
    typed: Typed,
    language: Language,
    wrong: VariableWrong | None,
    *,
    of: str = "",
) -> Field:
    word = f"{of}.{variable.name}" if of else variable.name
    has_words = language.knows("variable", word)
    kind = _kind(variable, deep=bool(of))
    place = str(wrong.facts.get("field", "")) if wrong is not None else ""
    mine = name.removeprefix(PREFIX)
    return Field(
        name=name,
        kind=kind,
        label=language.name("variable", word) if has_words else variable.name,
        help="" if has_words else _MARKUP.sub(r"\1", variable.description),
        value=typed.get(name, ""),
        hint="" if variable.default is None or kind not in {"text", "number"} else str(variable.default),
        choices=[str(choice) for choice in variable.choices],
        required=variable.required,
        secret=variable.secret,
        wrong=str(wrong.facts.get("reason", "")) if wrong is not None and _is_about(place, mine) else "",
        rows=_rows(variable, name, typed, language, wrong) if kind == "rows" else (),
        seldom=not variable.required and not of and (variable.name.endswith("_s") or kind == "json"),
    )


def _is_about(place: str, name: str) -> bool:
    """Whether an error's place, such as `queues[1].name`, is this field, or within it where it has no fields below."""
    dotted = re.sub(r"\[(\d+)\]", r".\1", place)
    return dotted == name


def _rows(
    variable: Variable, name: str, typed: Typed, language: Language, wrong: VariableWrong | None
) -> list[list[Field]]:
    count = 1 if variable.type == "dict" else min(ROWS_AT_MOST, len(_numbers(name, typed)) + MORE_ROWS)
    return [
        [
            _field(option, f"{name}.{number}.{option.name}", typed, language, wrong, of=variable.name)
            for option in variable.options
        ]
        for number in range(count)
    ]


# -- texts into values -----------------------------------------------------------------------------------------------


def _numbers(name: str, typed: Typed) -> list[int]:
    """The rows in which something was typed, in order."""
    pattern = re.compile(re.escape(name) + r"\.(\d{1,3})\.\w+")
    found = {int(match[1]) for key, text in typed.items() if (match := pattern.fullmatch(key)) and text.strip()}
    return sorted(number for number in found if number < ROWS_AT_MOST)


def _value(variable: Variable, name: str, typed: Typed) -> Any:
    """None where nothing was typed."""
    kind = _kind(variable)
    if kind == "truth":
        return typed.get(name) == "true"
    if kind == "rows":
        rows = [_row(variable, f"{name}.{number}", typed) for number in _numbers(name, typed)]
        if variable.type == "dict":
            return rows[0] if rows else None
        return rows
    return _typed(variable, kind, name, typed)


def _row(variable: Variable, name: str, typed: Typed) -> dict[str, Any]:
    found = {}
    for option in variable.options:
        value = _typed(option, _kind(option, deep=True), f"{name}.{option.name}", typed)
        if value not in (None, "", []):
            found[option.name] = value
    return found


def _typed(variable: Variable, kind: Kind, name: str, typed: Typed) -> Any:
    text = typed.get(name, "").replace("\r\n", "\n")
    if kind == "lines":
        return [line.strip() for line in text.split("\n") if line.strip()]
    if kind == "json":
        return _json(variable, text, name)
    if kind == "long":
        return text
    return text.strip() if kind == "text" else text.strip() or None


def _json(variable: Variable, text: str, name: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        place = name.removeprefix(PREFIX)
        raise VariableWrong(f"{place} is no JSON", field=place, reason="wrong_form") from None
