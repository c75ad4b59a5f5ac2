"""Services, what they need, and how that stands."""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from annexfleet_controller.things import Thing

State = Literal["ready", "degraded", "blocked", "unknown"]
STATES: tuple[State, ...] = get_args(State)

CapabilityName = Literal["counter", "print", "portal", "kiosk", "tablet", "queue", "link"]
CAPABILITIES: tuple[CapabilityName, ...] = get_args(CapabilityName)

LeafState = Literal["ok", "failing", "unknown"]


class Fix(Struct, frozen=True, order=True):
    """One repair: that this cause ends at this thing.  Things that fail for the same cause share one (a power cut)."""

    cause: str
    """Of the guidance catalogue, such as `paper_empty`."""
    thing: Thing
    part: str = ""


class Leaf(Struct, frozen=True):
    """One thing that a capability can rest on."""

    thing: Thing
    name: str
    state: LeafState
    fixes: frozenset[Fix] = frozenset()
    """What must all be repaired before it works; empty if it does, or if nobody knows."""
    since: datetime | None = None


class Need(Struct, frozen=True):
    """At least so many of these must work.  0 may work with none at all: then it can only degrade."""

    capability: CapabilityName
    at_least: int
    of: "tuple[Leaf | All, ...]"
    full: int | None = None
    """With fewer the service is degraded; None is all of them."""


class All(Struct, frozen=True):
    """Needs that must all be met."""

    needs: tuple[Need, ...]


class Reason(Struct, frozen=True):
    """How a need is met, and what it lacks."""

    capability: CapabilityName
    state: State
    """Of a service that needs nothing else."""
    working: int
    unknown: int
    at_least: int
    full: int
    failing: tuple[Leaf, ...]
    unsure: tuple[Leaf, ...] = ()
    """Those of which nobody knows."""


class ServiceReadiness(Struct, frozen=True):
    """How one service of an annex stands."""

    service: str
    state: State
    reasons: tuple[Reason, ...] = ()
    """The chain: what is not met first, then what hangs on the unknown, then what is met in part."""
    fix_set: tuple[Fix, ...] = ()
    """The fewest repairs after which it can be provided again; empty unless it is blocked, and where none can help.

    Things of which nobody knows count as working here: whether they do shows when the rest is repaired.
    """
    met: tuple[Reason, ...] = ()
    """What is met in full."""
    fix_set_proven: bool = True
    """False: so much is broken that the search was given up, and there may be a smaller set (see `fixes`)."""

    @property
    def lacks(self) -> frozenset[Fix]:
        """Every repair that would make it stand better, whether or not it can be provided without."""
        return frozenset(fix for reason in self.reasons for leaf in reason.failing for fix in leaf.fixes)


class Remedy(Struct, frozen=True):
    """Repairs that belong together, with what they bring back."""

    fixes: tuple[Fix, ...]
    restores: tuple[str, ...]
    """Services that can be provided again once these, and those of the remedies before, are done."""


class AnnexReadiness(Struct, frozen=True):
    """How an annex stands."""

    annex_id: str
    services: tuple[ServiceReadiness, ...]
    plan: tuple[Remedy, ...] = ()
    """The smallest set of repairs that brings back every blocked service, those first that bring back most."""
    is_open: bool = True
    """Whether citizens could come now; at night switched-off devices are no trouble."""

    @property
    def state(self) -> State:
        """The worst of its services; unknown where there is none."""
        found = {service.state for service in self.services}
        return next((state for state in ("blocked", "unknown", "degraded", "ready") if state in found), "unknown")
