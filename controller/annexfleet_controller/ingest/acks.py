"""When a device hears that its items are committed.  Thinks only.

At once where the device waits for it: after a hello, a change, a gap, a repeat or a backlog.  Else every third beat or
every quarter of an hour, because an acknowledgement a beat would cost a quiet device a third of its bytes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from annexfleet_controller.ingest.settle import Due

AFTER_ITEMS = 3
AFTER_S = 900.0
_LOOK_EVERY_S = 30.0


class Said(NamedTuple):
    """An acknowledgement to send."""

    device_id: str
    install_id: str
    upto: int


class _Owed(Struct):
    install_id: str
    upto: int
    items: int
    since: float


class Acks:
    """Gathers what devices are owed; a moment is seconds of a clock that never steps."""

    def __init__(self) -> None:
        self._owed: dict[str, _Owed] = {}
        self._looked_at = 0.0

    def note(self, due: Iterable[Due], now: float) -> list[Said]:
        """Take in what a batch came to; gives what has to be said now."""
        said = []
        for device_id, install_id, upto, urgent, items in due:
            owed = self._owed.get(device_id)
            if owed is None or owed.install_id != install_id:
                owed = self._owed[device_id] = _Owed(install_id, upto, 0, now)
            owed.upto = upto
            owed.items += items
            if urgent or owed.items >= AFTER_ITEMS:
                del self._owed[device_id]
                said.append(Said(device_id, install_id, upto))
        return said

    def overdue(self, now: float) -> list[Said]:
        """What was owed for so long that it has to be said now."""
        if now - self._looked_at < _LOOK_EVERY_S:
            return []
        self._looked_at = now
        late = [device_id for device_id, owed in self._owed.items() if now - owed.since >= AFTER_S]
        return [
            Said(device_id, owed.install_id, owed.upto) for device_id in late for owed in [self._owed.pop(device_id)]
        ]
