"""What an act touches, and whether that is so much that it asks once more.  Thinks only."""

import hashlib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

MANY = 1
"""An act upon more devices or annexes than this asks once more."""

Effect = Literal[
    "devices_retired", "tokens_end", "boards_end", "connection_ends", "alerts_end", "alerts_anew", "sight_changes",
    "rules_change", "rollouts_keep_place", "rollouts_skip", "old_is_retired", "takes_over", "past_stays", "undo",
    "every_annex", "rule_off", "new_hours",
]  # fmt: skip
"""What comes of an act; each has words (`effect`)."""


class Rollout(Struct, frozen=True):
    id: int
    name: str


class Reach(Struct, frozen=True, kw_only=True):
    """What an act touches."""

    annexes: int = 0
    devices: int = 0
    printers: int = 0
    incidents: int = 0
    """Open ones."""
    rollouts: tuple[Rollout, ...] = ()
    """Those that are not over."""
    names: tuple[str, ...] = ()
    """Of the things themselves, as people know them."""
    effects: tuple[Effect, ...] = ()
    digest: str = ""
    """What has to come back with a yes: it differs when other things are touched by now."""

    @property
    def asks(self) -> bool:
        """Whether it touches so much that it asks once more."""
        return max(self.annexes, self.devices) > MANY or bool(self.rollouts)


def digest(act: str, parts: Iterable[str]) -> str:
    """What proves that a yes is about what was shown: SHA-256 over the act and the sorted parts, a line each."""
    lines = [act, *sorted(set(parts))]
    return hashlib.sha256("".join(f"{one}\n" for one in lines).encode()).hexdigest()
