"""Time zones by the rules of the `tzdata` package, never by those of the machine.

Morocco changes its mind: since September 2026 it keeps UTC all year, and a machine whose own rules are older would be
an hour off.  The package is pinned, so a new rule reaches every controller as an update of annexfleet.
"""

import zoneinfo
from zoneinfo import ZoneInfo

zoneinfo.reset_tzpath(to=())  # nothing but the package is left to be found

PROVINCE = ZoneInfo("Africa/Casablanca")


def zone(name: str) -> ZoneInfo:
    """The zone of this name.  Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a name may also be a directory, or no name at all
        raise ValueError(f"there is no time zone {name[:64]!r}") from None
