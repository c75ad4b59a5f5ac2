"""Hands packets on between the controller and the runner: this process reads none of them but the knock's address.

    broker -> uplink -> here -> socket -> runner (a process of its own, started when somebody knocks)

What nobody takes is dropped, in both directions: both ends number what they send and send again what is missing.  The
runner is not read faster than the line takes, and not more waits for it than fits a session's window.
"""

import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.topics import is_channel
from annexfleet_agent.runner import framing

if TYPE_CHECKING:
    from annexfleet_agent.uplink import Uplink

log = logging.getLogger(__name__)

_MOST_WAITING_BYTES = 2 * 1024 * 1024
_MOST_SESSIONS = 64
_BETWEEN_STARTS_S = 2.0
_KNOCKING_S = 0.1
_MUST_LISTEN_S = 20.0
_AT_ONCE = 32
_REAP_AFTER_S = 1.0


class Ways(Struct, frozen=True, kw_only=True):
    """Everything this touches comes from outside."""

    publish: Callable[[str, bytes], object]
    """A packet to a relay's channel."""
    has_room: Callable[[], bool]
    """Whether the line takes more now."""
    keep: Callable[[framing.Told], object]
    """A receipt, into the outbox."""
    watch: Callable[[float], object]
    worked: Callable[[], object]
    """Something was done on this device, and may still be."""
    start: Callable[[], int] | None
    """Start a runner; its process id.  None: somebody else does (systemd, on the socket)."""


class Forwarding:
    """One device's.  Belongs to the loop's thread."""

    def __init__(self, loop: Loop, path: Path, ways: Ways) -> None:
        """`path` is that of the runner's socket."""
        self._loop = loop
        self._path = path
        self._ways = ways
        self._runner: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._channels: dict[str, str] = {}
        """Where the relay of each session hears, as it said when it knocked."""
        self._unanswered: set[str] = set()
        """Sessions whose relay was told nothing since it knocked."""
        self._line_is_up = False
        self._child = 0
        self._started_at = -_BETWEEN_STARTS_S
        self._must_listen_by = 0.0
        self._knocking: Timer | None = None
        self._refused: framing.Refused | None = None

    # -- for the agent

    def listen_to(self, uplink: "Uplink") -> None:
        """Hear what comes for a runner over this uplink, and how its line is."""
        uplink.on_run, uplink.on_line, uplink.on_room = self.packet, self.line, self.room

    def start(self) -> None:
        """Speak with a runner that is there already, or whom systemd starts; nobody is started from here."""
        self._connect()

    def stop(self) -> None:
        if self._knocking is not None:
            self._knocking.cancel()
        self._drop()
        self._reap()

    def line(self, up: bool) -> None:
        """The connection to the broker came, or went."""
        self._line_is_up = up
        if self._runner is not None:
            self._say(framing.LINK_UP if up else framing.LINK_DOWN)
            self._set_interest()

    def room(self) -> None:
        """The line takes more again."""
        self._set_interest()

    def refused_today(self) -> float | None:
        """Envelopes refused as if forged, in the last 24 hours; None while no runner has told."""
        if self._refused is None:
            return None
        first = int(self._loop.clock.now() // 3600) - 23
        return float(sum(count for hour, count in self._refused.by_hour.items() if hour >= first))

    def packet(self, packet: bytes) -> None:
        """One from the controller, for the runner."""
        kind = packet[:1]
        if len(packet) > wire.MAX_PAYLOAD_BYTES:
            log.warning("a packet for the runner is too big and is dropped bytes=%s", len(packet))
            return
        if kind == framing.KNOCK and not self._note(packet):
            return
        if self._runner is None and self._knocking is None:
            if kind == framing.FRAME:
                self._refuse(framing.session_of(packet), "no_session")
                return
            if kind != framing.KNOCK or not self._find_runner():
                return
        self._say(framing.PACKET + packet)

    # -- from the controller

    def _note(self, packet: bytes) -> bool:
        """Whether it is a knock; its channel is known then."""
        knock = framing.address(packet)
        if knock is None or not is_channel(knock.channel):
            return False
        if knock.session not in self._channels:
            while len(self._channels) >= _MOST_SESSIONS:
                self._forget(next(iter(self._channels)))
            self._channels[knock.session] = knock.channel
        self._unanswered.add(knock.session)
        return True

    def _refuse(self, session: str, reason: Literal["no_session", "not_ready"]) -> None:
        channel = self._channels.get(session)
        if channel is not None:
            self._ways.publish(channel, framing.refusal(session, reason))

    def _refuse_all(self, reason: Literal["no_session", "not_ready"]) -> None:
        for session in list(self._channels):
            self._refuse(session, reason)
            self._forget(session)

    def _forget(self, session: str) -> None:
        self._channels.pop(session, None)
        self._unanswered.discard(session)

    def _answered(self, channel: str) -> None:
        self._unanswered -= {session for session in self._unanswered if self._channels.get(session) == channel}

    # -- finding a runner

    def _find_runner(self) -> bool:
        """Whether one is there, or will be."""
        if self._connect():
            return True
        if self._ways.start is None:
            self._refuse_all("not_ready")
            return False
        # A runner that falls again and again must not be all that this device does.
        due_s = self._started_at + _BETWEEN_STARTS_S - self._loop.clock.mono()
        self._knocking = self._loop.after(max(0.0, due_s), self._start)
        return True

    def _start(self) -> None:
        assert self._ways.start is not None
        self._reap()
        self._started_at = self._loop.clock.mono()
        try:
            self._child = self._ways.start()
        except OSError as error:
            log.error("the runner cannot be started error=%s", error)  # noqa: TRY400  # a trace tells nothing here
            self._give_up()
            return
        self._must_listen_by = self._started_at + _MUST_LISTEN_S
        self._knocking = self._loop.after(_KNOCKING_S, self._knock)

    def _knock(self) -> None:
        if self._connect():
            return
        if self._reap() or self._loop.clock.mono() > self._must_listen_by:
            log.warning("the runner was started and does not listen")
            self._give_up()
            return
        self._knocking = self._loop.after(_KNOCKING_S, self._knock)

    def _give_up(self) -> None:
        self._knocking = None
        self._forget_waiting()
        self._refuse_all("not_ready")

    def _connect(self) -> bool:
        runner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        runner.setblocking(False)
        try:
            runner.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, framing.SOCKET_BYTES)
            runner.connect(str(self._path))
        except OSError as error:
            runner.close()
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                log.warning("the runner cannot be reached path=%s error=%s", self._path, error.strerror)
            return False
        if self._knocking is not None:
            self._knocking.cancel()
            self._knocking = None
        self._runner = runner
        self._waiting.appendleft(framing.LINK_UP if self._line_is_up else framing.LINK_DOWN)
        self._waiting_bytes += 1
        self._write()
        return True

    def _reap(self) -> bool:
        """Whether the runner that was started has ended."""
        if not self._child:
            return False
        try:
            ended, _ = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            ended = self._child
        if ended:
            self._child = 0
        return bool(ended)

    # -- the socket

    def _say(self, message: bytes) -> None:
        if self._waiting_bytes + len(message) > _MOST_WAITING_BYTES:
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        if self._runner is not None:
            self._write()

    def _write(self) -> None:
        while self._waiting and self._runner is not None:
            try:
                self._runner.send(self._waiting[0])
            except BlockingIOError:
                break
            except OSError:
                self._gone()
                return
            self._waiting_bytes -= len(self._waiting.popleft())
        self._set_interest()

    def _set_interest(self) -> None:
        if self._runner is not None:
            self._loop.watch(
                self._runner,
                read=self._read if self._ways.has_room() else None,
                write=self._write if self._waiting else None,
            )

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if self._runner is None or not self._ways.has_room():
                break
            try:
                message = self._runner.recv(framing.MAX_BYTES)
            except BlockingIOError:
                break
            except OSError:
                message = b""
            if not message:
                self._gone()
                return
            try:
                self._heard(message)
            except (msgspec.DecodeError, ValueError, IndexError) as error:
                log.warning("the runner says what cannot be understood error=%s", error)
        self._set_interest()

    def _heard(self, message: bytes) -> None:
        kind = message[:1]
        if kind == framing.PACKET:
            channel, packet = framing.from_runner(message)
            if not channel and (whose := framing.address(packet)) is not None:
                channel = self._channels.get(whose.session, "")
            if is_channel(channel) and len(packet) <= wire.MAX_PAYLOAD_BYTES:
                self._ways.publish(channel, packet)
                self._ways.worked()
                self._answered(channel)
        elif kind == framing.RECEIPT:
            told = framing.told(message)
            self._ways.keep(told)
            self._say(framing.KEPT + told.command_id.encode())
        elif kind == framing.WATCH:
            self._ways.watch(float(message[1:]))
        elif kind == framing.REFUSED:
            self._refused = framing.refused(message)
        elif kind == framing.ENDS:
            # Who knocked in this very moment was not heard, and must not wait for an answer.
            for session in set(self._channels) - self._unanswered:
                self._forget(session)

    def _gone(self) -> None:
        """The runner ended; if it did not say so before, relays wait for it."""
        self._drop()
        if self._channels:
            log.warning("the runner ended in the middle of its work")
        self._refuse_all("no_session")
        self._loop.after(_REAP_AFTER_S, self._reap)

    def _drop(self) -> None:
        if self._runner is not None:
            self._loop.unwatch(self._runner)
            self._runner.close()
            self._runner = None
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
