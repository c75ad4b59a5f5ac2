"""What the resident agent and its runner say to each other, over a SOCK_SEQPACKET socket: a byte that tells the kind,
and a body.  The resident imports this, so it stays light.

    agent  -> runner   P packet            one of `protocol.envelope`, as it came from the controller
                       U | D               the line to the controller is up again | is down
                       K command id        its receipt lies in the outbox
    runner -> agent    P n channel packet  to be published; n bytes name the relay's channel.  With n = 0 the agent
                                           looks it up: the runner does not know the session that the packet names
                       R Told              what became of a command, for the outbox
                       W seconds           watch this device
                       S Refused           which envelopes were refused
                       B                   it ends, and nobody waits for anything
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from annexfleet_agent.protocol.messages import Code

PACKET = b"P"
LINK_UP = b"U"
LINK_DOWN = b"D"
KEPT = b"K"
RECEIPT = b"R"
WATCH = b"W"
REFUSED = b"S"
ENDS = b"B"

MAX_BYTES = 66 * 1024
"""Of one message: the wire's 64 KiB and what stands before it."""
SOCKET_BYTES = 256 * 1024
"""Of the kernel's buffers, each direction."""


KNOCK = b"K"
FRAME = b"F"
REFUSAL = b"R"
"""What the resident has to know of packets, as in `protocol.envelope`; that one is too heavy to stay in memory."""


class Address(Struct, frozen=True):
    """What a knock or a refusal says of whose it is."""

    session: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    channel: str = ""


def address(packet: bytes) -> Address | None:
    """Of a KNOCK or REFUSAL packet; None if it is none."""
    if packet[:1] not in (KNOCK, REFUSAL):
        return None
    try:
        return msgspec.json.decode(packet[1:], type=Address)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def session_of(packet: bytes) -> str:
    """Of a FRAME packet."""
    return packet[1:9].hex()


def refusal(session: str, reason: str) -> bytes:
    return REFUSAL + msgspec.json.encode({"session": session, "reason": reason})


class Told(Struct, frozen=True):
    """What became of a command."""

    command_id: Code
    outcome: Literal["done", "refused", "failed", "unknown"]
    detail: Code = ""
    at: float = 0.0
    proof: Code = ""


class Refused(Struct, frozen=True):
    """Envelopes that were refused as if they had been forged."""

    by_hour: dict[int, Annotated[int, Meta(ge=0)]]
    """How many in which hour (Unix time divided by 3600), of the last day."""
    by_reason: dict[str, Annotated[int, Meta(ge=0)]]
    """How many since the runner was installed, for the log."""


def to_relay(channel: str, packet: bytes) -> bytes:
    name = channel.encode()
    return PACKET + bytes([len(name)]) + name + packet


def from_runner(message: bytes) -> tuple[str, bytes]:
    """Channel and packet of a PACKET that a runner sent.  Raises ValueError."""
    length = message[1] if len(message) > 1 else 255
    if len(message) < 2 + length:
        raise ValueError("a packet that was cut")
    return message[2 : 2 + length].decode("ascii"), message[2 + length :]


def told(message: bytes) -> Told:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(message[1:], type=Told)


def refused(message: bytes) -> Refused:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(message[1:], type=Refused)
