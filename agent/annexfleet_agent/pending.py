"""Items as they wait in the outbox, and numbers as ranges."""

from typing import NamedTuple

import msgspec

from annexfleet_agent.protocol import messages, wire

UNNUMBERED = 1
"""What items bear as `seq` until the outbox gives them their number."""

ROW_OVERHEAD_BYTES = 48


class Pending(NamedTuple):
    """An item that waits."""

    seq: int
    kind: str
    subject: str
    """Changes: the collector.  Else empty."""
    at: float
    body: bytes
    """JSON of the message without `seq` and `at`."""

    def payload(self) -> bytes:
        """As it goes on the wire."""
        stamp = msgspec.json.encode({"seq": self.seq, "at": round(self.at, 3)})
        return wire.pack(stamp[:-1] + (b"," if len(self.body) > 2 else b"") + self.body[1:])


def row_of(seq: int, item: messages.Item) -> Pending:
    """An item as it is stored under this number."""
    fields = msgspec.to_builtins(item)
    at = fields.pop("at")
    del fields["seq"]
    subject = item.collector if isinstance(item, messages.Change) else ""
    return Pending(seq, wire.kind_of(item), subject, at, msgspec.json.encode(fields))


def size_of(row: Pending) -> int:
    """About how many bytes it takes in the file."""
    return len(row.body) + ROW_OVERHEAD_BYTES


def ranges_of(seqs: set[int]) -> list[tuple[int, int]]:
    """The numbers as ranges, both ends included."""
    return joined([(seq, seq) for seq in seqs])


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (both ends included) in order, neighbours made one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
