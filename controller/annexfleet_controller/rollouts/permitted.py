"""Who may do what to a rollout, besides what its state allows: for pages and the API alike.

Whoever may plan rollouts may edit, submit, withdraw and try those of which they see all devices, and pause them, for
nobody shall have to watch harm grow; and begin new ones from any.  To start, resume and end one is for those whose
rollout it is (who wrote or submitted it) and for those who may approve; approving and rejecting only for the latter,
and never for who wrote or submitted it.
"""

from msgspec import Struct

from annexfleet_controller.rollouts.errors import RolloutOfOthers
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import machine
from annexfleet_controller.waves.model import BAD

_STEERED = frozenset({"start", "resume", "abort"})
_FOR_A_SECOND = frozenset({"approve", "reject"})
_NOT_STARTED = frozenset({"draft", "submitted", "approved"})


class Hand(Struct, frozen=True, kw_only=True):
    """Who would act."""

    name: str
    may_approve: bool
    """Has the right `approve_rollouts`."""
    sees_all: bool = True
    """Every device of the rollout; without that one only looks, and begins new ones for those in sight."""


def demand(found: Detail, what: str, hand: Hand) -> None:
    """Raises RolloutOfOthers where this is not for them to do, whatever the state; see `may` for the rest.

    That a second person is one is said by `steering` in words of its own.
    """
    if what in _STEERED and not _may_steer(found, hand):
        raise RolloutOfOthers(f"rollout {found.id} is not {hand.name}'s")


def may(found: Detail, hand: Hand) -> tuple[str, ...]:
    """What they could ask of it now: acts of `waves.machine`, and `edit`, `dry_run`, `clone`, `retry`, `rollback`."""
    acts = [act for act in machine.may(found.state) if _may_act(found, act, hand)] if hand.sees_all else []
    more = []
    if hand.sees_all and found.state == "draft":
        more.append("edit")
    if hand.sees_all and found.state in _NOT_STARTED:
        more.append("dry_run")
    more.append("clone")
    if any(found.tally.get(state, 0) for state in BAD):
        more.append("retry")
    if found.started_at is not None and found.nature.reverse is not None:
        more.append("rollback")
    return (*acts, *more)


def _may_act(found: Detail, what: str, hand: Hand) -> bool:
    if what in _FOR_A_SECOND:
        return hand.may_approve and hand.name not in (found.author, found.submitted_by)
    return what not in _STEERED or _may_steer(found, hand)


def _may_steer(found: Detail, hand: Hand) -> bool:
    return hand.may_approve or hand.name in (found.author, found.submitted_by)
