"""An annex as one walks through it: rooms and counters with what stands there."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.store.fleet import DeviceRow, SeenPrinter
from annexfleet_controller.things import Thing
from annexfleet_controller.web.condition import Condition


class PlacedDevice(Struct, frozen=True):
    """A device where it stands, with the worst of what is open about it."""

    row: DeviceRow
    presence: state.Presence
    trouble: Condition | None

    @property
    def is_marked(self) -> bool:
        """Whether what is open says more than that it can be heard."""
        return self.presence == "online" and self.trouble is not None and self.trouble.state in _WRONG


class PlacedPrinter(Struct, frozen=True):
    seen: SeenPrinter
    unknown_since: datetime | None
    trouble: Condition | None

    @property
    def is_marked(self) -> bool:
        """Whether what is open says more than what the printer itself tells."""
        return self.trouble is not None and self.trouble.state in _WRONG and not self.seen.printer.in_trouble


class Room(Struct, frozen=True):
    """A room or counter; an empty name for what nobody has placed yet."""

    name: str
    devices: list[PlacedDevice]
    printers: list[PlacedPrinter]

    @property
    def is_troubled(self) -> bool:
        return any(one.presence == "silent" or _blocks(one.trouble) for one in self.devices) or any(
            one.unknown_since is None and (one.seen.printer.blocked or _blocks(one.trouble)) for one in self.printers
        )


_WRONG = ("blocked", "degraded")


def _blocks(trouble: Condition | None) -> bool:
    return trouble is not None and trouble.state == "blocked"


def rooms(
    devices: Sequence[tuple[DeviceRow, state.Presence]],
    printers: Sequence[SeenPrinter],
    *,
    of_devices: Mapping[int, str],
    of_printers: Mapping[str, str],
    troubles: Mapping[Thing, Condition],
    now: datetime,
) -> list[Room]:
    """Counter 2 before counter 10; what has no place comes last.

    A printer without a place of its own that hangs on a device (its address names no network) stands where that does.
    """
    found: dict[str, Room] = {}

    def room(name: str) -> Room:
        return found.setdefault(name, Room(name, [], []))

    for row, presence in devices:
        placed = PlacedDevice(row, presence, troubles.get(Thing("device", row.id)))
        room(of_devices.get(row.number, "")).devices.append(placed)
    for seen in printers:
        place = of_printers.get(seen.id, "")
        if not place and ":" not in seen.printer.address and seen.seen_by:
            place = of_devices.get(seen.seen_by[0].number, "")
        trouble = troubles.get(Thing("printer", seen.id))
        room(place).printers.append(PlacedPrinter(seen, seen.unknown_since(now), trouble))
    return sorted(found.values(), key=lambda one: (not one.name, natural(one.name)))


def natural(name: str) -> list[tuple[int, str]]:
    """A key by which 2 comes before 10."""
    parts = re.split(r"(\d{1,15})", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
