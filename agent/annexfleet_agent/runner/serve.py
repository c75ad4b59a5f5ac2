"""The runner: hears packets from the resident agent, obeys what the gate lets in, and ends when nobody wants anything.

One thread, one loop.  Nothing here blocks but the disk.
"""

import logging
import socket
from pathlib import Path

import msgspec

from annexfleet_agent import __version__
from annexfleet_agent.loop import Loop
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
    RefusalReason,
    pack,
    unpack,
)
from annexfleet_agent.protocol.sealing import Seal
from annexfleet_agent.protocol.topics import is_channel
from annexfleet_agent.runner import cgroup, family, framing
from annexfleet_agent.runner.acting import Act, Repeat
from annexfleet_agent.runner.commands import here
from annexfleet_agent.runner.gate import Gate
from annexfleet_agent.runner.jobs import Job, Place, Tools, of_request
from annexfleet_agent.runner.judge import Accepted, Refused
from annexfleet_agent.runner.ledger import Kept, Ledger
from annexfleet_agent.runner.link import Link
from annexfleet_agent.runner.modules import ModuleCache
from annexfleet_agent.runner.process import Limits, environment
from annexfleet_agent.runner.session import COMMAND_NUMBER, Opening, Session, Turns
from annexfleet_agent.runner.warmth import Warm
from annexfleet_agent.settings import Settings

log = logging.getLogger(__name__)

_TICK_S = 1.0
_REAP_EVERY = 5
_MOST_CHANNELS = 64


class Runner:
    """One device's."""

    def __init__(
        self, loop: Loop, settings: Settings, settings_path: Path | None, *, listener: socket.socket, boot_id: str
    ) -> None:
        """Raises LedgerUnusable, OSError."""
        self._loop = loop
        self._settings = settings
        directory = settings.runner_dir
        self._ledger = Ledger(directory / "ledger.db", now=loop.clock.now())
        self._gate = Gate(
            directory, self._ledger, boot_id=boot_id, allowed=frozenset(settings.runner.allow),
            version=__version__, clock=loop.clock,
        )  # fmt: skip
        self._where = here(settings, settings_path, environment()["PATH"])
        (directory / "modules").mkdir(mode=0o700, exist_ok=True)
        self._turns = Turns()
        self._tools = Tools(
            loop=loop,
            groups=cgroup.found(),
            cache=ModuleCache(directory / "modules"),
            warm=Warm(directory / "warm", environment=environment()),
        )
        self._sessions: dict[str, Session] = {}
        self._channels: dict[str, str] = {}
        """Where each session's relay hears, from its knock on."""
        self._line_is_up = False
        self._heard_at = loop.clock.mono()
        self._ticks = 0
        self._noted_at = -_TICK_S
        self._link = Link(loop, listener, heard=self._hear, came=self._agent_came, went=self._agent_went)
        loop.after(_TICK_S, self._tick)

    def close(self, *, path: Path | None) -> None:
        """End what runs and let go of everything.  `path`: the socket's, if it is ours to remove."""
        for session in list(self._sessions.values()):
            session.close("cancelled")
        self._gate.flush()
        self._link.say(framing.ENDS)
        self._link.close(path=path)
        self._tools.warm.close()
        self._ledger.close()

    # -- the agent

    def _agent_came(self) -> None:
        self._line_is_up = False
        self._tell_refused()
        for kept in self._ledger.untold():
            self._tell_kept(kept)

    def _agent_went(self) -> None:
        self._line_is_up = False

    def _hear(self, message: bytes) -> None:
        kind, body = message[:1], message[1:]
        if kind == framing.PACKET:
            self._heard_at = self._loop.clock.mono()
            self._packet(body)
        elif kind == framing.LINK_UP:
            self._line_is_up = True
            for session in list(self._sessions.values()):
                session.resume()
        elif kind == framing.LINK_DOWN:
            self._line_is_up = False
        elif kind == framing.KEPT:
            self._ledger.told(body.decode("utf-8", "replace"))

    def _tell_kept(self, kept: Kept) -> None:
        told = framing.Told(kept.command_id, kept.outcome, kept.detail, kept.at, kept.proof)
        self._link.say(framing.RECEIPT + msgspec.json.encode(told))

    def _tell_refused(self) -> None:
        refused = framing.Refused(self._ledger.refused_by_hour(), self._ledger.refused_by_reason())
        self._link.say(framing.REFUSED + msgspec.json.encode(refused))

    # -- packets

    def _packet(self, packet: bytes) -> None:
        kind = packet[:1]
        if kind in (FRAME, ACK):
            session = self._sessions.get(session_of(packet))
            if session is not None:
                session.hear(packet)
            elif kind == FRAME and session_of(packet):
                self._refuse(session_of(packet), "no_session")
        elif kind == KNOCK:
            self._knocked(packet)
        elif kind == ENVELOPE:
            self._envelope(packet)

    def _knocked(self, packet: bytes) -> None:
        try:
            knock = unpack(packet)
        except Malformed:
            return
        # A knock is worth nothing: it must not move the answers of a session that lives to another channel.
        if not isinstance(knock, Knock) or knock.session in self._sessions or not is_channel(knock.channel):
            return
        while len(self._channels) >= _MOST_CHANNELS:
            del self._channels[next(iter(self._channels))]
        self._channels[knock.session] = knock.channel
        try:
            challenge = self._gate.challenge(knock, busy=self._turns.running is not None)
        except Refused as refused:
            self._refuse(knock.session, refused.reason)
        else:
            self._send(knock.session, challenge)

    def _envelope(self, packet: bytes) -> None:
        running = self._turns.running
        try:
            accepted, device_id = self._gate.admit(packet, running=running.session.id if running else "")
        except Refused as refused:
            self._note_refused(refused)
            if refused.session:
                self._refuse(refused.session, refused.reason)
            return
        self._open(accepted, device_id)

    def _note_refused(self, refused: Refused) -> None:
        """At once, or with the next tick: a flood must not cost a write to the disk, and a line, for each packet."""
        now = self._loop.clock.mono()
        if now - self._noted_at >= _TICK_S:
            self._noted_at = now
            log.warning("an envelope is refused reason=%s session=%s", refused.reason, refused.session)
            self._flush_refused()

    def _flush_refused(self) -> None:
        if self._gate.flush():
            self._tell_refused()

    def _open(self, accepted: Accepted, device_id: str) -> None:
        envelope, arguments = accepted.envelope, accepted.arguments
        log.info(
            "an envelope is obeyed action=%s command=%s bundle=%s session=%s device=%s",
            envelope.action, envelope.command_id, envelope.bundle_digest, envelope.session, device_id,
        )  # fmt: skip
        name = self._channels.get(envelope.session, "")
        channel = Channel(
            envelope.session,
            out=Seal(accepted.session_keys.up),
            in_=Seal(accepted.session_keys.down),
            send=lambda packet: self._say(name, packet),
            now=self._loop.clock.mono(),
        )
        of = self._settings.runner
        limits = Limits(
            seconds=arguments.request_timeout_s,
            output_bytes=of.output_max_bytes,
            memory_bytes=of.memory_max_bytes,
            cpu_ratio=of.cpu_max_ratio,
        )
        session = Session(
            Opening(id=envelope.session, action=envelope.action, arguments=arguments, limits=limits),
            loop=self._loop,
            make=lambda place, request, limits, name: of_request(self._tools, place, request, limits, name=name),
            turns=self._turns,
            channel=channel,
            closed=self._closed,
        )
        self._sessions[session.id] = session
        if envelope.action == "command":
            session.begin(COMMAND_NUMBER, lambda place: self._act(place, accepted, limits), arguments.request_timeout_s)

    def _act(self, place: Place, accepted: Accepted, limits: Limits) -> Job:
        envelope, arguments = accepted.envelope, accepted.arguments
        kept = self._ledger.receipt(envelope.command_id)
        if kept is not None:
            self._tell_kept(kept)
            return Repeat(self._tools, place, limits, kept)
        return Act(
            self._tools,
            place,
            limits,
            command_id=envelope.command_id,
            name=arguments.command,
            parameters=arguments.parameters,
            where=self._where,
            ledger=self._ledger,
            kept=self._tell_kept,
            watch=lambda seconds: self._link.say(framing.WATCH + str(seconds).encode()),
        )

    def _closed(self, session: Session) -> None:
        if self._sessions.get(session.id) is session:
            del self._sessions[session.id]

    # -- answers

    def _send(self, session: str, body: Body) -> None:
        self._say(self._channels.get(session, ""), pack(body))

    def _say(self, channel: str, packet: bytes) -> None:
        if self._line_is_up:  # else it is sent again when it is
            self._link.say(framing.to_relay(channel, packet))

    def _refuse(self, session: str, reason: RefusalReason) -> None:
        self._send(session, Refusal(session=session, reason=reason))

    # -- time

    def _tick(self) -> None:
        self._loop.after(_TICK_S, self._tick)
        self._ticks += 1
        self._flush_refused()
        for session in list(self._sessions.values()):
            session.tick()
        if self._ticks % _REAP_EVERY == 0:
            running = self._turns.running
            self._tools.warm.tidy()
            family.reap([*self._tools.warm.pids, *(running.pids if running is not None else ())])
        if self._is_idle():
            log.info("nobody wants anything any more")
            self._loop.stop()

    def _is_idle(self) -> bool:
        if self._sessions or self._turns.running is not None or self._gate.awaits or self._link.something_waits():
            return False
        return self._loop.clock.mono() - self._heard_at > self._settings.runner.idle_s
