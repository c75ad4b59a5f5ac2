"""Which device of an annex asks a network printer, so that a printer is not asked by all of them.  Thinks only."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_HOST_AND_PORT = re.compile(r"[^\s/]+:\d{1,5}")
MOST_ADDRESSES = 200
"""In one device's settings (protocol.messages.DesiredSettings)."""


class Reach(NamedTuple):
    """A device that reaches a network printer."""

    device_number: int
    annex_id: str
    address: str
    """host:port"""
    connected: bool


def is_network_address(address: object) -> bool:
    """Whether a `printer_address` is one that several devices may reach; `usb` and `local` are not."""
    if not isinstance(address, str) or not _HOST_AND_PORT.fullmatch(address):
        return False
    host = address.rpartition(":")[0].strip("[]").lower()
    # The same words mean another printer on each device.
    return host not in ("localhost", "::1") and not host.startswith("127.")


def assign_probers(reaches: Iterable[Reach], told: Mapping[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    """For every device, the printers that another one asks.

    One connected device asks each printer of an annex: the one that does so already (`told` says which addresses a
    device was told to leave to others), else the one with the lowest number.  A device that is not connected is told to
    leave the printer alone too, so that there are not two when it comes back.  If none is connected, nobody is told
    anything new.
    """
    elsewhere: dict[int, set[str]] = {}
    sharing: dict[tuple[str, str], set[tuple[int, bool]]] = {}
    for number, annex_id, address, connected in reaches:
        elsewhere.setdefault(number, set())
        sharing.setdefault((annex_id, address), set()).add((number, connected))
    for (_, address), devices in sharing.items():
        ready = sorted(number for number, connected in devices if connected)
        asking = [number for number in ready if address not in told.get(number, frozenset())]
        for number, _connected in devices:
            left_alone = number != (asking or ready)[0] if ready else address in told.get(number, frozenset())
            if left_alone:
                elsewhere[number].add(address)
    return {number: frozenset(sorted(addresses)[:MOST_ADDRESSES]) for number, addresses in elsewhere.items()}
