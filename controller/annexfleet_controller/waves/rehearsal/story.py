"""What would happen, as it is shown: moments in order, how every device would end, and a few figures."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from annexfleet_controller.waves.model import GateVerdict, Plan, Rollout, Target, TargetState


class Moment(Struct, frozen=True, kw_only=True):
    """Something that would happen.  `kind` is a code with words in context "rollout_event"."""

    at: datetime
    kind: str
    """`started`, `wave`, `soaking`, `begun`, `device`, `gate`, `stopped`, `done`, `superseded`; `out_of_time` when the
    rehearsal ends before the rollout does."""
    facts: Mapping[str, str | int | float] = {}
    verdict: GateVerdict | None = None
    """Of `gate`."""


class Story(Struct, frozen=True, kw_only=True):
    plan: Plan
    rollout: Rollout
    """As it would stand at the end."""
    targets: tuple[Target, ...]
    moments: tuple[Moment, ...]
    started_at: datetime
    ended_at: datetime
    stopped_at: datetime | None = None
    """When the gate would stop it."""
    evidence_at: datetime | None = None
    """When the last that this rested on became known."""
    touched_at_stop: int = 0
    """Devices that were begun by then."""
    begun_after_stop: int = 0
    harmed: tuple[int, ...] = ()
    """Devices that were begun and on which the release has its fault."""

    @property
    def tally(self) -> dict[TargetState, int]:
        found: dict[TargetState, int] = {}
        for target in self.targets:
            found[target.state] = found.get(target.state, 0) + 1
        return found

    @property
    def touched(self) -> int:
        return sum(target.is_touched and target.begun_at is not None for target in self.targets)

    @property
    def last_verdict(self) -> GateVerdict | None:
        return next((moment.verdict for moment in reversed(self.moments) if moment.verdict is not None), None)
