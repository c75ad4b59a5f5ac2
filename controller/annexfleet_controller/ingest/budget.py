"""How much one device may say, so that none takes the place of the others.  Thinks only.

What is over the budget is dropped before it is decoded, counted and not acknowledged: an agent keeps it and sends it
again.  The short budget is about the processor and lets a month's backlog pass in minutes; the long one is about the
disk.
"""

from typing import NamedTuple

from msgspec import Struct


class Allowance(NamedTuple):
    """What a device may say at once, and how fast that comes back."""

    messages: float
    messages_per_second: float
    bytes: float
    """Of JSON, for that is what decoding and memory cost."""
    bytes_per_second: float


SHORT = Allowance(5000, 200, 8e6, 1e6)
"""5,000 items are more than two weeks of beats and changes."""
LONG = Allowance(150_000, 2, 128e6, 2048)
"""A whole outbox of 50 MB fits, and then 170 MB a day.  A quiet device says 1,000 messages and 1 MB a day."""

_SAY_AGAIN_S = 60.0


class _Left(Struct):
    at: float
    short_messages: float = SHORT.messages
    short_bytes: float = SHORT.bytes
    long_messages: float = LONG.messages
    long_bytes: float = LONG.bytes
    said_at: float | None = None
    dropped: int = 0


class Budgets:
    """What each device has left; moments are seconds of a clock that never steps."""

    def __init__(self) -> None:
        self._of: dict[str, _Left] = {}

    def admits(self, device_id: str, now: float) -> bool:
        """Whether one more message of this device is heard; it is paid for with `spend`."""
        left = self._of.get(device_id)
        if left is None:
            self._of[device_id] = _Left(now)
            return True
        if (passed := now - left.at) > 0.0:
            left.at = now
            left.short_messages = min(SHORT.messages, left.short_messages + passed * SHORT.messages_per_second)
            left.short_bytes = min(SHORT.bytes, left.short_bytes + passed * SHORT.bytes_per_second)
            left.long_messages = min(LONG.messages, left.long_messages + passed * LONG.messages_per_second)
            left.long_bytes = min(LONG.bytes, left.long_bytes + passed * LONG.bytes_per_second)
        # Bytes may be owed: how many they are is known only afterwards.
        if left.short_messages >= 1 and left.long_messages >= 1 and left.short_bytes > 0 and left.long_bytes > 0:
            return True
        left.dropped += 1
        return False

    def spend(self, device_id: str, bytes_: int) -> None:
        """A message of so many bytes of JSON was decoded."""
        left = self._of[device_id]
        left.short_messages -= 1
        left.long_messages -= 1
        left.short_bytes -= bytes_
        left.long_bytes -= bytes_

    def to_say(self, device_id: str, now: float) -> int:
        """How many messages of this device were dropped since that was last said; 0 if that was within a minute."""
        left = self._of[device_id]
        if left.said_at is not None and now - left.said_at < _SAY_AGAIN_S:
            return 0
        left.said_at = now
        dropped, left.dropped = left.dropped, 0
        return dropped
