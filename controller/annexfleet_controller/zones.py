"""Time zones by the rules of the `tzdata` package, never by those of the machine.

Morocco changes its mind: since September 2026 it keeps UTC all year, and a machine whose own rules are older would be
an hour off.  The package is pinned, so a new rule reaches every controller as an update of annexfleet.
"""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

zoneinfo.reset_tzpath(to=())  # nothing but the package is left to be found

PROVINCE = ZoneInfo("Africa/Casablanca")


def zone(name: str) -> ZoneInfo:
    """The zone of this name.  Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a name may also be a directory, or no name at all
        raise ValueError(f"there is no time zone {name[:64]!r}") from None


@lru_cache(maxsize=8)
def ahead_of_utc(of: ZoneInfo, since: date, until: date) -> tuple[tuple[int, int], ...]:
    """What a program without rules needs to tell local time: from which moment (seconds of the epoch) the zone is how
    many seconds ahead of UTC, oldest first; the first holds from `since` on, and `until` is not in it.

    To the minute; a zone that changes twice within a day is not seen to.
    """
    at = datetime(since.year, since.month, since.day, tzinfo=UTC)
    found = [(int(at.timestamp()), _ahead_s(of, at))]
    while at.date() < until:
        after = at + timedelta(days=1)
        if _ahead_s(of, after) != found[-1][1]:
            low, high = at, after
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if _ahead_s(of, middle) == found[-1][1] else (low, middle)
            moment = round(high.timestamp() / 60) * 60
            found.append((moment, _ahead_s(of, after)))
        at = after
    return tuple(found)


def _ahead_s(of: ZoneInfo, at: datetime) -> int:
    return int((at.astimezone(of).utcoffset() or timedelta()).total_seconds())
