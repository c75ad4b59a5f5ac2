"""A session's frames: numbered, sealed, acknowledged, sent again.  Told everything and does no I/O.

MQTT at QoS 0 keeps the order and loses what is under way when a connection ends.  So each side keeps what the other has
not acknowledged, and sends again what was lost: a short cut in mid-task loses nothing.

    frame   F | session (8 bytes) | sending (u32) | number (u32) | sealed(acknowledgement | kind (1) | last (1) |
                                                                          request (u32) | data)
    probe   F | session (8 bytes) | sending (u32) | 0
    ack     A | session (8 bytes) | acknowledgement

    acknowledgement   upto (u32) | credit (u32) | sending (u32)

What was lost is known and not guessed.  Every packet has the next `sending` number, also one that is sent again, and an
acknowledgement says which was heard last.  As the way keeps the order, whatever was sent before that and is not
acknowledged did not come.  If nothing is heard at all, a probe of some bytes asks; nothing is sent again because a line
is slow.

An acknowledgement travels in the frames of the other direction, and alone only if there are none for a while.  Alone it
is not sealed: whoever can forge one can as well drop packets.  `credit` is the highest number of a frame with data that
the other side may send, and moves only as data is *consumed*, so a slow disk slows the sender.  Control parts (cancel,
ping, result, …) are small and need no credit, so nothing can keep a cancel back.

A frame's sealed bytes are made once: nothing is ever sealed twice under one number.
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
"""Frames with data that wait to be consumed, each direction: 1.5 MB.  Both sides begin with the same."""
MAX_UNACKED = 512
"""Frames of any kind; above this the other side is not there."""
FIRST_PROBE_S = 2.0
LONGEST_PROBE_S = 20.0
_SOONEST_PROBE_S = 0.5
_SOONEST_RESEND_S = 0.2
"""Between the second sending of a frame and its third, and so on: a forged acknowledgement cannot make a storm."""
_URGENT_MORE = 64
_LAST_NUMBER = 2**32 - 1

Kind = Literal["request", "input", "cancel", "ping", "output", "errors", "missing", "result", "pong", "bye"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITH_DATA: frozenset[Kind] = frozenset({"input", "output", "errors"})
_URGENT: frozenset[Kind] = frozenset({"cancel", "ping", "pong", "bye"})
"""Overtake data that waits for credit."""
_TOLD_AT_ONCE: frozenset[Kind] = frozenset({"cancel", "bye"})

_HEAD = struct.Struct(f">c{SESSION_BYTES}sII")
_BOUND = struct.Struct(f">c{SESSION_BYTES}sI")
"""What a seal is bound to: all of the head but the sending, which differs when a frame is sent again."""
_ACK = struct.Struct(f">c{SESSION_BYTES}sIII")
_PART = struct.Struct(">IIIBBI")
OVERHEAD_BYTES = _HEAD.size + _PART.size + 16
_PROBE = 0


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


class _Sent(Struct):
    """A frame that is not acknowledged yet."""

    number: int
    sealed: bytes
    sending: int = 0
    """Under which it went last."""
    at: float = 0.0
    times: int = 0


class _Told(Struct, frozen=True):
    """What an acknowledgement says."""

    upto: int
    credit: int
    sending: int


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
        self._ack_every = max(1, min(8, window // 4))
        # What goes out
        self._next = 1
        self._sending = 0
        self._unacked: deque[_Sent] = deque()
        self._waiting: deque[Part] = deque()
        """Parts with data for which there is no credit yet, and what must not overtake them."""
        self._credit = window
        self._heard_sending = 0
        """The highest sending of ours that the other side says it heard."""
        self._probe_after_s = FIRST_PROBE_S
        self._probed_at = now - LONGEST_PROBE_S
        self._progress_at = now
        # What comes in
        self._heard_upto = 0
        self._consumed_upto = 0
        self._data_unconsumed: deque[int] = deque()
        self._last_sending = 0
        self._out_of_turn = 0
        self._told = _Told(0, window, 0)
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
        """Send a part, or keep it until there is credit.  Parts keep their order, but urgent ones overtake data.

        Raises ChannelBroken if far too much is unacknowledged, and ValueError for more than DATA_BYTES of data.
        """
        if len(part.data) > DATA_BYTES:
            raise ValueError(f"{len(part.data)} bytes in one part")
        urgent = part.kind in _URGENT
        if len(self._unacked) + len(self._waiting) >= MAX_UNACKED + (_URGENT_MORE if urgent else 0):
            raise ChannelBroken("the other side does not hear")
        if self.is_drained:
            self._progress_at = now
        if not urgent and (self._waiting or not self._may_go(part)):
            self._waiting.append(part)
            return
        self._transmit(part, now)

    def resume(self, now: float) -> None:
        """The line was away and is back: say what was heard, and ask what the other side heard."""
        self._acknowledge()
        self._probe_after_s = FIRST_PROBE_S
        if not self.is_drained:
            self._probe(now)

    def tick(self, now: float) -> None:
        """Call about once a second: acknowledges what was heard, and asks about what stays unacknowledged."""
        if self._told != self._to_tell():
            self._acknowledge()
        self._send_lost_again(now)
        if not self.is_drained and now - max(self._probed_at, self._progress_at) >= self._probe_after_s:
            self._probe_after_s = min(LONGEST_PROBE_S, 2 * self._probe_after_s)
            self._probe(now)

    # -- hearing

    def hear(self, packet: bytes, now: float) -> Part | None:
        """What a FRAME or ACK of this session says; None if it holds nothing that is new.

        Raises ChannelBroken if it was not sealed by the other side or is no packet.
        """
        if packet[:1] == ACK:
            if len(packet) != _ACK.size:
                raise ChannelBroken("an acknowledgement of the wrong length")
            self.heard_at = now
            self._heed(_Told(*_ACK.unpack(packet)[2:]), now)
            return None
        if packet[:1] != FRAME or len(packet) < _HEAD.size:
            raise ChannelBroken("no frame")
        kind, session, self._last_sending, number = _HEAD.unpack_from(packet)
        if number != self._heard_upto + 1:
            self.heard_at = now
            self._hear_out_of_turn(number)
            self._ask_if_lost(now)
            return None
        part, told = self._opened(packet[_HEAD.size :], number, _BOUND.pack(kind, session, number))
        self.heard_at = now
        was_lost, self._out_of_turn = self._out_of_turn > 0, 0
        self._heard_upto = number
        if part.kind in WITH_DATA:
            self._data_unconsumed.append(number)
        self._consume_upto()
        self._heed(told, now)
        # Data is acknowledged as it is consumed; an answer to what was heard brings the acknowledgement with it.
        # After a gap the other side must know which of those that followed it came too early, and send them again.
        if was_lost or part.kind in _TOLD_AT_ONCE or number - self._told.upto >= 2 * self._ack_every:
            self._acknowledge()
        return part

    def consumed(self) -> None:
        """The oldest part with data that was heard and not consumed yet is: the other side may send another."""
        if self._data_unconsumed:
            self._data_unconsumed.popleft()
        self._consume_upto()
        if self._consumed_upto + self._window - self._told.credit >= self._ack_every:
            self._acknowledge()

    # -- within: sending

    def _may_go(self, part: Part) -> bool:
        return part.kind not in WITH_DATA or self._next <= self._credit

    def _transmit(self, part: Part, now: float) -> None:
        if self._next > _LAST_NUMBER:
            raise ChannelBroken("all numbers are used")
        number, self._next = self._next, self._next + 1
        self._told = told = self._to_tell()
        plain = (
            _PART.pack(told.upto, told.credit, told.sending, KINDS.index(part.kind), part.last, part.request)
            + part.data
        )
        sent = _Sent(number, self._out.close(number, plain, _BOUND.pack(FRAME, self._session, number)))
        self._unacked.append(sent)
        self._send_frame(sent, now)

    def _send_frame(self, sent: _Sent, now: float) -> None:
        sent.sending, sent.at, sent.times = self._next_sending(), now, sent.times + 1
        self._send(_HEAD.pack(FRAME, self._session, sent.sending, sent.number) + sent.sealed)

    def _send_lost_again(self, now: float) -> None:
        for sent in list(self._unacked):
            is_lost = sent.sending <= self._heard_sending
            if is_lost and (sent.times == 1 or now - sent.at >= _SOONEST_RESEND_S):
                self._send_frame(sent, now)

    def _probe(self, now: float) -> None:
        self._probed_at = now
        self._send(_HEAD.pack(FRAME, self._session, self._next_sending(), _PROBE))

    def _next_sending(self) -> int:
        self._sending = min(self._sending + 1, _LAST_NUMBER)
        return self._sending

    # -- within: hearing

    def _heed(self, told: _Told, now: float) -> None:
        """What the other side acknowledges."""
        if told.upto >= self._next:
            raise ChannelBroken("an acknowledgement of what was not sent")
        before = len(self._unacked), self._credit
        while self._unacked and self._unacked[0].number <= told.upto:
            self._unacked.popleft()
        self._credit = max(self._credit, min(told.credit, told.upto + self._window))
        if before != (len(self._unacked), self._credit):
            self._progress_at = now
            self._probe_after_s = FIRST_PROBE_S
        if told.sending <= self._sending:
            self._heard_sending = max(self._heard_sending, told.sending)
        self._send_lost_again(now)
        while self._waiting and self._may_go(self._waiting[0]):
            self._transmit(self._waiting.popleft(), now)
        self._ask_if_lost(now)

    def _ask_if_lost(self, now: float) -> None:
        """The other side is there and has said nothing for a while about what went to it: was that in a cut?"""
        oldest = self._unacked[0] if self._unacked else None
        if (
            oldest is not None
            and oldest.sending > self._heard_sending
            and now - max(oldest.at, self._probed_at) >= _SOONEST_PROBE_S
        ):
            self._probe_after_s = FIRST_PROBE_S
            self._probe(now)

    def _hear_out_of_turn(self, number: int) -> None:
        """An older one: our acknowledgement was lost.  A later one: something before it was.  Either way, say so."""
        if number == _PROBE or self._out_of_turn % self._ack_every == 0:
            self._acknowledge()
        if number != _PROBE:
            self._out_of_turn += 1

    def _opened(self, sealed: bytes, number: int, bound: bytes) -> tuple[Part, _Told]:
        if len(sealed) < OVERHEAD_BYTES - _HEAD.size:
            raise ChannelBroken("a frame that is too short")
        try:
            plain = self._in.open(number, sealed, bound)
        except ValueError as error:
            raise ChannelBroken(str(error)) from None
        upto, credit, sending, code, last, request = _PART.unpack_from(plain)
        if code >= len(KINDS):
            raise ChannelBroken("a part of unknown kind")
        part = Part(KINDS[code], request, plain[_PART.size :], bool(last))
        if len(part.data) > DATA_BYTES:
            raise ChannelBroken("a part that is too long")
        if part.kind in WITH_DATA and number > self._consumed_upto + self._window:
            raise ChannelBroken("more data than it may send")
        return part, _Told(upto, credit, sending)

    def _consume_upto(self) -> None:
        self._consumed_upto = self._data_unconsumed[0] - 1 if self._data_unconsumed else self._heard_upto

    def _to_tell(self) -> _Told:
        return _Told(self._heard_upto, self._consumed_upto + self._window, self._last_sending)

    def _acknowledge(self) -> None:
        self._told = told = self._to_tell()
        self._send(_ACK.pack(ACK, self._session, told.upto, told.credit, told.sending))
