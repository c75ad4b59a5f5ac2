"""Who asks: a signed-in person, or a program that acts for one."""

from typing import Literal

from msgspec import Struct

from annexfleet_controller.access.roles import Right, may
from annexfleet_controller.store.around import DeedKind
from annexfleet_controller.store.scope import Scope

_DEEDS: dict[DeedKind, Right] = {"rollout": "plan_rollouts", "run": "run_playbooks", "command": "send_commands"}


class Person(Struct, frozen=True):
    user_id: int
    name: str
    role: str
    scope: Scope
    language: str
    must_change_password: bool
    via: Literal["session", "key"]
    digest: str
    """SHA-256 of the cookie or the key."""
    csrf_token: str = ""
    """Of the session; programs have none and need none."""
    must_set_up_factor: bool = False
    """A second factor is demanded of this role, and this person has none yet."""
    reads_only: bool = False
    """Of a key that may change nothing."""

    @property
    def owes(self) -> Literal["", "password", "factor"]:
        """What this person has to do before anything else opens."""
        if self.must_change_password:
            return "password"
        return "factor" if self.must_set_up_factor else ""

    def may(self, right: Right) -> bool:
        return may(self.role, right, whole_province=self.scope.annexes is None)

    @property
    def reads_deeds(self) -> frozenset[DeedKind]:
        """What of that which was done to devices this person's role reads of anywhere."""
        return frozenset(kind for kind, right in _DEEDS.items() if self.may(right))
