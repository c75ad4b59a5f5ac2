"""The rules that annexfleet brings, from `default-rules.toml` beside this file."""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.rules import check
from annexfleet_controller.rules.model import Rule

_CONDITIONS = ("raise_when", "clear_when", "warning_when", "critical_when")
_GROUPS = ("all", "any", "not")


@cache
def default_rules() -> dict[str, Rule]:
    """Every default rule by its id, in the file's order."""
    return load(files(__package__).joinpath("default-rules.toml").read_bytes())


def load(toml: bytes) -> dict[str, Rule]:
    """Rules by id from TOML as `default-rules.toml` spells it.

    Raises SettingsWrong where the file is not such TOML, and RuleWrong where a rule cannot be so.
    """
    try:
        tables = tomllib.loads(toml.decode())["rule"]
        rules = [msgspec.convert(_spelled_out(table), type=Rule) for table in tables]
    except (ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise SettingsWrong(f"rules: {error}") from error
    for rule in rules:
        check.check(rule)
    found = {rule.id: rule for rule in rules}
    if len(found) != len(rules):
        raise SettingsWrong("rules: an id stands there twice")
    return found


def _spelled_out(table: dict[str, object]) -> dict[str, object]:
    full = {key: _condition(value) if key in _CONDITIONS else value for key, value in table.items()}
    causes = full.get("other_causes", {})
    if not isinstance(causes, dict):
        raise TypeError("other_causes is no table")
    full["other_causes"] = {cause: _condition(condition) for cause, condition in causes.items()}
    return full


def _condition(short: object) -> dict[str, object]:
    """`{metric = ...}`, `{all = [...]}`, `{any = [...]}` or `{not = ...}`, as the model names them."""
    if not isinstance(short, dict):
        raise TypeError(f"no condition: {short!r}")
    group = next((name for name in _GROUPS if name in short), None)
    if group is None:
        return {"type": "is", **short}
    rest = {key: value for key, value in short.items() if key != group}
    of = short[group]
    return {"type": group, "of": _condition(of) if group == "not" else [_condition(member) for member in of], **rest}
