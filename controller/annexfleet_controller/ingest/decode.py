"""From topic and bytes to a message, or to something set aside with its reason.

What is decoded waits for the commit, so only what is needed to judge a message is kept of it; the rest is in its
payload.  A few hundred bytes can hide a hundred thousand objects, and even honest ones cost: the garbage collector
went through them again and again, which measured twice the cost of decoding.
"""

import re
from typing import Any, NamedTuple

from msgspec.structs import replace

from annexfleet_agent.protocol import messages, topics, wire

_SEQ = re.compile(rb'"seq"\s*:\s*(\d{1,16})(?=\s*[,}\]])')
_MOST = 2**53
_CODES = ("session_id", "command_id", "detail", "boot_id", "install_id", "agent_version", "collector", "digest")
"""Fields of messages that become columns of their own."""
CONFIG_VERSION = "agent_config_version"
_NOT_JUDGED: dict[type, dict[str, Any]] = {
    messages.Inventory: {"hardware": {}, "os": {}, "packages": {}, "printers": []},
    messages.Live: {"readings": {}},
    messages.Gap: {"lost": {}},
    messages.Hello: {"features": []},
}
_RANGE_BYTES = 160
"""What one range of a gap takes in memory."""


class Received(NamedTuple):
    """A message as the broker handed it over."""

    topic: str
    payload: bytes
    at: float
    """Unix seconds, by our clock"""


class Heard(NamedTuple):
    """A message that was understood."""

    device_id: str
    kind: topics.Up
    message: messages.UpMessage
    """Without readings, numbers and lists; of the agent's own readings the one that is judged."""
    payload: bytes
    at: float
    weight: int
    """How many bytes it was decoded from, and about as many as it keeps until the commit."""


class Aside(NamedTuple):
    """A message that was not."""

    device_id: str
    """Empty if the topic does not tell."""
    topic: str
    payload: bytes
    at: float
    reason: str
    detail: str
    seq: int
    """The item's number, if that at least could be read, so that the device may forget it; else 0."""
    weight: int


def decode(received: Received) -> Heard | Aside:
    """What a device said; never raises.

    The reasons are those of `wire.decode_up`, and `unknown_topic` and `not_storable`.
    """
    topic, payload, at = received
    sender = topics.sender(topic)
    if sender is None:
        return Aside("", topic, payload, at, "unknown_topic", "", 0, len(payload))
    device_id, kind = sender
    json = b""
    try:
        json = wire.unpack(payload, at_most=wire.max_inflated_bytes(kind))
        message = wire.parse_up(kind, json)
    except wire.Malformed as error:
        # What was inflated in vain has cost as much as what was not.
        weight = len(json) or wire.max_inflated_bytes(kind)
        return Aside(device_id, topic, payload, at, error.reason, error.detail, _number(json), weight)
    if not isinstance(message, messages.Beat) and _unstorable(message):
        detail = "a zero character in a code"
        return Aside(device_id, topic, payload, at, "not_storable", detail, _number(json), len(json))
    weight = len(json) + (_RANGE_BYTES * len(message.ranges) if isinstance(message, messages.Gap) else 0)
    return Heard(device_id, kind, _lightened(message), payload, at, weight)


def _lightened(message: messages.UpMessage) -> messages.UpMessage:
    if isinstance(message, messages.Beat):  # nearly always, so without the detour of `replace`
        return messages.Beat(
            seq=message.seq, at=message.at, seconds=message.seconds, numbers={}, earlier_boot=message.earlier_boot
        )
    if isinstance(message, messages.Change):
        version = message.readings.get("", {}).get(CONFIG_VERSION)
        judged = message.collector == "agent" and isinstance(version, int | float)
        return replace(message, readings={"": {CONFIG_VERSION: version}} if judged else {}, problems={}, because=[])
    return replace(message, **_NOT_JUDGED.get(type(message), {}))


def _number(json: bytes) -> int:
    """The `seq` in what is otherwise of no use; 0 if there is not exactly one."""
    found = _SEQ.findall(json)
    seq = int(found[0]) if len(found) == 1 else 0
    return seq if seq <= _MOST else 0


def _unstorable(message: messages.UpMessage) -> bool:
    # PostgreSQL's text cannot hold it.
    return any("\x00" in getattr(message, name, "") for name in _CODES)
