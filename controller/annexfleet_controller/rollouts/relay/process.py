"""The relay's one thread: plugins on a Unix socket on the one side, the broker on the other, sessions in between."""

import logging
import secrets
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.envelope import Challenge
from annexfleet_agent.protocol.messages import Gone, Hello
from annexfleet_controller.identity.signer import Request
from annexfleet_controller.rollouts.modules import Payloads, PayloadWrong
from annexfleet_controller.rollouts.relay import signing, words
from annexfleet_controller.rollouts.relay.admission import Admission, Admitted, Answer
from annexfleet_controller.rollouts.relay.background import Background
from annexfleet_controller.rollouts.relay.callers import Caller
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.figures import Figures
from annexfleet_controller.rollouts.relay.framing import Asked, PluginWrong, Verdict
from annexfleet_controller.rollouts.relay.link import Link
from annexfleet_controller.rollouts.relay.opening import NotSigned
from annexfleet_controller.rollouts.relay.payloads import NotAModule, files_of, module_of
from annexfleet_controller.rollouts.relay.session import Session, Ways

log = logging.getLogger(__name__)

TICK_S = 0.25
ALIVE_EVERY_S = 1.0
END_WITHIN_S = 2.5
"""For devices to say that they ended what ran, when the relay is stopped."""
HEARD_COUNTS_S = 10.0
"""A hello or goodbye that was heard counts for more than the database for so long: ingest may be a little behind."""
BROKER_AWAY_FOR_S = 15.0

_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_GONE = select.EPOLLHUP | select.EPOLLRDHUP | select.EPOLLERR


class Lodger(Protocol):
    """Something else that lives in this loop: commands, in the console's relay."""

    def tick(self, now: float) -> None: ...
    def is_idle(self) -> bool: ...
    def end(self, now: float) -> None: ...


class Relay:
    """Use `serving`."""

    def __init__(
        self,
        *,
        admit: Callable[["Relay"], Admission],
        link: Callable[[list[str]], Link],
        listener: socket.socket,
        background: Background,
        sign: signing.Sign,
        mono: Callable[[], float],
    ) -> None:
        """`admit` and `link` make these two for this relay; `sign` is asked in the background."""
        self.channel = secrets.token_hex(8)
        self.figures = Figures()
        self.background = background
        self.sign = sign
        self._listener = listener
        self._mono = mono
        self._link = link([topics.every_up_run(self.channel)])
        self._connects = 0
        self._up_at = mono()
        self._admission = admit(self)
        self._payloads = Payloads()
        self._sessions: dict[tuple[int, str], Session] = {}
        self._leaving: list[Session] = []
        """Of runs that are over; closed as soon as nothing runs in them any more."""
        self._of_device: dict[str, list[Session]] = {}
        self._presence: dict[str, tuple[float, bool]] = {}
        """When a hello (True) or goodbye was heard of a device."""
        self._callers: dict[int, Caller] = {}
        self._epoll = select.epoll()
        self._registered: dict[int, tuple[object, int]] = {}
        """What is waited for, by number: whose it is, and for what.  A number that was closed is soon another's."""
        self._ticked_at = self._alive_at = 0.0
        self._ending_at: float | None = None
        self.lodger: Lodger | None = None

    # -- the loop

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; then what runs on devices is ended, as far as they can be reached."""
        try:
            while True:
                now = self._mono()
                if stop.is_set() and self._ending_at is None:
                    self._begin_end(now)
                if self._ending_at is not None and (self._is_drained() or now - self._ending_at >= END_WITHIN_S):
                    break
                self._tick(now)
                self._wait()
        finally:
            self._close()

    def _tick(self, now: float) -> None:
        self._link.tick(now)
        if self._link.is_up:
            self._up_at = now
        if self._link.connects != self._connects:
            self._connects = self._link.connects
            self._presence.clear()  # what was said meanwhile was not heard
            for session in self._all_sessions():
                session.line_is_back(now)
        if now - self._ticked_at >= TICK_S:
            self._ticked_at = now
            for session in self._all_sessions():
                session.tick(now)
            for session in [session for session in self._leaving if session.is_idle]:
                self._leaving.remove(session)
                self.forget(session, now)
            self._admission.tick(now)
            if self.lodger is not None:
                self.lodger.tick(now)
        if now - self._alive_at >= ALIVE_EVERY_S:
            self._alive_at = now
            for caller in list(self._callers.values()):
                if not caller.is_alive:
                    self._let_go(caller, "its process has gone")

    def _wait(self) -> None:
        line_fd = self._link.fileno()
        wanted: dict[int, tuple[object, int]] = {self.background.fileno(): (self.background, _READ)}
        if self._ending_at is None:
            wanted[self._listener.fileno()] = (self._listener, _READ)
        if line_fd >= 0:
            wanted[line_fd] = (self._link.connection, _READ | (_WRITE if self._link.wants_write else 0))
        for fd, caller in self._callers.items():
            mask = select.EPOLLRDHUP | (_READ if caller.wants_read else 0) | (_WRITE if caller.wants_write else 0)
            wanted[fd] = (caller, mask)
        for fd in [fd for fd in self._registered if fd not in wanted]:
            self._unwatch(fd)
        for fd, (owner, mask) in wanted.items():
            self._watch(fd, owner, mask)
        for fd, happened in self._epoll.poll(TICK_S):
            if fd == line_fd:
                self._serve_line(happened)
            elif fd == self._listener.fileno():
                self._accept()
            elif fd == self.background.fileno():
                self.background.run_answers()
            elif fd in self._callers:
                self._serve_caller(self._callers[fd], happened)

    def _watch(self, fd: int, owner: object, mask: int) -> None:
        before = self._registered.get(fd)
        if before is not None and before[0] is not owner:
            self._unwatch(fd)
            before = None
        if before is None:
            self._epoll.register(fd, mask)
        elif before[1] != mask:
            self._epoll.modify(fd, mask)
        self._registered[fd] = (owner, mask)

    def _unwatch(self, fd: int) -> None:
        del self._registered[fd]
        with suppress(OSError):  # it was closed, and so is no longer watched
            self._epoll.unregister(fd)

    # -- the broker's side

    def send(self, device_id: str, packet: bytes) -> None:
        """A packet to a device's runner; lost if the broker is away."""
        self.figures.sent(device_id, len(packet))
        self._link.send(topics.down(device_id, "run"), packet)

    def _serve_line(self, happened: int) -> None:
        if happened & _WRITE:
            self._link.write()
            if not self._link.wants_write:
                now = self._mono()
                for session in self._all_sessions():
                    session.go_on(now)
        if happened & (_READ | _GONE):
            for topic, payload in self._link.read():
                try:
                    self._hear(topic, payload)
                except Exception:
                    # The fence between devices: whatever one of them says, the others go on.
                    log.exception("a packet was dropped topic=%s", topic)

    def _hear(self, topic: str, payload: bytes) -> None:
        now = self._mono()
        if device_id := topics.run_sender(topic):
            if not self.figures.knows(device_id):
                return  # nothing was ever sent to it: a broker that makes names up must not fill our memory
            self.figures.heard(device_id, len(payload))
            for session in list(self._of_device.get(device_id, ())):
                session.hear(payload, now)
        elif (sender := topics.sender(topic)) and sender.kind in ("hello", "gone"):
            try:
                message = wire.decode_up(sender.kind, payload)
            except wire.Malformed:
                return
            self._hear_presence(sender.device_id, message, now)

    def _hear_presence(self, device_id: str, message: object, now: float) -> None:
        if not self._link.hears(topics.up(device_id, "hello")):
            return
        sessions = list(self._of_device.get(device_id, ()))
        if isinstance(message, Hello):
            self._presence[device_id] = (now, True)
            for session in sessions:
                session.said_hello(message.boot_id, now)
        elif isinstance(message, Gone):
            self._presence[device_id] = (now, False)
            for session in sessions:
                session.said_goodbye(now)

    # -- the plugins' side

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        try:
            caller = Caller(connection, asks=self._ask, fed=self._feed)
        except (PermissionError, OSError) as error:
            log.warning("a connection is refused reason=%s", error)
            connection.close()
            return
        self._callers[connection.fileno()] = caller

    def _serve_caller(self, caller: Caller, happened: int) -> None:
        if happened & _WRITE:
            caller.write()
        try:
            is_there = not happened & _GONE
            if is_there and happened & _READ:
                is_there = caller.read()
        except PluginWrong as error:
            log.warning("a connection is ended pid=%s reason=%s", caller.pid, error)
            is_there = False
        if not is_there:
            self._let_go(caller, "it closed")

    def _let_go(self, caller: Caller, why: str) -> None:
        self._callers.pop(caller.socket.fileno(), None)
        caller.close()
        errand = caller.errand
        if errand is not None and not errand.is_over:
            log.info("a task is cancelled pid=%s reason=%s", caller.pid, why)
            now = self._mono()
            for session in self._all_sessions():
                session.cancel(errand, now)

    def _ask(self, caller: Caller, asked: Asked) -> None:
        if self._ending_at is not None:
            caller.ended(Verdict(unreachable=words.ENDING))
        elif not topics.is_device_id(asked.host):
            caller.ended(Verdict(unreachable=words.UNKNOWN))
        elif not self._link.is_up and self._mono() - self._up_at > BROKER_AWAY_FOR_S:
            caller.ended(Verdict(unreachable=words.BROKER_AWAY))
        else:
            self._admission.admit(caller, asked.host, lambda answer: self._answered(caller, asked, answer))

    def _answered(self, caller: Caller, asked: Asked, answer: Answer) -> None:
        if caller.is_closed:
            return
        if not isinstance(answer, Admitted):
            log.info("a request is denied device=%s pid=%s reason=%s", asked.host, caller.pid, answer.why)
            caller.ended(Verdict(unreachable=answer.why))
            return
        request, files = asked.request, None
        if request.op == "module":
            try:
                module, contents = module_of(self._payloads, asked.call)
            except (PayloadWrong, NotAModule) as error:
                caller.ended(Verdict(error=f"the module cannot be sent: {error}", code="malformed"))
                return
            request, files = msgspec.structs.replace(request, module=module), files_of(contents)
        self.figures.requests += 1
        errand = Errand(request, caller, files)
        caller.begin(errand)
        self._session_for(answer).add(errand, self._mono())

    def _feed(self) -> None:
        now = self._mono()
        for session in self._all_sessions():
            session.go_on(now)

    # -- sessions

    def _session_for(self, admitted: Admitted) -> Session:
        key = (admitted.run_id, admitted.host.id)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = self.new_session(
                admitted.host.id,
                lambda challenge: signing.request_for_run(admitted.run_id, admitted.host.id, challenge),
            )
        session.see(self._is_there(admitted), self._mono())
        return session

    def new_session(
        self, device_id: str, request: Callable[[Challenge], Request], *, is_command: bool = False
    ) -> Session:
        """A session that hears what this device says; `request` is what the signer is asked."""
        for kind in ("hello", "gone"):
            self._link.hear(topics.up(device_id, kind))

        def ask(challenge: Challenge) -> None:
            asked = request(challenge)
            self.background.ask(
                lambda: self.sign(asked),
                lambda answer: session.answered(challenge, answer, self._mono()),
                lambda: session.answered(challenge, NotSigned(words.SIGNER_AWAY, "failed"), self._mono()),
            )

        self.figures.sessions += 1
        ways = Ways(
            send=lambda packet: self.send(device_id, packet),
            ask=ask,
            may_send=lambda: not self._link.wants_write,
            refused=lambda reason: self.figures.refused(device_id, reason),
        )
        session = Session(device_id, self.channel, ways, is_command=is_command)
        self._of_device.setdefault(device_id, []).append(session)
        return session

    def forget(self, session: Session, now: float, *, says_so: bool = True) -> None:
        """A session that is over; unless `says_so`, its runner is left to finish."""
        session.close(now, says_so=says_so)
        left = [other for other in self._of_device.get(session.device_id, ()) if other is not session]
        if left:
            self._of_device[session.device_id] = left
        else:
            self._of_device.pop(session.device_id, None)

    def _is_there(self, admitted: Admitted) -> bool:
        heard = self._presence.get(admitted.host.id)
        if heard is not None and self._mono() - heard[0] < HEARD_COUNTS_S:
            return heard[1]
        return admitted.host.is_connected

    def _all_sessions(self) -> list[Session]:
        return [session for sessions in self._of_device.values() for session in sessions]

    # -- ends

    def over(self, run_id: int, device_id: str | None, why: str) -> None:
        """A run, or a device's part in it, takes no more requests; what runs is ended."""
        now = self._mono()
        for (run, device), session in list(self._sessions.items()):
            if run == run_id and device_id in (None, device):
                session.end(why, now)
                self._leaving.append(self._sessions.pop((run, device)))

    def _begin_end(self, now: float) -> None:
        self._ending_at = now
        self._leaving += self._sessions.values()
        self._sessions.clear()
        for session in self._leaving:
            session.end(words.ENDING, now)
        if self.lodger is not None:
            self.lodger.end(now)

    def _is_drained(self) -> bool:
        return (
            not self._leaving
            and not any(caller.wants_write for caller in self._callers.values())
            and (self.lodger is None or self.lodger.is_idle())
        )

    def _close(self) -> None:
        now = self._mono()
        for session in self._all_sessions():
            session.close(now)
        for caller in list(self._callers.values()):
            caller.close()
        self._admission.close()
        self._link.close()
        self._epoll.close()
