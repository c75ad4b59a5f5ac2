"""What is said on the wire, version 1.

Frozen structs; unknown fields are ignored and every field that came later has a default.  A moment is Unix time in
seconds *by the device's own clock*; `Hello.clock` lets the controller correct it.  Codes, never prose; no name of a
person, a document or a job anywhere.

Items (`Beat`, `Change`, `Inventory`, `Receipt`, `Gap`) wait in the device's outbox until an `Ack` covers their `seq`.
The rest (`Hello`, `Live`, `Gone`) is about now and is never repeated.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Seq = Annotated[int, Meta(ge=1, le=2**53)]
Moment = Annotated[float, Meta(ge=0, le=4e10)]
Code = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=160)]
Word = Annotated[str, Meta(max_length=512)]

MOST = 1e15
"""No number of a reading is further from zero.  Above, neither sums nor pages could be trusted; a petabyte fits."""
Number = Annotated[float, Meta(ge=-MOST, le=MOST)]
Whole = Annotated[int, Meta(ge=-(10**15), le=10**15)]

MAX_GAP_RANGES = 1000

Value = Number | Whole | Word | list[Word]
"""A reading's value: a number in its metric's unit, a word, or a set of words (a printer's causes)."""

Subject = Name
"""What a reading is about: `""` is the device itself; else `disk:/`, `net:eth0`, `portal:<name>`,
`printer:<name>`, `supply:<printer>/<supply>`, `tray:<printer>/<tray>`, `queue:<service>`, `process:<name>`."""

Readings = dict[Subject, dict[Name, Value]]

ProblemCode = Literal["unsupported", "denied", "timed_out", "failed", "malformed", "unreachable", "stale", "too_big"]
Problems = dict[Subject, dict[Name, Code]]
"""Why a reading is missing, by subject and metric; the metric `*` means everything of that subject.
The codes are those of `ProblemCode`; one that is not known here is shown as it is."""


class Summary(Struct, frozen=True, array_like=True):
    """How one number went during a beat."""

    last: Number
    min: Number
    mean: Number
    max: Number


Numbers = dict[Subject, dict[Name, Number | Summary]]
"""A number that did not move during the beat stands alone; else its `Summary`."""


class _Message(Struct, frozen=True, omit_defaults=True, kw_only=True):
    pass


class _Item(_Message, frozen=True, omit_defaults=True, kw_only=True):
    seq: Seq
    at: Moment
    earlier_boot: bool = False
    """It was measured before the device last started, so the clock of this session's `Hello` says nothing of its `at`.
    Stamped as it is sent."""


# -- up ---------------------------------------------------------------------------------------------------------------


class Hello(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """Sent first on each connection, and again when the device's clock was set."""

    clock: Moment
    """The device's clock as this was sent; the controller takes the difference as the clock's offset."""
    session_id: Code
    """New for each connection, so that a late `Gone` of an older one is not believed."""
    boot_id: Code
    install_id: Code
    """New for each installation: a sequence numbers the items of one installation only."""
    next_seq: Seq
    """The number that the next new item will bear."""
    oldest_seq: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """The lowest number that still waits in the outbox, or `next_seq` if none does; 0 if the agent does not say.
    What is below will not come: a controller whose database was restored from a copy counts it as had."""
    agent_version: Code
    config_version: int = 0
    """Version of the desired settings in force; 0 if there are none."""
    features: list[Code] = []
    """What this agent understands beyond version 1: `runner` if it takes signed commands and Ansible runs."""


class Beat(_Item, frozen=True, omit_defaults=True, kw_only=True):
    """Summary of the numbers of some minutes.  `at` is the end of the time it sums up."""

    seconds: Annotated[float, Meta(ge=0, le=86_400)]
    samples: Annotated[int, Meta(ge=0, le=100_000)] = 0
    numbers: Numbers


class Change(_Item, frozen=True, omit_defaults=True, kw_only=True):
    """What cannot wait.  It holds the *whole* of one collector's state, so that it replaces what was known."""

    collector: Code
    readings: Readings
    problems: Problems = {}
    because: list[Name] = []
    """What moved, as `subject metric`, in no order; empty in the first report after a start."""


class Inventory(_Item, frozen=True, omit_defaults=True, kw_only=True):
    """What the device is made of; sent only when `digest` changed."""

    digest: Code
    hardware: dict[Name, Value] = {}
    os: dict[Name, Value] = {}
    packages_digest: Code = ""
    packages: dict[Name, Word] = {}
    """Name to version.  Empty if the list was too big; the digest stands for it then."""
    printers: list[dict[Name, Value]] = []


class Receipt(_Item, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a command."""

    command_id: Code
    outcome: Literal["done", "refused", "failed", "unknown"]
    detail: Code = ""
    proof: Code = ""
    """As `receipts.proof` makes it; without it a receipt settles nothing."""


class Gap(_Item, frozen=True, omit_defaults=True, kw_only=True):
    """The outbox was full: the items in these ranges (both ends included) will never come."""

    ranges: Annotated[list[tuple[Seq, Seq]], Meta(max_length=MAX_GAP_RANGES)]
    lost: dict[Code, int] = {}
    """How many went, by kind."""


class Live(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """One sample while somebody watches."""

    at: Moment
    readings: Readings


class Gone(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """The last will, or an orderly goodbye."""

    session_id: Code
    reason: Literal["lost", "stopped"] = "lost"


# -- down -------------------------------------------------------------------------------------------------------------


class Ack(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """Everything up to and including `upto` is committed and may be forgotten."""

    upto: Annotated[int, Meta(ge=0)]
    install_id: Code = ""
    """The installation it speaks of; an agent ignores an acknowledgement of another one."""


class Portal(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """A web address whose health is checked from the device."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    url: Annotated[str, Meta(max_length=500)]
    expect_status: int = 200
    expect_text: Annotated[str, Meta(max_length=200)] = ""


class DesiredSettings(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """What the controller may set: how much is reported, and nothing that opens a file or runs a program.

    None leaves what `agent.toml` says.
    """

    sample_period_s: Annotated[float, Meta(ge=5, le=3600)] | None = None
    beat_period_s: Annotated[float, Meta(ge=30, le=3600)] | None = None
    portals: Annotated[list[Portal], Meta(max_length=16)] | None = None
    """Checked besides those of `agent.toml`.  URLs with credentials are refused by the agent."""
    printers_probed_elsewhere: Annotated[list[Name], Meta(max_length=200)] | None = None
    """Addresses (`host:port`) of network printers that another device of the annex asks."""


class Config(_Message, frozen=True, omit_defaults=True, kw_only=True):
    version: Annotated[int, Meta(ge=1)]
    settings: DesiredSettings


class Command(_Message, frozen=True, omit_defaults=True, kw_only=True):
    """An unsigned order.  A device obeys only `watch`; anything else it refuses, with a receipt."""

    id: Code
    action: Code
    seconds: Annotated[float, Meta(ge=0, le=900)] = 0
    """For how long to watch; 0 stops."""


Item = Beat | Change | Inventory | Receipt | Gap
UpMessage = Hello | Beat | Change | Inventory | Receipt | Gap | Live | Gone
DownMessage = Ack | Config | Command
