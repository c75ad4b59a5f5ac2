"""When devices of an annex may be changed: by default while it is closed, by its own calendar and clock.

The calendar knows time zones, Ramadan and holidays; here its opening hours are turned inside out.  A pause at noon is a
window too, as long as there is room in it.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.calendars.calendar import HORIZON_DAYS
from annexfleet_controller.waves.model import Policy


class Window(Struct, frozen=True, kw_only=True):
    """How the window of an annex stands at one moment; all moments are aware UTC."""

    is_open: bool
    ends_at: datetime | None = None
    """Of the window that is open; None while none is, and where it ends within 60 days at no time."""
    next_at: datetime | None = None
    """When the next one begins, after this one if one is open; None where none begins within 60 days."""

    def has_room(self, at: datetime, takes_s: float) -> bool:
        """Whether what is begun now and takes so many seconds would end before the window does."""
        return self.is_open and (self.ends_at is None or at + timedelta(seconds=takes_s) <= self.ends_at)


ALWAYS = Window(is_open=True)


def now(calendar: Calendar, policy: Policy, at: datetime) -> Window:
    """How the window stands at this moment.  Raises ValueError for one without a time zone."""
    if at.tzinfo is None:
        raise ValueError("a moment without a time zone")
    if policy.window == "always":
        return ALWAYS
    if calendar.is_open(at):
        return Window(is_open=False, next_at=calendar.closes_at(at))
    opens_at = calendar.next_opening(at)
    return Window(is_open=True, ends_at=opens_at, next_at=None if opens_at is None else calendar.closes_at(opens_at))


def spans(calendar: Calendar, policy: Policy, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The windows within [since, until), in order and clipped."""
    if since >= until:
        return []
    if policy.window == "always":
        return [(since, until)]
    found = []
    begins = since
    for opens_at, closes_at in calendar.spans(since, until):
        if begins < opens_at:
            found.append((begins, opens_at))
        begins = closes_at
    if begins < until:
        found.append((begins, until))
    return found


def first_room(calendar: Calendar, policy: Policy, at: datetime, takes_s: float) -> datetime | None:
    """The first moment from `at` on at which something that takes so many seconds may be begun.

    None where there is none within 60 days: the annex never closes, or never for so long.
    """
    limit = at + timedelta(days=HORIZON_DAYS)
    moment: datetime | None = at
    while moment is not None and moment < limit:
        window = now(calendar, policy, moment)
        if window.has_room(moment, takes_s):
            return moment
        moment = window.next_at
    return None
