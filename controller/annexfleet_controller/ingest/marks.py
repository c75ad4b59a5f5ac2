"""How far an installation's items are committed without a hole, and which are committed beyond.  Thinks only.

An acknowledgement may name `upto` and nothing above it: naming the highest number seen would lose what is missing
below.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from annexfleet_agent.protocol.messages import MAX_GAP_RANGES
from annexfleet_controller.store.marks import Ranges

MAX_RANGES = 1000
"""More holes are not kept.  An item that would open one more is refused; it comes again when others have closed."""
MAX_RANGES_WITH_GAP = MAX_RANGES + MAX_GAP_RANGES + 1
"""A gap may open more, for it speaks of items that never come; or else the holes below would never close."""


class Mark(NamedTuple):
    """Everything up to `upto`, and the ranges `ahead`, which rise, never touch each other nor `upto`."""

    upto: int = 0
    ahead: Ranges = ()


def advance(mark: Mark, seq: int) -> tuple[Mark, bool]:
    """The mark with this item, and whether the item is fresh: neither had before nor refused for too many holes.

    An item that opens no hole is never refused, however many there are.
    """
    upto, ahead = mark
    if not ahead and seq == upto + 1:  # nearly always
        return Mark(seq), True
    if covers(mark, seq):
        return mark, False
    moved = fill(mark, seq, seq)
    return (mark, False) if len(moved.ahead) > max(MAX_RANGES, len(ahead)) else (moved, True)


def advance_with_gap(mark: Mark, seq: int, ranges: Iterable[tuple[int, int]]) -> tuple[Mark, bool]:
    """The same for the item that tells a gap: all its ranges count as had, or it is refused as a whole."""
    if covers(mark, seq):
        return mark, False
    moved = fill_all(mark, [(seq, seq), *ranges])
    return (mark, False) if len(moved.ahead) > max(MAX_RANGES_WITH_GAP, len(mark.ahead)) else (moved, True)


def covers(mark: Mark, seq: int) -> bool:
    """Whether this item was had before."""
    if seq <= mark.upto:
        return True
    place = bisect_left(mark.ahead, seq, key=lambda of: of[1])
    return place < len(mark.ahead) and mark.ahead[place][0] <= seq


def fill(mark: Mark, first: int, last: int) -> Mark:
    """The mark with all items from `first` to `last`, both included; nothing if `last` is before `first`."""
    if last < first:
        return mark
    upto, ahead = mark
    # What overlaps or touches the new range melts into it.
    left = bisect_left(ahead, first - 1, key=lambda of: of[1])
    right = bisect_left(ahead, last + 2, key=lambda of: of[0])
    if left < right:
        first, last = min(first, ahead[left][0]), max(last, ahead[right - 1][1])
    if first <= upto + 1:
        return Mark(max(upto, last), ahead[right:])
    return Mark(upto, (*ahead[:left], (first, last), *ahead[right:]))


def fill_all(mark: Mark, ranges: Iterable[tuple[int, int]]) -> Mark:
    """The mark with all of these ranges, in whichever order, in one pass; one whose end is before its start is none."""
    upto = mark.upto
    merged: list[tuple[int, int]] = []
    for first, last in sorted([*mark.ahead, *(of for of in ranges if of[0] <= of[1])]):
        if first <= upto + 1:
            upto = max(upto, last)
        elif merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return Mark(upto, tuple(merged))
