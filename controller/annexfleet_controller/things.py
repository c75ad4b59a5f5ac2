"""What rooms hand to each other about trouble: things, verdicts, alerts, incidents.  Structs only; nothing here thinks.

A *thing* is what an alert belongs to: a device, a printer, a portal as one annex sees it, a queue of people, an annex,
or the controller itself.
"""

from datetime import date, datetime
from typing import Literal, get_args

from msgspec import Struct

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the mildest to the worst."""

Audience = Literal["staff", "technician", "it"]
"""For whom an alert is: annex staff, technicians, provincial IT."""
AUDIENCES: tuple[Audience, ...] = get_args(Audience)

ThingKind = Literal["device", "printer", "portal", "queue", "annex", "controller"]
THING_KINDS: tuple[ThingKind, ...] = get_args(ThingKind)

Facts = dict[str, str | float]
"""What texts are filled with: `printer`, `device`, `portal`, `service`, `part`, `ratio`, `seconds` ... Codes, names
and numbers in base units; never prose."""


class Thing(Struct, frozen=True, order=True):
    """What trouble is about.

    `id` is a device's id (`d-...`), a printer's identity (24 hexadecimal characters, `state.printer_identity`),
    `<annex>/<portal>` or `<annex>/<service>` for a portal or a queue, `*/<portal>` for a portal as the whole province
    sees it, an annex's id, or the name of a part of the controller.
    """

    kind: ThingKind
    id: str


Level = Literal["raise", "hold", "clear", "unknown"]
"""raise: the condition holds.  hold: neither it nor its clear level does, so what was, stays.  unknown: no data."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What one rule concludes from what is known of one subject at one moment.  It has no memory."""

    rule_id: str
    thing: Thing
    part: str = ""
    """Which part of the thing: a disk's mount point, a supply's name."""
    annex_id: str
    """Empty for the controller's own and for a portal as the whole province sees it."""
    level: Level
    severity: Severity = "warning"
    cause: str = ""
    """Of the guidance catalogue (i18n.guidance), such as `paper_jam` or `device_offline`."""
    evidence_at: datetime
    """Of the newest reading it rests on, by our clock."""
    since: datetime | None = None
    """Since when the condition holds, where the readings themselves tell; else it counts from the first verdict."""
    facts: Facts = {}
    numbers: tuple[int, ...] = ()
    """Numbers of the devices whose word it rests on."""


AlertState = Literal["pending", "open", "cleared"]


class Alert(Struct, frozen=True, kw_only=True):
    """A finding that lasts, or is about to: `pending` until its rule's `for` has passed."""

    id: int = 0
    """0 until it is stored."""
    rule_id: str
    thing: Thing
    part: str = ""
    annex_id: str = ""
    state: AlertState = "pending"
    severity: Severity = "warning"
    cause: str = ""
    facts: Facts = {}
    since: datetime
    """Since when the condition holds."""
    evidence_at: datetime
    """Of the newest reading that it was judged by: that showed it, or showed that it cleared."""
    samples: int = 1
    """How many moments of evidence there were since it began."""
    clearing_since: datetime | None = None
    """Since when its clear level holds, while that has not lasted long enough."""
    unknown_since: datetime | None = None
    """Since when nothing is known of it; an alert is not cleared by silence."""
    opened_at: datetime | None = None
    cleared_at: datetime | None = None
    flaps: int = 0
    """How often it came back soon after it had cleared."""
    returned_at: tuple[datetime, ...] = ()
    """When it did so of late, oldest first; what `flaps` cannot tell: how fast."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""
    muted_by: int | None = None
    """The maintenance that keeps it quiet."""
    suppressed_by: str = ""
    """The rule whose alert explains it, such as `annex.link_down`."""
    incident_id: int | None = None
    is_effect: bool = False
    """Whether another alert of its incident is the cause."""

    @property
    def key(self) -> tuple[str, Thing, str]:
        """What it is about: of each key at most one alert is not cleared."""
        return self.rule_id, self.thing, self.part


IncidentKind = Literal[
    "power_cut", "line_cut", "portal_down", "portal_down_everywhere", "portal", "printer", "device", "queue", "annex",
    "controller",
]  # fmt: skip
INCIDENT_KINDS: tuple[IncidentKind, ...] = get_args(IncidentKind)

IncidentState = Literal["open", "resolved"]


class Rank(Struct, frozen=True):
    """Why an incident comes before another: `score` = people x services x minutes."""

    score: float = 0.0
    people_waiting: float = 0.0
    """In the queues that it holds up; the average of opening hours where nobody counts."""
    people_estimated: bool = False
    """True where it is that average and no count."""
    services_blocked: tuple[str, ...] = ()
    minutes: float = 0.0
    """Of opening time since it began."""
    services_degraded: tuple[str, ...] = ()
    """They do not count in the score, but of equal ones the one with more of them comes first."""


class Incident(Struct, frozen=True, kw_only=True):
    """Alerts with one cause."""

    id: int = 0
    key: str
    """What it is about, such as `line_cut:berkane-1` or `printer:<id>`; of each key at most one is open."""
    kind: IncidentKind
    cause: str
    """Of the guidance catalogue."""
    annex_id: str
    """Empty where it is about several annexes or none; `annexes` has them."""
    annexes: tuple[str, ...] = ()
    thing: Thing
    state: IncidentState = "open"
    severity: Severity = "warning"
    facts: Facts = {}
    began_at: datetime
    """When the trouble began, as far as the evidence tells; corrected when more arrives."""
    opened_at: datetime
    """When we noticed."""
    resolved_at: datetime | None = None
    ended_at: datetime | None = None
    """When the trouble ended by the evidence, which may be before we noticed."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    rank: Rank = Rank()
    muted: bool = False
    """Whether every alert of it is muted by maintenance."""


class SupplyDay(Struct, frozen=True, kw_only=True):
    """What a supply of a printer had left at the end of a day."""

    annex_id: str
    printer_id: str
    """`state.printer_identity`"""
    supply: str
    """Its name, as the printer has it."""
    day: date
    """In the annex's own time."""
    kind: str
    """One of `supplies.levels.KINDS`."""
    colour: str
    level_ratio: float | None
    """0 to 1; of a receptacle the room left.  None: the printer cannot tell."""
    pages_count: float | None
    """All that the printer ever printed."""
    printer_name: str
    printer_model: str
