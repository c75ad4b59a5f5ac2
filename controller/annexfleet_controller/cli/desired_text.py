"""A layer's document from a text that somebody wrote, and what differs as lines for a console."""

import json
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from annexfleet_controller.errors import Invalid

if TYPE_CHECKING:
    from annexfleet_controller.desired.compare import EntryChange
    from annexfleet_controller.desired.drift import Finding

TAKEN = "taken_away"
"""In TOML, which knows no null: a list of entries such as `packages.nano` that this layer takes away."""
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def read(text: str, *, is_toml: bool) -> object:
    """What `desired.document.parse` takes.  A text without a file's ending is JSON if it begins like it.

    Raises Invalid, which says in which line.
    """
    try:
        if not is_toml and text.lstrip()[:1] in {"{", "["}:
            return json.loads(text)
        return _with_taken(tomllib.loads(text))
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, RecursionError) as wrong:
        raise Invalid(f"the document cannot be read: {wrong}", field="document", reason="not_an_object") from None


def _with_taken(document: dict[str, Any]) -> dict[str, Any]:
    taken = document.pop(TAKEN, [])
    if not isinstance(taken, list):
        raise Invalid(f"{TAKEN}: not a list", field=TAKEN)
    for one in taken:
        section, dot, name = str(one).partition(".")
        of = document.setdefault(section, {})
        if not dot or not isinstance(of, dict) or name in of:
            raise Invalid(f"{TAKEN}: {one!r} is no entry, or decided besides", field=TAKEN)
        of[name] = None
    return document


def tell_changes(changes: "Sequence[EntryChange]") -> None:
    for one in changes:
        if one.fields:
            print(f"~ {one.key.text}")
            for of in one.fields:
                print(f"    {of.name}: {of.before or '-'} -> {of.after or '-'}")
        else:
            values = " -> ".join(value for value in (one.before, one.after) if value is not None)
            print(f"{_SIGNS[one.kind]} {one.key.text}: {values}")


def finding(one: "Finding") -> str:
    """One entry of a device, as a line; what the device said can do nothing to the terminal."""
    from annexfleet_controller.rollouts.masking import plain

    why = f": {one.reason.replace('_', ' ')}" if one.reason else ""
    reported = "" if one.reported is None else f", reported {plain(one.reported)}"
    return f"{one.standing:8} {one.key.text} wanted {one.wanted or 'nothing'}{reported}{why}"
