"""Slowing down who guesses passwords.  Thinks only; the counters are in the database.

What counts first is the pair of name and address: whoever guesses at a name waits, its owner elsewhere does not, and
neither do the others behind the same address.  Guessing spread over many addresses, or over many names, is slowed down
by bounds that no ordinary morning reaches.  Each wait is bounded, so that nobody is kept out for good.
"""

import ipaddress
from datetime import datetime, timedelta
from typing import NamedTuple

WINDOW = timedelta(hours=1)
FREE_BY_BOTH = 5
FREE_BY_NAME = 100
FREE_BY_ADDRESS = 200
"""An annex has one address for everybody."""
LONGEST_WAIT = timedelta(minutes=15)


class Failed(NamedTuple):
    """How often it failed within the window, and when it did last."""

    times: int = 0
    last: datetime | None = None


def wait(*, by_both: Failed, by_name: Failed, by_address: Failed, now: datetime) -> timedelta:
    """How long to wait before the next try counts: 1 s after the last free failure, doubling; zero if one may try."""
    return max(
        _wait(by_both, FREE_BY_BOTH, now), _wait(by_name, FREE_BY_NAME, now), _wait(by_address, FREE_BY_ADDRESS, now)
    )


def _wait(failed: Failed, free: int, now: datetime) -> timedelta:
    over = failed.times - free
    if over < 0 or failed.last is None:
        return timedelta(0)
    pause = min(timedelta(seconds=2 ** min(over, 20)), LONGEST_WAIT)
    return max(timedelta(0), failed.last + pause - now)


def asker(address: str) -> str:
    """Who counts as one: of IPv6 the network (/64), for whoever has one address of it has 2**64."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(known) >> 64 << 64, 64)))
    return str(known)
