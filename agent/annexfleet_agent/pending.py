"""Items as they wait in the outbox, and numbers as ranges."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from annexfleet_agent.protocol import messages, wire

UNNUMBERED = 1
"""What items bear as `seq` until the outbox gives them their number."""

ROW_OVERHEAD_BYTES = 48
_STAMP_BYTES = 80
"""`seq`, `at` and `earlier_boot` with their names take no more."""


class Pending(NamedTuple):
    """An item that waits."""

    seq: int
    kind: str
    subject: str
    """Changes: the collector.  Else empty."""
    at: float
    body: bytes
    """JSON of the message without `seq`, `at` and `earlier_boot`."""
    earlier_boot: bool = False
    """It was put in before the device last started."""

    @property
    def fits(self) -> bool:
        """Whether a controller would inflate it; what is too long packed is seen by its payload."""
        return len(self.body) + _STAMP_BYTES <= wire.max_inflated_bytes(self.kind)

    def payload(self) -> bytes:
        """As it goes on the wire."""
        fields: dict[str, float | bool] = {"seq": self.seq, "at": round(self.at, 3)}
        if self.earlier_boot:
            fields["earlier_boot"] = True
        stamp = msgspec.json.encode(fields)
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


def gaps_of(number: int, gone: Sequence[Pending], earlier: Iterable[Pending], *, at: float) -> list[Pending]:
    """Gaps for these items, numbered from here on; they speak for the earlier Gaps, too, which may then go.

    They are as few as the protocol's bound on ranges lets them be.
    """
    ranges = [(row.seq, row.seq) for row in gone]
    lost: dict[str, int] = {}
    for row in gone:
        lost[row.kind] = lost.get(row.kind, 0) + 1
    for gap in earlier:
        said = msgspec.json.decode(gap.body)
        ranges += [*map(tuple, said["ranges"]), (gap.seq, gap.seq)]
        for kind, count in said.get("lost", {}).items():
            lost[kind] = lost.get(kind, 0) + count
    ranges = joined(ranges)
    most = messages.MAX_GAP_RANGES
    return [
        row_of(
            number + of,
            messages.Gap(
                seq=UNNUMBERED, at=at, ranges=ranges[of * most : (of + 1) * most], lost=lost if of == 0 else {}
            ),
        )
        for of in range(-(-len(ranges) // most))
    ]


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (both ends included) in order, neighbours made one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
