"""What /api/v1/rollouts takes and answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from annexfleet_controller.api.versions import Version
from annexfleet_controller.rollouts import proposing
from annexfleet_controller.store.rollout_events import Fact
from annexfleet_controller.waves.forecast import Why
from annexfleet_controller.waves.model import (
    ROLLOUT_STATES,
    TARGET_STATES,
    GateWord,
    Phase,
    RolloutState,
    TargetState,
)

State = Literal[*ROLLOUT_STATES]  # type: ignore[valid-type]
Standing = Literal[*TARGET_STATES]  # type: ignore[valid-type]
Reason = Annotated[str, Field(max_length=200, description="Why, for those who read its story")]
Secrets = Annotated[
    dict[str, JsonValue], Field(description="Values of secret variables; kept in a file until the rollout is over")
]
_EXAMPLE: dict[str, JsonValue] = {
    "name": "CUPS at the counters", "playbook": "packages", "variables": {"packages_present": ["cups"]},
    "selector": {"annexes": ["berkane-1", "berkane-2"], "roles": ["counter"], "without_tags": ["pilot"]},
    "policy": {"preset": "evening", "most_at_once": 5}, "reason": "Ticket 4711",
}  # fmt: skip


# -- what is asked


class NewRollout(BaseModel):
    name: Annotated[str, Field(max_length=120)]
    playbook: Annotated[str, Field(max_length=80)]
    variables: dict[str, JsonValue] = {}
    secrets: Secrets = {}
    selector: Annotated[
        dict[str, JsonValue],
        Field(
            description="Devices that fit all of `annexes`, `roles`, `tags`, `without_tags`, `devices`, `models`, "
            "`agent_versions`, `readiness`, lists of texts; {} means every device in your sight"
        ),
    ]
    policy: Annotated[
        dict[str, JsonValue],
        Field(description="`preset` (careful, evening, urgent) and whatever shall be otherwise than in it"),
    ] = {}
    reason: Reason = ""
    deadline_s: Annotated[
        float,
        Field(ge=proposing.LEAST_DEADLINE_S, le=proposing.MOST_DEADLINE_S, description="How long from its start"),
    ] = proposing.USUAL_DEADLINE_S

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Edited(NewRollout):
    """All of it anew; secrets that are left out keep their values."""

    version: Version = None


class Acting(BaseModel):
    version: Version = None


class Submitting(Acting):
    targets_digest: Annotated[
        str, Field(max_length=64, description="Of the list that was shown: refused where others are meant by now")
    ] = ""


class Starting(Acting):
    deadline_s: Annotated[
        float | None, Field(ge=proposing.LEAST_DEADLINE_S, le=proposing.MOST_DEADLINE_S)
    ] = None  # fmt: skip


class Reasoned(Acting):
    reason: Reason = ""


class DryRun(Acting):
    wave: Annotated[int | None, Field(ge=1, le=100_000, description="Only the devices of this wave")] = None


class Deriving(BaseModel):
    secrets: Secrets = {}


# -- what is answered


class TallyOut(BaseModel):
    """How many devices in your sight stand how."""

    waiting: int = 0
    running: int = 0
    verifying: int = 0
    deferred: int = 0
    compliant: int = 0
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    unknown: int = 0
    skipped: int = 0


class RolloutSummary(BaseModel):
    id: int
    name: str
    playbook: str
    state: RolloutState
    phase: Phase
    wave: int
    """That is rolled or watched; 0 before the first."""
    wave_count: int
    author: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deadline_at: datetime | None
    state_reason: str
    """Why it was paused, stopped, rejected or aborted: a code, or a person's words."""
    relation: Literal["", "rollback", "clone", "retry"]
    of_rollout: int | None
    version: int
    targets: TallyOut


class NatureOut(BaseModel):
    """What the playbook says of itself, with these variables."""

    configures: str
    """A newer rollout that configures the same takes this one's place on the devices of both."""
    expects: dict[str, str]
    """By fact, what a device reports when it has what was wanted; empty: that the fact is absent."""
    interrupts: bool
    takes_s: float
    has_way_back: bool


class WaveOut(BaseModel):
    number: int
    """0: those that had it already or take no commands."""
    targets: TallyOut


class RolloutOut(RolloutSummary):
    variables: dict[str, JsonValue]
    secret_names: list[str]
    selector: dict[str, JsonValue]
    policy: dict[str, JsonValue]
    nature: NatureOut
    reason: str
    deadline_s: float
    targets_digest: str
    """SHA-256 of the sorted ids of all devices in its waves, each with a line feed."""
    plan_digest: str
    """SHA-256 of waves, policy and what is played: what is approved."""
    bundle_digest: str
    needs_approval: bool
    submitted_by: str
    submitted_at: datetime | None
    approved_by: str
    """Empty where it needed nobody."""
    approved_at: datetime | None
    started_by: str
    wave_since: datetime | None
    dry_run: int | None
    """The run."""
    gate: GateWord | None
    waves: list[WaveOut]
    may: list[str]
    """What you could ask of it now."""


class RolloutPage(BaseModel):
    items: list[RolloutSummary]
    next: str | None = None


class TargetOut(BaseModel):
    device: str
    name: str
    annex: str
    """Where it stood when the devices were frozen."""
    wave: int
    position: int
    state: TargetState
    reason: str
    """A code: why it failed, is deferred, was skipped."""
    attempts: int
    run: int | None
    not_before: datetime | None
    begun_at: datetime | None
    run_ended_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    before: dict[str, str]
    """The facts that matter, as it reported them before; `after` as it reported them then."""
    after: dict[str, str]


class TargetPage(BaseModel):
    items: list[TargetOut]
    next: str | None = None


class DeviceRollout(BaseModel):
    rollout: RolloutSummary
    target: TargetOut


class DeviceRolloutPage(BaseModel):
    items: list[DeviceRollout]
    next: str | None = None


class EventOut(BaseModel):
    id: int
    at: datetime
    kind: str
    actor: str
    """Empty: the conductor."""
    facts: dict[str, Fact]


class EventPage(BaseModel):
    items: list[EventOut]
    next: str | None = None


class GateReasonOut(BaseModel):
    code: str
    facts: dict[str, str | int | float]
    """An annex beyond your sight is left out."""
    text: str
    """In words of the language that you asked for."""


class VerdictOut(BaseModel):
    word: GateWord
    at: datetime
    look_again_at: datetime | None
    reasons: list[GateReasonOut]


class GateOut(BaseModel):
    state: RolloutState
    phase: Phase
    wave: int
    verdict: VerdictOut | None
    """The newest; null before there was one."""


class SpanOut(BaseModel):
    start: datetime
    end: datetime


class ExpectedWaveOut(BaseModel):
    number: int
    begins_at: datetime | None
    """Of its first device; null where none of it has to be begun."""
    rolled_at: datetime
    """When its last device has reported."""
    soaked_at: datetime
    """Until then it is watched."""
    spans: list[SpanOut]
    """When devices of it are being changed: several where a window closes in between."""
    is_after_deadline: bool
    """The rollout's time is up before it begins."""


class ForecastOut(BaseModel):
    ends_at: datetime | None
    """Null where nobody can tell; never after the deadline, which for one that was not started counts from now."""
    seconds_left: float | None
    why: Why
    is_cut: bool
    """The deadline comes first."""
    late_at: datetime | None
    """Where it does: when it would be over without a deadline."""
    waves: list[ExpectedWaveOut]
    """Without those that are over."""


class DeviceRef(BaseModel):
    device: str
    name: str
    annex: str


class PlannedWaveOut(BaseModel):
    number: int
    why: list[str]
    devices: list[DeviceRef]
    """In the order in which they are begun."""


class ImpossibleOut(BaseModel):
    device: DeviceRef
    service: str


class WindowOut(BaseModel):
    annex: str
    spans: list[SpanOut]


class PreviewOut(BaseModel):
    device_count: int
    """Those that would be changed."""
    waves: list[PlannedWaveOut]
    compliant: list[DeviceRef]
    unreachable: list[DeviceRef]
    """They take no commands at all, and are left out."""
    impossible: list[ImpossibleOut]
    """They are changed only while their annex is closed, for the service would stand worse whenever it is done."""
    windows: list[WindowOut]
    """In the next seven days."""
    nature: NatureOut
    targets_digest: str
    plan_digest: str
    bundle_digest: str
    needs_approval: bool
    why: list[str]
    """Why a second person is needed: many_devices, large_share, many_lately, always_window."""
    in_service: int
    """Devices of the whole fleet."""
    forecast: ForecastOut
    """If it began now."""


class WayBackOut(BaseModel):
    drafts: list[RolloutOut]
    lost: list[str]
    """Devices that were changed and of which nobody knows how they were: none of the drafts has them."""
