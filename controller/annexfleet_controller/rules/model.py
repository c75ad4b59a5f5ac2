"""What a rule is, and what it is asked about."""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller.things import Audience, Facts, Severity, Thing

SubjectKind = Literal[
    "device", "disk", "printer", "supply", "portal", "portal_everywhere", "queue", "annex", "controller",
]  # fmt: skip
SUBJECT_KINDS: tuple[SubjectKind, ...] = get_args(SubjectKind)


Values = dict[str, Value | bool | None]


class Subject(Struct, frozen=True, kw_only=True):
    """One thing, or a part of it, with all that rules may ask of it.

    `values` holds readings under their metric's name, and what was derived from them (`rules.subjects` lists it).  A
    value that is absent or None is unknown.
    """

    kind: SubjectKind
    thing: Thing
    part: str = ""
    annex_id: str
    values: Values
    at: datetime
    """Of the newest reading behind it, by our clock."""
    since: dict[str, datetime] = {}
    """Since when a value is what it is, where a device told so or it follows from when it was heard."""
    facts: Facts = {}
    numbers: tuple[int, ...] = ()
    """Numbers of the devices whose word it rests on."""


class Is(Struct, frozen=True, kw_only=True, tag="is", forbid_unknown_fields=True):
    """A comparison of one value.  A word names a level of the rule (`Rule.levels`), so that it can be overridden."""

    metric: str
    above: float | str | None = None
    below: float | str | None = None
    at_least: float | str | None = None
    at_most: float | str | None = None
    equals: str | bool | None = None
    has: tuple[str, ...] = ()
    """For a set of words: whether it has any of these."""
    optional: bool = False
    """A further sign beside others, such as a forecast: while it is not known, its `All` or `Any` is judged without it.
    A group of which nothing is known stays unknown."""


class All(Struct, frozen=True, kw_only=True, tag="all", forbid_unknown_fields=True):
    of: tuple["Condition", ...]
    optional: bool = False
    """As in `Is`."""


class Any(Struct, frozen=True, kw_only=True, tag="any", forbid_unknown_fields=True):
    of: tuple["Condition", ...]
    optional: bool = False
    """As in `Is`."""


class Not(Struct, frozen=True, kw_only=True, tag="not", forbid_unknown_fields=True):
    of: "Condition"
    optional: bool = False
    """As in `Is`."""


Condition = Is | All | Any | Not


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the rule set.  Everything a province may change is a field or a level."""

    id: str
    subject: SubjectKind
    raise_when: Condition
    clear_when: Condition | None = None
    """None: as soon as it is not raised."""
    levels: dict[str, float] = {}
    """Thresholds by name, in the units of the metrics they are compared with."""
    severity: Severity = "warning"
    warning_when: Condition | None = None
    """Where it holds too, a severity of info becomes a warning."""
    critical_when: Condition | None = None
    """Where it holds too, the severity is critical."""
    for_s: float = 0.0
    """How long it must hold before an alert opens; of opening time if `only_open`."""
    for_s_by_role: dict[str, float] = {}
    """Another `for_s` for devices of a role, such as `tablet`."""
    clear_for_s: float = 0.0
    only_open: bool = False
    """H in the facts: opens only within opening hours."""
    opening_grace_s: float = 0.0
    """How long after the opening nothing counts yet: machines are being switched on."""
    samples: int = 2
    """Moments of evidence it takes; 1 where a single report is proof."""
    audience: tuple[Audience, ...] = ("it",)
    then: tuple[Audience, ...] = ()
    """Who is told too after `then_after_s`, if it still holds."""
    then_after_s: float = 0.0
    mutes: tuple[str, ...] = ()
    """Rules whose alerts it explains: of the same thing, and if its subject is an annex, of everything in it."""
    cause: str = ""
    """Of the guidance catalogue; empty where the subject's value `cause` says it."""
    other_causes: dict[str, Condition] = {}
    """Another cause where this holds too; the first that does counts."""
    enabled: bool = True
