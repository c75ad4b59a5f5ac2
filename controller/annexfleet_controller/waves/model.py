"""What a rollout is made of.  Structs only; nothing here thinks.

A rollout brings one playbook to many devices.  Its targets are frozen when it is submitted; its plan puts each into a
wave; devices go through states of their own, and the rollout through its.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

from msgspec import Struct

RolloutState = Literal[
    "draft",  # may still be changed
    "submitted",  # frozen; waits for a second person
    "approved",  # may be started
    "running",
    "paused",  # by a person: what runs goes on, nothing is begun
    "stopped",  # by the gate: as paused, and only with a reason does it go on
    "done",  # every device has ended
    "aborted",  # by a person
    "superseded",  # a newer rollout configures the same
]
ROLLOUT_STATES: tuple[RolloutState, ...] = get_args(RolloutState)
OVER: frozenset[RolloutState] = frozenset({"done", "aborted", "superseded"})

Phase = Literal["", "rolling", "soaking"]
"""Of a running rollout: devices of the wave are begun, or all of them ended and their health is watched.  Empty before
the first wave; and after the last one has soaked, while devices that were away are still waited for."""

TargetState = Literal[
    "waiting",  # not begun
    "running",  # belongs to a run
    "verifying",  # its run ended well; its own report is waited for
    "deferred",  # could not be reached: it is run when it says hello
    "compliant",  # had it already
    "succeeded",  # it reports what was wanted
    "failed",
    "timed_out",
    "unknown",  # nobody knows what became of it
    "skipped",  # never begun, and will not be
]
TARGET_STATES: tuple[TargetState, ...] = get_args(TargetState)
SETTLED: frozenset[TargetState] = frozenset({"compliant", "succeeded", "failed", "timed_out", "unknown", "skipped"})
TOUCHED: frozenset[TargetState] = frozenset({"running", "verifying", "succeeded", "failed", "timed_out", "unknown"})
"""Begun once: something may have been done to them.  (`deferred` was reached by nothing.)"""
BAD: frozenset[TargetState] = frozenset({"failed", "timed_out", "unknown"})
MISSED = "deadline"
"""`Target.reason` of a device that was not reached until the deadline: it is `unknown`, and as far as is known it was
not changed, so it says nothing about the change."""
ACCEPTED = "accepted"
"""`Target.reason` of a device that was failing, its run not over, when a person let the rollout go on after the gate
had stopped it; it keeps it when it ends badly."""

WindowKind = Literal["closed", "always"]
"""closed: outside the annex's opening hours.  always: also in them, which takes a reason and a second person."""


class Selector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices are meant: those that fit all that is named.  What is empty does not narrow."""

    annexes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """Those with any of these."""
    without_tags: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Ids."""
    models: tuple[str, ...] = ()
    agent_versions: tuple[str, ...] = ()
    readiness: tuple[str, ...] = ()
    """Of their annex: ready, degraded, blocked, unknown."""


class Candidate(Struct, frozen=True, kw_only=True):
    """A device as a selector and a plan see it."""

    number: int
    id: str
    name: str
    annex_id: str
    role: str
    model: str = ""
    tags: tuple[str, ...] = ()
    agent_version: str = ""
    readiness: str = "unknown"
    """Of its annex."""
    connected: bool = False
    takes_commands: bool = True
    facts: Mapping[str, str] = {}
    """What it reports of itself that a playbook may name: `agent_version`, `config_version`, `kernel`, `os_version`,
    `package:<name>`; and `desired:<revision>`, which is `same` or `differs` and made of all of that."""


class Expectation(Struct, frozen=True, kw_only=True):
    """What a device reports when it has what was wanted."""

    fact: str
    """A name of `Candidate.facts`."""
    equals: str
    """Empty: that the fact is absent.  A `*` stands for anything that is there: alone, or within a version."""


class Reverse(Struct, frozen=True, kw_only=True):
    """How a playbook's change is taken back."""

    playbook: str
    variables: Mapping[str, Any] = {}
    before: Mapping[str, str] = {}
    """Variables that are set to what a device reported before: variable to name of fact.  Devices with different
    values go back in rollouts of their own."""


class Nature(Struct, frozen=True, kw_only=True):
    """What a playbook says of itself for rollouts (`roles/<name>/meta/rollout.yml`), with its variables filled in."""

    configures: str
    """A newer rollout that configures the same takes an older one's place on the devices of both."""
    expects: tuple[Expectation, ...] = ()
    """Empty: it is enough that the device reports after its run."""
    reverse: Reverse | None = None
    interrupts: bool = True
    """Whether a device, or a printer it serves, is of no use meanwhile: the disruption budget counts it."""
    takes_s: float = 300.0
    """On one device, until something was measured."""
    proves: bool = True
    """Whether a device that reports all that is expected needs nothing done.  False where the run also changes what no
    device reports (a hold, a pin), or expects nothing."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How careful a rollout is."""

    canary_count: int = 0
    """0: at most 5 % of all, at least 2, by variety."""
    growth: float = 3.0
    """Each wave is so many times as large as all before it together; at least 1."""
    most_in_wave: int = 0
    """0: no bound."""
    most_at_once: int = 20
    """Devices that are being changed at one moment."""
    soak_s: float = 1800.0
    """After the last device of a wave ended, before the next begins."""
    soak_open_s: float = 0.0
    """So much of the soak must lie in opening hours of an annex of that wave: some faults show only under load."""
    canary_soak_s: float = 3600.0
    canary_soak_open_s: float = 0.0
    last_soak_s: float = 0.0
    """After the last wave, if that is longer than its own soak: every device is changed then, and the rollout is not
    done before it was watched for so long.  A STOP spares nobody any more, but says that it made them worse."""
    last_soak_open_s: float = 0.0
    longest_wait_s: float = 6 * 3600.0
    """When health is still unclear so long after the soak, the gate stops."""
    most_bad_count: int = 2
    most_bad_ratio: float = 0.05
    """STOP when so many devices ended badly and they are at least this share of those that ended."""
    verify_within_s: float = 900.0
    """A device whose run ended well and that reports nothing that fits within so long has failed."""
    window: WindowKind = "closed"
    timeout_s: float = 3600.0
    """Of one device's run."""


class PlannedWave(Struct, frozen=True, kw_only=True):
    """Devices by number, in the order in which they are begun."""

    number: int
    """From 1; the first is the canary."""
    devices: tuple[int, ...]
    why: tuple[str, ...] = ()
    """Codes: `canary`, `spread` (its annex has devices in other waves so that its services stand)."""


class Impossible(Struct, frozen=True):
    """A device that cannot be changed without a service of its annex standing worse, whenever it is tried while people
    are served; outside opening hours it can."""

    device: int
    service: str


class Plan(Struct, frozen=True, kw_only=True):
    waves: tuple[PlannedWave, ...]
    compliant: tuple[int, ...] = ()
    unreachable: tuple[int, ...] = ()
    """Take no commands at all: no runner ever told a key, and no SSH.  They are left out."""
    impossible: tuple[Impossible, ...] = ()

    @property
    def device_count(self) -> int:
        """Those that will be changed."""
        return sum(len(wave.devices) for wave in self.waves)


# -- a rollout under way


class Target(Struct, frozen=True, kw_only=True):
    """One device of a rollout."""

    number: int
    annex_id: str
    """Where it stood when the targets were frozen."""
    wave: int
    """0: in none (compliant, or left out)."""
    position: int = 0
    state: TargetState = "waiting"
    attempts: int = 0
    run_id: int | None = None
    not_before: datetime | None = None
    begun_at: datetime | None = None
    run_ended_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    """A code: why it failed, is deferred, was skipped."""

    @property
    def is_touched(self) -> bool:
        """Whether something may have been done to it; one that was not reached until the deadline tells nothing."""
        return self.state in TOUCHED and self.reason != MISSED


class Rollout(Struct, frozen=True, kw_only=True):
    """The row, as thinking needs it."""

    id: int
    state: RolloutState
    phase: Phase = ""
    wave: int = 0
    """The one that is rolled or soaked; 0 before the first."""
    wave_since: datetime | None = None
    """Since when the phase lasts."""
    policy: Policy
    nature: Nature
    started_at: datetime | None = None
    accepted_at: datetime | None = None
    """When a person last let it go on after the gate had stopped it: what had ended by then, and the health of these
    devices until then, is not held against it a second time."""
    deadline_at: datetime | None = None
    """What is not settled by then is unknown, or skipped if it was never begun."""


GateWord = Literal["go", "wait", "stop"]


class GateReason(Struct, frozen=True):
    """One ground of a gate's verdict.  `facts` fill its words (context "gate" of the catalogues)."""

    code: str
    facts: Mapping[str, str | int | float] = {}


class GateVerdict(Struct, frozen=True, kw_only=True):
    word: GateWord
    reasons: tuple[GateReason, ...]
    at: datetime
    look_again_at: datetime | None = None
    """When waiting."""


class Health(Struct, frozen=True, kw_only=True):
    """A device's health in a span: since its change, or the same time for one that was not changed."""

    number: int
    annex_id: str
    model: str = ""
    role: str = ""
    is_changed: bool = False
    since: datetime
    """The end of its run, or the moment at which a person took it as it was; for one that was not changed, the end of
    the run of the middle one of those that this wave changed."""
    was_well: bool = True
    """Whether it was online and steady before.  An alert of another kind excuses only the like of itself: it is not
    among `new_alerts` if it comes again, and a device with a jam that now starts again and again does count."""
    is_online: bool | None = None
    """None: it said goodbye (it was switched off in order), or nobody can know.  One that fell silent without a word is
    False at any hour: that its annex has closed meanwhile excuses nothing."""
    new_alerts: Mapping[str, str] = {}
    """Rule id to severity of those that began since, muted ones too, of warning or worse; not of rules that had one
    open before.  Also those of printers, portals and queues, and `readiness` for a service of its annex that was ready
    before: those that count for this device (`blaming.py`)."""
    over: tuple[str, ...] = ()
    """Rule ids of `new_alerts` that have cleared."""
    restarts: int = 0
    """Of the machine or its agent since its run ended; what the run itself restarted does not count."""
    readings: Mapping[str, tuple[float, float]] = {}
    """Key readings: mean before, mean now (`memory_used_ratio`, `cpu_used_ratio`, `agent_memory_bytes`, ...)."""
    slopes: Mapping[str, float] = {}
    """How much a key reading has risen an hour since then; empty while less than half an hour has passed."""


# -- what is to be done next (thought out by `conduct.steps`)


class Begin(Struct, frozen=True, tag=True):
    """Make one run for these devices, in the transaction that also checks that the rollout still runs."""

    devices: tuple[int, ...]


class Settle(Struct, frozen=True, tag=True):
    """A device is in another state."""

    device: int
    state: TargetState
    reason: str = ""
    not_before: datetime | None = None


class Turn(Struct, frozen=True, tag=True):
    """The rollout is in another state, phase or wave."""

    state: RolloutState
    phase: Phase = ""
    wave: int = 0
    reason: str = ""


class Judge(Struct, frozen=True, tag=True):
    """Keep a gate's verdict, for people to read; told again only when it says something else."""

    verdict: GateVerdict


Step = Begin | Settle | Turn | Judge
