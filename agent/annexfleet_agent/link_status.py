"""How the uplink stands."""

from msgspec import Struct


class Status(Struct):
    """What `annexfleet-agent status` shows of the uplink."""

    state: str = "offline"
    """`offline`, `connecting`, `connected` or `nobody_listens` (the broker is there, the controller is not)."""
    connected_since: float | None = None
    last_ack_at: float | None = None
    acked_upto: int = 0
    problem: str = ""
    problem_at: float | None = None
    attempts: int = 0
