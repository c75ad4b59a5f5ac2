"""What differs between two documents, entry by entry."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from annexfleet_controller.desired.document import Document, Key, PortalWish, QueueWish, Value, written_value

ChangeKind = Literal["added", "removed", "changed"]


class FieldChange(Struct, frozen=True):
    """One field of a portal or queue; of anything else `name` is empty."""

    name: str
    before: str
    after: str


class EntryChange(Struct, frozen=True, kw_only=True):
    """One entry.  `before` and `after` are None where there was none; a value that takes away is `TAKEN_AWAY`."""

    key: Key
    kind: ChangeKind
    before: str | None
    after: str | None
    fields: tuple[FieldChange, ...] = ()
    """Where both are portals or queues: what differs."""


TAKEN_AWAY = "null"


def compare(before: Document, after: Document) -> tuple[EntryChange, ...]:
    """What has to be done to `before` to come to `after`, by entry; empty where both decide the same."""
    return tuple(
        _change(key, before.entries, after.entries)
        for key in sorted(before.entries.keys() | after.entries.keys())
        if key not in before.entries
        or key not in after.entries
        or before.entries[key] != after.entries[key]
    )  # fmt: skip


def shown(value: Value | None) -> str:
    """A value as text, without its field names where it has one part only."""
    if value is None:
        return TAKEN_AWAY
    if isinstance(value, PortalWish | QueueWish):
        return "; ".join(f"{name}={one}" for name, one in fields_of(value).items())
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)


def fields_of(value: PortalWish | QueueWish) -> dict[str, str]:
    """The fields that are not as usual, as text."""
    found: dict[str, str] = {}
    for name, one in written_value(value).items():
        if isinstance(one, Mapping):
            found[name] = ", ".join(f"{option}={of}" for option, of in one.items())
        elif isinstance(one, bool):
            found[name] = "yes" if one else "no"
        else:
            found[name] = str(one)
    return found


def _change(key: Key, before: Mapping[Key, Value | None], after: Mapping[Key, Value | None]) -> EntryChange:
    if key not in before:
        return EntryChange(key=key, kind="added", before=None, after=shown(after[key]))
    if key not in after:
        return EntryChange(key=key, kind="removed", before=shown(before[key]), after=None)
    old, new = before[key], after[key]
    fields: tuple[FieldChange, ...] = ()
    if isinstance(old, PortalWish | QueueWish) and type(old) is type(new):
        assert isinstance(new, PortalWish | QueueWish)
        had, has = fields_of(old), fields_of(new)
        fields = tuple(
            FieldChange(name, had.get(name, ""), has.get(name, ""))
            for name in dict.fromkeys([*had, *has])
            if had.get(name, "") != has.get(name, "")
        )
    return EntryChange(key=key, kind="changed", before=shown(old), after=shown(new), fields=fields)
