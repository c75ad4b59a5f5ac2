"""The runner of a simulated device: what it is asked arrives as on any other, and nothing is done.

Knock, challenge, signature, sequence numbers and encryption are those of the real runner (`gate`, `session`, the
protocol's channel).  Only the work is thought up (`answers.py`).  Commands of the catalogue are refused: nobody could
restart a machine that is none.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from annexfleet_agent import __version__
from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol.channel import Channel, session_of
from annexfleet_agent.protocol.envelope import (
    ACK,
    ENVELOPE,
    FRAME,
    KNOCK,
    Body,
    Knock,
    Malformed,
    Refusal,
    Request,
    pack,
    unpack,
)
from annexfleet_agent.protocol.sealing import Seal
from annexfleet_agent.protocol.topics import is_channel
from annexfleet_agent.runner.gate import Gate
from annexfleet_agent.runner.jobs import Answer, Place
from annexfleet_agent.runner.judge import Accepted, Refused
from annexfleet_agent.runner.ledger import Ledger, LedgerUnusable
from annexfleet_agent.runner.process import Limits
from annexfleet_agent.runner.session import Opening, Session, Turns
from annexfleet_controller.simulate.answers import Visit

if TYPE_CHECKING:
    from annexfleet_agent.uplink import Uplink
    from annexfleet_controller.simulate.worse import Worsening

log = logging.getLogger(__name__)

_TICK_S = 1.0
_MOST_CHANNELS = 64
_LIMITS = Limits(seconds=3600.0, output_bytes=1_000_000, memory_bytes=1_000_000_000)


class SimulatedRunner:
    """One device's, from its boot on.  It opens its ledger at the first knock: most devices never hear one."""

    def __init__(
        self, loop: Loop, directory: Path, uplink: "Uplink", *, boot_id: str, worsening: "Worsening",
        world_now: Callable[[], float], worked: Callable[[], object],
    ) -> None:  # fmt: skip
        self._loop, self._directory, self._uplink, self._boot_id = loop, directory, uplink, boot_id
        self._worsening, self._world_now, self._worked = worsening, world_now, worked
        self._ledger: Ledger | None = None
        self._gate: Gate | None = None
        self._turns = Turns()
        self._sessions: dict[str, Session] = {}
        self._visits: dict[str, Visit] = {}
        self._channels: dict[str, str] = {}
        self._ticking: Timer | None = None
        uplink.on_run, uplink.on_line = self.packet, self.line

    # -- for the agent

    def start(self) -> None:
        """Nothing is begun before somebody knocks."""

    def stop(self) -> None:
        """The machine is off: what was under way ends unseen."""
        if self._ticking is not None:
            self._ticking.cancel()
        for session in list(self._sessions.values()):
            session.lose()
        self._sessions.clear()
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = self._gate = self._ticking = None

    def refused_today(self) -> float | None:
        """Nobody counts them here."""
        return None

    def line(self, up: bool) -> None:
        if up:
            for session in list(self._sessions.values()):
                session.resume()

    def packet(self, packet: bytes) -> None:
        """One from the controller."""
        kind = packet[:1]
        if kind in (FRAME, ACK):
            session = self._sessions.get(session_of(packet))
            if session is not None:
                session.hear(packet)
            elif kind == FRAME and session_of(packet):
                self._say(session_of(packet), Refusal(session=session_of(packet), reason="no_session"))
        elif kind == KNOCK:
            self._knocked(packet)
        elif kind == ENVELOPE and self._gate is not None:
            self._envelope(self._gate, packet)

    # -- packets

    def _knocked(self, packet: bytes) -> None:
        try:
            knock = unpack(packet)
        except Malformed:
            return
        if not isinstance(knock, Knock) or knock.session in self._sessions or not is_channel(knock.channel):
            return
        while len(self._channels) >= _MOST_CHANNELS:
            del self._channels[next(iter(self._channels))]
        self._channels[knock.session] = knock.channel
        try:
            challenge = self._opened_gate(knock.session).challenge(knock, busy=self._turns.running is not None)
        except Refused as refused:
            self._say(knock.session, Refusal(session=knock.session, reason=refused.reason))
        else:
            self._say(knock.session, challenge)

    def _opened_gate(self, session: str) -> Gate:
        if self._gate is None:
            try:
                self._ledger = Ledger(self._directory / "ledger.db", now=self._loop.clock.now())
            except LedgerUnusable as error:
                log.warning("a simulated runner cannot remember anything error=%s", error)
                raise Refused("not_ready", session) from None
            self._gate = Gate(
                self._directory, self._ledger, boot_id=self._boot_id, allowed=frozenset({"run"}),
                version=__version__, clock=self._loop.clock,
            )  # fmt: skip
            self._ticking = self._loop.after(_TICK_S, self._tick)
        return self._gate

    def _envelope(self, gate: Gate, packet: bytes) -> None:
        running = self._turns.running
        try:
            accepted, _ = gate.admit(packet, running=running.session.id if running else "")
        except Refused as refused:
            log.info("an envelope for a simulated device is refused reason=%s", refused.reason)
            if refused.session:
                self._say(refused.session, Refusal(session=refused.session, reason=refused.reason))
            return
        self._open(accepted)

    def _open(self, accepted: Accepted) -> None:
        envelope, arguments = accepted.envelope, accepted.arguments
        channel = Channel(
            envelope.session,
            out=Seal(accepted.session_keys.up),
            in_=Seal(accepted.session_keys.down),
            send=lambda packet: self._publish(envelope.session, packet),
            now=self._loop.clock.mono(),
        )
        self._visits[envelope.session] = Visit(self._worsening)
        opening = Opening(id=envelope.session, action=envelope.action, arguments=arguments, limits=_LIMITS)
        self._sessions[envelope.session] = Session(
            opening, loop=self._loop, turns=self._turns, channel=channel, closed=self._closed,
            make=lambda place, request, _limits, _name: self._answer(envelope.session, place, request),
        )  # fmt: skip

    def _answer(self, session: str, place: Place, request: Request) -> Answer:
        self._worked()
        return self._visits[session].answer(place, request)

    def _closed(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        visit = self._visits.pop(session.id, None)
        if visit is not None and visit.changed_something:
            self._worsening.changed(self._world_now())

    # -- answers

    def _say(self, session: str, body: Body) -> None:
        self._publish(session, pack(body))

    def _publish(self, session: str, packet: bytes) -> None:
        channel = self._channels.get(session, "")
        if channel:
            self._uplink.publish_run(channel, packet)

    def _tick(self) -> None:
        self._ticking = self._loop.after(_TICK_S, self._tick)
        for session in list(self._sessions.values()):
            session.tick()
