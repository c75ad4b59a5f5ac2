"""An annex as one walks through it: rooms and counters with what stands there."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from annexfleet_controller import state
from annexfleet_controller.store.fleet import DeviceRow, SeenPrinter


class Room(Struct, frozen=True):
    """A room or counter; an empty name for what nobody has placed yet."""

    name: str
    devices: list[tuple[DeviceRow, state.Presence]]
    printers: list[SeenPrinter]

    @property
    def is_troubled(self) -> bool:
        return any(presence == "silent" for _, presence in self.devices) or any(
            p.printer.blocked for p in self.printers
        )


def rooms(
    devices: Sequence[tuple[DeviceRow, state.Presence]],
    printers: Sequence[SeenPrinter],
    *,
    of_devices: Mapping[int, str],
    of_printers: Mapping[str, str],
) -> list[Room]:
    """Counter 2 before counter 10; what has no place comes last.

    A printer without a place of its own that hangs on a device (its address names no network) stands where that does.
    """
    found: dict[str, Room] = {}

    def room(name: str) -> Room:
        return found.setdefault(name, Room(name, [], []))

    for pair in devices:
        room(of_devices.get(pair[0].number, "")).devices.append(pair)
    for seen in printers:
        place = of_printers.get(seen.id, "")
        if not place and ":" not in seen.printer.address and seen.seen_by:
            place = of_devices.get(seen.seen_by[0].number, "")
        room(place).printers.append(seen)
    return sorted(found.values(), key=lambda one: (not one.name, natural(one.name)))


def natural(name: str) -> list[tuple[int, str]]:
    """A key by which 2 comes before 10."""
    parts = re.split(r"(\d{1,15})", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
