"""Which settings devices say they have, as sent over MQTT."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Change
from annexfleet_controller.store import rollout_evidence


def versions(db: Session, numbers: Collection[int]) -> dict[int, tuple[int, datetime]]:
    """The version of the settings in force in each of these devices, and when it was so; who never said is missing.

    Settings come into force without a new hello; then the agent's own figures tell.
    """
    found: dict[int, tuple[int, datetime]] = {}
    for number, told in rollout_evidence.told(db, numbers).items():
        at = told.heard_at or told.hello_at
        if at is not None:
            found[number] = (told.config_version, at)
    for number, at, payload in rollout_evidence.parts(db, "agent", numbers):
        try:
            change = wire.decode_up("change", payload)
        except wire.Malformed:
            continue
        assert isinstance(change, Change)
        version = change.readings.get("", {}).get("agent_config_version")
        if isinstance(version, int | float):
            found[number] = (int(version), max(at, found[number][1]) if number in found else at)
    return found
