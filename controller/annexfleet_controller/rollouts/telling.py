"""What devices report of themselves that rollouts may name: facts, each with the moment at which it was so."""

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change, Inventory
from annexfleet_controller.store import rollout_evidence

_PACKAGE = "package:"
_OF_INVENTORY = frozenset({"kernel", "os_version"})


class Reported(Struct, frozen=True):
    """One device's facts."""

    facts: Mapping[str, str] = {}
    at: Mapping[str, datetime] = {}
    """By fact: when it was so, by our clock."""

    @property
    def heard_at(self) -> datetime | None:
        """Of the oldest of them: all are at least as new as this."""
        return min(self.at.values(), default=None)


def reported(db: Session, numbers: Collection[int], names: Collection[str]) -> dict[int, Reported]:
    """The facts of these names that these devices report, by number; one that told none of them is missing.

    Where packages are asked for and a device has none of these, one that it has stands for its list, so that "not
    installed" and "nobody knows" are told apart (`waves.natures.fits`).
    """
    facts: dict[int, dict[str, tuple[str, datetime]]] = {}
    if wanted := {"agent_version", "config_version"}.intersection(names):
        _of_hellos(db, numbers, wanted, facts)
    if "config_version" in names:
        _of_settings(db, numbers, facts)
    if any(name in _OF_INVENTORY or name.startswith(_PACKAGE) for name in names):
        _of_inventories(db, numbers, frozenset(names), facts)
    return {
        number: Reported({name: value for name, (value, _) in of.items()}, {name: at for name, (_, at) in of.items()})
        for number, of in facts.items()
    }


def _of_hellos(
    db: Session, numbers: Collection[int], wanted: set[str], facts: dict[int, dict[str, tuple[str, datetime]]]
) -> None:
    for number, told in rollout_evidence.told(db, numbers).items():
        if told.hello_at is None:
            continue
        of = facts.setdefault(number, {})
        if "agent_version" in wanted and told.agent_version:
            of["agent_version"] = (told.agent_version, told.hello_at)
        if "config_version" in wanted:
            of["config_version"] = (str(told.config_version), told.hello_at)


def _of_settings(
    db: Session, numbers: Collection[int], facts: dict[int, dict[str, tuple[str, datetime]]]
) -> None:  # fmt: skip
    """Settings come into force without a new hello; then the agent's own figures tell."""
    for number, at, payload in rollout_evidence.parts(db, "agent", numbers):
        try:
            change = wire.decode_up("change", payload)
        except wire.Malformed:
            continue  # of a version that this one does not understand
        assert isinstance(change, Change)
        version = change.readings.get("", {}).get("agent_config_version")
        of = facts.setdefault(number, {})
        if isinstance(version, int | float) and ("config_version" not in of or at > of["config_version"][1]):
            of["config_version"] = (str(int(version)), at)


def _of_inventories(
    db: Session, numbers: Collection[int], names: frozenset[str], facts: dict[int, dict[str, tuple[str, datetime]]]
) -> None:
    asks_packages = any(name.startswith(_PACKAGE) for name in names)
    for number, at, payload in rollout_evidence.inventories(db, numbers):
        try:
            told = wire.decode_up("inventory", payload)
        except wire.Malformed:
            continue
        assert isinstance(told, Inventory)
        of = facts.setdefault(number, {})
        for name, key in (("kernel", "kernel"), ("os_version", "version")):
            if name in names and key in told.os:
                of[name] = (str(told.os[key]), at)
        if asks_packages and told.packages:
            of |= {
                f"{_PACKAGE}{package}": (version, at)
                for package, version in told.packages.items()
                if f"{_PACKAGE}{package}" in names
            }
            if not any(name.startswith(_PACKAGE) for name in of):
                package, version = next(iter(told.packages.items()))
                of[f"{_PACKAGE}{package}"] = (version, at)
