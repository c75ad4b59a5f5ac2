"""A session's frames: numbered, sealed, acknowledged, sent again.  Told everything and does no I/O.

MQTT at QoS 0 keeps the order and loses what is under way when a connection ends.  So each side keeps what the other has
not acknowledged, and sends it again when it hears that something is missing, when nothing was heard for a while, or
when the line is back (`resume`): a short cut in mid-task loses nothing.

    frame   F | session (8 bytes) | number (u32) | sealed(kind (1) | last (1) | request (u32) | data)
    ack     A | session (8 bytes) | upto (u32)   | credit (u32)

An acknowledgement is not sealed: whoever can forge one can as well drop packets.  `credit` is the highest number of a
frame with data that the other side may send, and moves only as data is *consumed*, so a slow disk slows the sender.
Control parts (cancel, ping, result, …) are small and need no credit, so nothing can keep a cancel back.

A frame is sent again as the very bytes it was: nothing is ever sealed twice under one number.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, get_args

from msgspec import Struct

from annexfleet_agent.protocol.envelope import ACK, FRAME, SESSION_BYTES

DATA_BYTES = 48 * 1024
"""At most in one part: a frame stays below the wire's 64 KiB."""
WINDOW = 32
"""Frames with data that wait to be consumed, each direction: 1.5 MB."""
MAX_UNACKED = 512
"""Frames of any kind; above this the other side is not there."""
FIRST_RESEND_S = 2.0
LONGEST_RESEND_S = 20.0
_SOONEST_RESEND_S = 0.2
_ACK_EVERY = 8

Kind = Literal["request", "input", "cancel", "ping", "output", "errors", "missing", "result", "pong", "bye"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITH_DATA: frozenset[Kind] = frozenset({"input", "output", "errors"})

_HEAD = struct.Struct(f">c{SESSION_BYTES}sI")
_ACK = struct.Struct(f">c{SESSION_BYTES}sII")
_PART = struct.Struct(">BBI")
OVERHEAD_BYTES = _HEAD.size + _PART.size + 16


class ChannelBroken(ValueError):
    """The other side sent what it cannot have sealed, or does not hear at all: the session is over."""


class Seals(Protocol):
    """`sealing.Seal`, without the library behind it."""

    def close(self, number: int, plain: bytes, context: bytes) -> bytes: ...
    def open(self, number: int, sealed: bytes, context: bytes) -> bytes: ...


class Part(Struct, frozen=True):
    """What one frame holds."""

    kind: Kind
    request: int
    """Which request of the session it belongs to, from 1; 0 for the session itself."""
    data: bytes = b""
    last: bool = True
    """Whether nothing of this kind follows for this request."""


def session_of(packet: bytes) -> str:
    """The session that a FRAME or ACK belongs to, hexadecimal; empty if it is too short to tell."""
    return packet[1 : 1 + SESSION_BYTES].hex() if len(packet) >= _HEAD.size else ""


class Channel:
    """One side of a session.

    Belongs to one thread, or to who holds its lock.  Packets to be sent are handed to `send`, in order.
    """

    def __init__(
        self, session: str, *, out: Seals, in_: Seals, send: Callable[[bytes], object], now: float, window: int = WINDOW
    ) -> None:
        """`now` here and below is monotonic, in seconds."""
        self._session = bytes.fromhex(session)
        self._out, self._in = out, in_
        self._send = send
        self._window = window
        self._next = 1
        self._unacked: deque[tuple[int, bytes]] = deque()
        self._waiting: deque[Part] = deque()
        """Parts with data for which there is no credit yet."""
        self._credit = window
        self._heard_upto = 0
        self._consumed_upto = 0
        self._data_unconsumed: deque[int] = deque()
        self._told = (0, window)
        self._last_ack = (0, 0)
        self._resend_after_s = FIRST_RESEND_S
        self._resent_at = now
        self._progress_at = now
        self.heard_at = now
        """When the other side was last heard."""

    # -- sending

    @property
    def may_put(self) -> bool:
        """Whether another part with data would go at once; who reads from a pipe waits for this."""
        return not self._waiting and self._next <= self._credit and len(self._unacked) < self._window

    @property
    def is_drained(self) -> bool:
        """Whether the other side has acknowledged everything."""
        return not self._waiting and not self._unacked

    def put(self, part: Part, now: float) -> None:
        """Send a part, or keep it until there is credit.  Parts of one request keep their order.

        Raises ChannelBroken if far too much is unacknowledged, and ValueError for more than DATA_BYTES of data.
        """
        if len(part.data) > DATA_BYTES:
            raise ValueError(f"{len(part.data)} bytes in one part")
        if len(self._unacked) + len(self._waiting) >= MAX_UNACKED:
            raise ChannelBroken("the other side does not hear")
        urgent = part.kind in ("cancel", "ping", "pong", "bye")
        if not urgent and (self._waiting or (part.kind in WITH_DATA and not self._has_credit)):
            self._waiting.append(part)
            return
        self._transmit(part, now)

    def resume(self, now: float) -> None:
        """The line was away and is back: say what was heard, and send again what the other side may not have."""
        self._acknowledge()
        self._resend(now)

    def tick(self, now: float) -> None:
        """Call about once a second: acknowledges what was heard, sends again what stays unacknowledged."""
        if self._told[0] != self._heard_upto:
            self._acknowledge()
        if self._unacked and now - max(self._resent_at, self._progress_at) >= self._resend_after_s:
            self._resend_after_s = min(LONGEST_RESEND_S, 2 * self._resend_after_s)
            self._resend(now)

    # -- hearing

    def hear(self, packet: bytes, now: float) -> Part | None:
        """What a FRAME or ACK of this session says; None if it was an ACK or came before.

        Raises ChannelBroken if it was not sealed by the other side or is no packet.
        """
        if packet[:1] == ACK:
            self._heard_ack(packet, now)
            return None
        if len(packet) < OVERHEAD_BYTES:
            raise ChannelBroken("a frame that is too short")
        _, _, number = _HEAD.unpack_from(packet)
        if number != self._heard_upto + 1:
            # An older one: our acknowledgement was lost.  A later one: something before it was.  Either way, say so.
            self.heard_at = now
            self._acknowledge()
            return None
        try:
            plain = self._in.open(number, packet[_HEAD.size :], packet[: _HEAD.size])
        except ValueError as error:
            raise ChannelBroken(str(error)) from None
        code, last, request = _PART.unpack_from(plain)
        if code >= len(KINDS):
            raise ChannelBroken("a part of unknown kind")
        self.heard_at = now
        self._heard_upto = number
        part = Part(KINDS[code], request, plain[_PART.size :], bool(last))
        if part.kind in WITH_DATA:
            self._data_unconsumed.append(number)
        else:
            self._consume_upto()
        if number - self._told[0] >= _ACK_EVERY or part.kind not in WITH_DATA or part.last:
            self._acknowledge()
        return part

    def consumed(self) -> None:
        """The oldest part with data that was heard and not consumed yet is: the other side may send another."""
        if self._data_unconsumed:
            self._data_unconsumed.popleft()
        self._consume_upto()
        if self._consumed_upto + self._window - self._told[1] >= _ACK_EVERY:
            self._acknowledge()

    # -- within

    @property
    def _has_credit(self) -> bool:
        return self._next <= self._credit

    def _transmit(self, part: Part, now: float) -> None:
        number, self._next = self._next, self._next + 1
        head = _HEAD.pack(FRAME, self._session, number)
        plain = _PART.pack(KINDS.index(part.kind), part.last, part.request) + part.data
        packet = head + self._out.close(number, plain, head)
        if not self._unacked:
            self._progress_at = now
        self._unacked.append((number, packet))
        self._send(packet)

    def _heard_ack(self, packet: bytes, now: float) -> None:
        if len(packet) != _ACK.size:
            raise ChannelBroken("an acknowledgement of the wrong length")
        _, _, upto, credit = _ACK.unpack(packet)
        if upto >= self._next:
            raise ChannelBroken("an acknowledgement of what was not sent")
        self.heard_at = now
        moved = False
        while self._unacked and self._unacked[0][0] <= upto:
            self._unacked.popleft()
            moved = True
        if moved:
            self._progress_at = now
            self._resend_after_s = FIRST_RESEND_S
        self._credit = max(self._credit, min(credit, upto + self._window))
        # The same one twice: something came out of turn there.  One with more credit only tells of consumption.
        repeats, self._last_ack = self._last_ack == (upto, credit), (upto, credit)
        if self._unacked and repeats and now - max(self._resent_at, self._progress_at) >= _SOONEST_RESEND_S:
            self._resend(now)
        while self._waiting and (self._waiting[0].kind not in WITH_DATA or self._has_credit):
            self._transmit(self._waiting.popleft(), now)

    def _resend(self, now: float) -> None:
        self._resent_at = now
        for _, packet in self._unacked:
            self._send(packet)

    def _consume_upto(self) -> None:
        self._consumed_upto = self._data_unconsumed[0] - 1 if self._data_unconsumed else self._heard_upto

    def _acknowledge(self) -> None:
        self._told = (self._heard_upto, self._consumed_upto + self._window)
        self._send(_ACK.pack(ACK, self._session, *self._told))
