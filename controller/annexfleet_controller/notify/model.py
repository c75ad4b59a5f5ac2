"""What the plan speaks of: receivers and what they want to hear, what was told, and notices.  Structs only."""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_controller.calendars import Calendar
from annexfleet_controller.things import Audience, Incident, Severity

What = Literal["opened", "worsened", "reminder", "escalation", "help", "resolved"]
WHATS: tuple[What, ...] = get_args(What)
NoticeKind = Literal["opened", "worsened", "reminder", "digest", "escalation", "help", "resolved", "test"]
NOTICE_KINDS: tuple[NoticeKind, ...] = get_args(NoticeKind)
ContactKind = Literal["email", "sms", "chat", "webhook", "apprise"]
CONTACT_KINDS: tuple[ContactKind, ...] = get_args(ContactKind)
Hours = Literal["always", "opening", "custom"]
HOURS: tuple[Hours, ...] = get_args(Hours)
NoticeState = Literal["queued", "sent", "failed", "dropped"]
NOTICE_STATES: tuple[NoticeState, ...] = get_args(NoticeState)


class Limits(Struct, frozen=True, kw_only=True):
    """How much one receiver is asked to read."""

    of_an_incident_s: float = 1800.0
    burst: int = 3
    """So many notices about one incident each may come within `burst_s`; what is more comes together, as a digest."""
    burst_s: float = 600.0
    digest_every_s: float = 600.0
    in_an_hour: int = 10
    digest_beyond_s: float = 1800.0
    remind_after_s: float = 4 * 3600.0
    """A critical incident that nobody acknowledged is told again, so long after the last word on it."""


USUAL = Limits()


class Route(Struct, frozen=True, kw_only=True):
    """What one receiver wants to hear."""

    audiences: tuple[Audience, ...]
    annexes: tuple[str, ...] | None = None
    """None: the whole province, and what belongs to no annex."""
    min_severity: Severity = "warning"
    hours: Hours = "always"
    """`opening`: while the annex is open; `custom`: `own_hours`."""
    own_hours: Calendar | None = None
    critical_always: bool = True
    """Whether what is critical is told outside of the hours too."""
    level: int = 0
    """0: told at once.  Others are told `after_s` later, if nobody has acknowledged until then."""
    after_s: float = 0.0


class Receiver(Struct, frozen=True, kw_only=True):
    """Somebody who can be reached in one way."""

    contact_id: int
    kind: ContactKind
    routes: tuple[Route, ...]


class Audible(Struct, frozen=True):
    """An incident, and for whom it is (`audience.of`); for nobody once it is resolved."""

    incident: Incident
    audiences: frozenset[Audience] = frozenset()
    help_asked_at: datetime | None = None
    """When somebody last said that they cannot mend it."""


class Item(Struct, frozen=True, kw_only=True):
    """What one notice says of one incident."""

    incident_id: int
    what: What
    severity: Severity
    level: int = 0
    """Of the escalation, 0 if it is none; of a call for help the level of who is called."""


class Wanted(Struct, frozen=True):
    """What one receiver should hear now, limits of number aside."""

    item: Item
    held_back: bool
    """Whether it waited for the receiver's hours."""


class Told(Struct, frozen=True, kw_only=True):
    """A notice of before."""

    contact_id: int
    kind: NoticeKind
    items: tuple[Item, ...]
    state: NoticeState
    created_at: datetime
    ended_at: datetime | None = None
    """When it was sent, given up or dropped; None while it is queued."""


class Notice(Struct, frozen=True, kw_only=True):
    """A notice to be sent."""

    contact_id: int
    channel: ContactKind
    kind: NoticeKind
    items: tuple[Item, ...]
    due_at: datetime
    dedupe_key: str
    """The same for the same wish after the same past: planned twice, it is stored once."""
