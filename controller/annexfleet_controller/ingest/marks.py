"""How far an installation's items are committed without a hole, and which are committed beyond.  Thinks only.

An acknowledgement may name `upto` and nothing above it: naming the highest number seen would lose what is missing
below.
"""

from bisect import bisect_left
from typing import NamedTuple

from annexfleet_controller.store.marks import Ranges

MAX_RANGES = 1000
"""More holes are not kept.  An item that would open one more is refused; it comes again when others have closed."""


class Mark(NamedTuple):
    """Everything up to `upto`, and the ranges `ahead`, which rise, never touch each other nor `upto`."""

    upto: int = 0
    ahead: Ranges = ()


def advance(mark: Mark, seq: int) -> tuple[Mark, bool]:
    """The mark with this item, and whether the item is fresh: neither had before nor refused for too many holes."""
    upto, ahead = mark
    if not ahead and seq == upto + 1:  # nearly always
        return Mark(seq), True
    if covers(mark, seq):
        return mark, False
    moved = fill(mark, seq, seq)
    return (mark, False) if len(moved.ahead) > MAX_RANGES else (moved, True)


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
