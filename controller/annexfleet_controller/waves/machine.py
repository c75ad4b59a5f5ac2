"""Which state may follow which, for a rollout, its phases and its devices; nothing else may ever be written.

Each transition has a name.  The conductor has a crash point by that name right before and right after the commit that
writes it, and a test kills it there; so a transition that is added here without one fails the build.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from annexfleet_controller.errors import WrongState
from annexfleet_controller.waves.model import OVER, Phase, RolloutState, TargetState

Act = Literal[
    "submit", "approve", "reject", "withdraw", "start", "pause", "resume", "stop", "abort", "finish", "supersede"
]
ACTS: tuple[Act, ...] = get_args(Act)

BY_CONDUCTOR: frozenset[Act] = frozenset({"stop", "finish", "supersede"})
"""Nobody asks for these; all others are a person's."""

TRANSITIONS: Mapping[tuple[RolloutState, Act], RolloutState] = {
    ("draft", "submit"): "submitted",
    ("draft", "abort"): "aborted",
    ("submitted", "approve"): "approved",
    ("submitted", "reject"): "draft",
    ("submitted", "withdraw"): "draft",
    ("submitted", "abort"): "aborted",
    ("approved", "withdraw"): "draft",
    ("approved", "start"): "running",
    ("approved", "abort"): "aborted",
    ("running", "pause"): "paused",
    ("running", "stop"): "stopped",
    ("running", "abort"): "aborted",
    ("running", "finish"): "done",
    ("running", "supersede"): "superseded",
    ("paused", "resume"): "running",
    ("paused", "stop"): "stopped",
    ("paused", "abort"): "aborted",
    ("paused", "finish"): "done",
    ("paused", "supersede"): "superseded",
    ("stopped", "resume"): "running",
    ("stopped", "abort"): "aborted",
    ("stopped", "finish"): "done",
    ("stopped", "supersede"): "superseded",
}
"""A rollout that waits for its second person is submitted; one that needs none is approved in the same breath."""

PHASES: Mapping[tuple[Phase, Phase], str] = {
    ("", "rolling"): "roll",
    ("rolling", "soaking"): "soak",
    ("soaking", "rolling"): "next_wave",
    ("rolling", "rolling"): "empty_wave",
    ("soaking", ""): "stragglers",
    ("rolling", ""): "stragglers_alone",
}
"""Of a running rollout.  A wave of which no device was touched has nothing to soak; after the last one, those that were
away are still waited for."""

TARGET_TRANSITIONS: Mapping[tuple[TargetState, TargetState], str] = {
    ("waiting", "running"): "begin",
    ("waiting", "compliant"): "comply",
    ("waiting", "deferred"): "defer",
    ("waiting", "skipped"): "skip",
    ("waiting", "unknown"): "miss",
    ("deferred", "running"): "begin_again",
    ("deferred", "compliant"): "comply_later",
    ("deferred", "skipped"): "skip_deferred",
    ("deferred", "unknown"): "give_up",
    ("running", "waiting"): "put_back",
    ("running", "verifying"): "end_well",
    ("running", "deferred"): "unreachable",
    ("running", "failed"): "fail",
    ("running", "timed_out"): "time_out",
    ("running", "unknown"): "lose",
    ("running", "skipped"): "never_run",
    ("verifying", "succeeded"): "succeed",
    ("verifying", "failed"): "not_verified",
    ("failed", "succeeded"): "turn_up",
    ("timed_out", "succeeded"): "turn_up_after_timeout",
    ("unknown", "succeeded"): "turn_up_after_all",
}
"""The last three are of devices that ended badly because nobody heard of them, and that report it after all."""


def after(state: RolloutState, act: Act) -> RolloutState:
    """The state that follows.  Raises WrongState, with both in the facts, where there is none."""
    try:
        return TRANSITIONS[state, act]
    except KeyError:
        raise WrongState(f"a rollout that is {state} takes no {act}", state=state, act=act) from None


def may(state: RolloutState) -> tuple[Act, ...]:
    """What a person could ask of a rollout in this state, their rights apart."""
    return tuple(act for act in ACTS if (state, act) in TRANSITIONS and act not in BY_CONDUCTOR)


def act_to(before: RolloutState, to: RolloutState) -> Act | None:
    """The conductor's act that leads there; None if it stays, or has none."""
    return next(
        (
            act
            for (state, act), after_ in TRANSITIONS.items()
            if (state, after_) == (before, to) and act in BY_CONDUCTOR
        ),
        None,
    )


def may_settle(before: TargetState, to: TargetState) -> bool:
    return (before, to) in TARGET_TRANSITIONS


# -- names, which are ids of crash points


def point_of_act(state: RolloutState, act: Act) -> str:
    return f"rollout.{state}.{act}"


def point_of_phase(before: Phase, to: Phase) -> str:
    return f"phase.{PHASES[before, to]}"


def point_of_target(before: TargetState, to: TargetState) -> str:
    return f"target.{TARGET_TRANSITIONS[before, to]}"


POINTS: tuple[str, ...] = (
    *(point_of_act(state, act) for state, act in TRANSITIONS),
    *(point_of_phase(before, to) for before, to in PHASES),
    *(point_of_target(before, to) for before, to in TARGET_TRANSITIONS),
)
"""All of them."""

IS_STARTED: frozenset[RolloutState] = frozenset({"running", "paused", "stopped", *OVER})
"""The conductor looks at these as long as a device has not ended, and at the first three in any case."""
