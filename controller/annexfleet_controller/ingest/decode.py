"""From topic and bytes to a message, or to something set aside with its reason."""

import re
from typing import NamedTuple

from annexfleet_agent.protocol import messages, topics, wire

_SEQ = re.compile(rb'"seq"\s*:\s*(\d{1,16})(?=\s*[,}\]])')
_MOST = 2**53
_CODES = ("session_id", "boot_id", "install_id", "agent_version", "collector", "digest")
"""Fields of messages that become columns of their own."""


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
    """Of a beat, all but the numbers."""
    payload: bytes
    at: float


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


def decode(received: Received) -> Heard | Aside:
    """What a device said; never raises.

    The reasons are those of `wire.decode_up`, and `unknown_topic` and `not_storable`.
    """
    topic, payload, at = received
    sender = topics.sender(topic)
    if sender is None:
        return Aside("", topic, payload, at, "unknown_topic", "", 0)
    try:
        message = wire.decode_up(sender.kind, payload)
    except wire.Malformed as error:
        return Aside(sender.device_id, topic, payload, at, error.reason, error.detail, _number(payload))
    if isinstance(message, messages.Beat):
        # The numbers were looked at and are in the payload.  Keeping thousands of them until the commit would make the
        # garbage collector go through them again and again, which measured twice the cost of decoding.
        message = messages.Beat(seq=message.seq, at=message.at, seconds=message.seconds, numbers={})
    elif _unstorable(message):
        detail = "a zero character in a code"
        return Aside(sender.device_id, topic, payload, at, "not_storable", detail, _number(payload))
    return Heard(sender.device_id, sender.kind, message, payload, at)


def _number(payload: bytes) -> int:
    """The `seq` in a payload that is otherwise of no use; 0 if there is not exactly one."""
    try:
        json = wire.unpack(payload)
    except wire.Malformed:
        return 0
    found = _SEQ.findall(json)
    seq = int(found[0]) if len(found) == 1 else 0
    return seq if seq <= _MOST else 0


def _unstorable(message: messages.UpMessage) -> bool:
    # PostgreSQL's text cannot hold it.
    return any("\x00" in getattr(message, name, "") for name in _CODES)
