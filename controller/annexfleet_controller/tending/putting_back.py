"""Whether an act may be taken back.  Thinks only."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct

FOR = timedelta(minutes=10)
"""So long an act may be taken back: the time to see that it was the wrong one."""

Reason = Literal["too_late", "undone", "changed", "gone", "out_of_sight", "annex_closed"]
REASONS: tuple[Reason, ...] = get_args(Reason)


class Touched(Struct, frozen=True):
    """One thing that the act changed, as it was left and as it is now."""

    left: object
    """Its version, or when it was written, right after the act."""
    now: object
    """The same as it is now; None: it is there no more."""
    in_sight: bool = True


def why_not(at: datetime, touched: Iterable[Touched], *, undone: bool, now: datetime) -> Reason | None:
    """Why it cannot be taken back; None where it can."""
    if undone:
        return "undone"
    if not timedelta(0) <= now - at <= FOR:
        return "too_late"
    for one in touched:
        if one.now is None:
            return "gone"
        if not one.in_sight:
            return "out_of_sight"
        if one.now != one.left:
            return "changed"
    return None
