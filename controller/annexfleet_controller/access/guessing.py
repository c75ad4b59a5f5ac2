"""Slowing down who guesses passwords, by name and by address.  Thinks only; the counters are in the database.

A name is never locked for good, else anybody could keep its owner out: each wait is bounded.
"""

from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)
FREE_BY_NAME = 5
FREE_BY_ADDRESS = 20
"""An annex has one address for everybody."""
LONGEST_WAIT = timedelta(minutes=15)


def wait(*, by_name: int, by_address: int, last: datetime | None, now: datetime) -> timedelta:
    """How long to wait before the next try counts: 1 s after the fifth failure, doubling; zero where one may try."""
    if last is None:
        return timedelta(0)
    over = max(by_name - FREE_BY_NAME, by_address - FREE_BY_ADDRESS)
    if over < 0:
        return timedelta(0)
    pause = min(timedelta(seconds=2 ** min(over, 20)), LONGEST_WAIT)
    return max(timedelta(0), last + pause - now)
