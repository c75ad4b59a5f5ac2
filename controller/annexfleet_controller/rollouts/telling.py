"""What devices report of themselves that rollouts may name: facts, each with the moment at which it was so.

The version of an agent cannot change within a session, and a change of its settings is told at once: what its last
hello said is therefore as new as its last message.  An inventory is as old as it is.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller.rollouts import in_force, wanting
from annexfleet_controller.store import rollout_evidence

_PACKAGE = "package:"
_OF_SYSTEM = {"kernel": "kernel", "os_version": "version"}
Facts = dict[str, tuple[str, datetime]]


class Reported(Struct, frozen=True):
    """One device's facts."""

    facts: Mapping[str, str] = {}
    at: Mapping[str, datetime] = {}
    """By fact: when it was so, by our clock."""

    @property
    def heard_at(self) -> datetime | None:
        """Of the oldest of them: all are at least as new as this."""
        return min(self.at.values(), default=None)


def told_by(facts: Mapping[str, tuple[str, datetime]]) -> Reported:
    return Reported({name: value for name, (value, _) in facts.items()}, {name: at for name, (_, at) in facts.items()})


def is_of_inventory(name: str) -> bool:
    return name in _OF_SYSTEM or name.startswith(_PACKAGE)


def reported(db: Session, numbers: Collection[int], names: Collection[str]) -> dict[int, Reported]:
    """The facts of these names that these devices report, by number; one that told none of them is missing."""
    facts: dict[int, Facts] = {}
    if "agent_version" in names:
        for number, told in rollout_evidence.told(db, numbers).items():
            at = told.heard_at or told.hello_at
            if at is not None and told.agent_version:
                facts.setdefault(number, {})["agent_version"] = (told.agent_version, at)
    if "config_version" in names:
        for number, (version, at) in in_force.versions(db, numbers).items():
            facts.setdefault(number, {})["config_version"] = (str(version), at)
    for number, of in wanting.facts(db, numbers, names).items():
        facts.setdefault(number, {}).update(of)
    if any(map(is_of_inventory, names)):
        for number, of in of_inventories(db, numbers, names).items():
            facts.setdefault(number, {}).update(of)
    return {number: told_by(of) for number, of in facts.items()}


def of_inventories(db: Session, numbers: Collection[int], names: Collection[str]) -> dict[int, Facts]:
    """Of the inventories of these devices the facts of these names.

    Where packages are asked for and a device has none of these, one that it has stands for its list, so that "not
    installed" and "nobody knows" are told apart (`waves.natures.fits`).
    """
    wanted = frozenset(names)
    found: dict[int, Facts] = {}
    for number, at, payload in rollout_evidence.inventories(db, numbers):
        try:
            told = wire.decode_up("inventory", payload)
        except wire.Malformed:
            continue  # of a version that this one does not understand
        assert isinstance(told, Inventory)
        of = found[number] = {
            name: (str(told.os[key]), at) for name, key in _OF_SYSTEM.items() if name in wanted and key in told.os
        }
        if told.packages and any(name.startswith(_PACKAGE) for name in wanted):
            packages = {f"{_PACKAGE}{package}": version for package, version in told.packages.items()}
            of |= {name: (packages[name], at) for name in wanted & packages.keys()} or {
                name: (version, at) for name, version in list(packages.items())[:1]
            }
    return found
