"""A relay's session with the device at its other end, and a clock that tests turn."""

import secrets
from collections.abc import Callable

import msgspec

from annexfleet_agent.protocol.channel import Channel, Part, session_of
from annexfleet_agent.protocol.envelope import (
    ACK,
    ENVELOPE,
    FRAME,
    Challenge,
    Knock,
    Refusal,
    Request,
    Result,
    pack,
    unpack,
)
from annexfleet_agent.protocol.sealing import Seal, SessionKeys
from annexfleet_controller.rollouts.relay.errand import Errand
from annexfleet_controller.rollouts.relay.framing import Verdict
from annexfleet_controller.rollouts.relay.opening import Leave
from annexfleet_controller.rollouts.relay.session import Session, Ways

DEVICE = "d-" + "a" * 26
BOOT = "boot-1"


class Asker:
    """Whoever asked."""

    def __init__(self) -> None:
        self.output = b""
        self.verdict: Verdict | None = None

    def give(self, kind: str, data: bytes, consumed: Callable[[], None]) -> None:
        self.output += data
        consumed()

    def ended(self, verdict: Verdict) -> None:
        assert self.verdict is None, "it ended twice"
        self.verdict = verdict


class Line:
    """A relay's session, the device at its other end, and a clock that tests turn."""

    def __init__(self, *, is_command: bool = False) -> None:
        self.now = 1000.0
        self.sent: list[bytes] = []
        self.asked: list[Challenge] = []
        self.refusals: list[str] = []
        ways = Ways(send=self.sent.append, ask=self.asked.append, refused=self.refusals.append)
        self.session = Session(DEVICE, "relay1", ways, is_command=is_command)
        self.device: Channel | None = None
        self.heard: list[Part] = []
        self._keys = SessionKeys(secrets.token_bytes(32), secrets.token_bytes(32))

    def ask(self, op: str = "exec") -> tuple[Errand, Asker]:
        asker = Asker()
        errand = Errand(Request(op=op, argv=["true"]), asker)  # type: ignore[arg-type]
        self.session.add(errand, self.now)
        return errand, asker

    def turn(self, seconds: float) -> None:
        """Time goes by, in ticks."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.5
            self.session.tick(self.now)

    def knocks(self) -> list[Knock]:
        return [body for body in map(unpack, (p for p in self.sent if p[:1] == b"K")) if isinstance(body, Knock)]

    def challenge(self, *, busy: bool = False, boot_id: str = BOOT) -> None:
        body = Challenge(
            session=self.knocks()[-1].session, challenge=secrets.token_hex(16), boot_id=boot_id, keys_version=1,
            exchange_key="0" * 64, busy=busy,
        )  # fmt: skip
        self.session.hear(pack(body), self.now)

    def sign(self) -> None:
        self.session.answered(self.asked[-1], Leave(ENVELOPE + b"signed", self._keys), self.now)

    def accept(self) -> None:
        """The runner takes up the session, and answers what it has heard."""
        self.device = Channel(
            self.asked[-1].session, out=Seal(self._keys.up), in_=Seal(self._keys.down), send=self._up, now=self.now
        )
        self.device.resume(self.now)
        self.deliver()

    def open(self) -> None:
        self.challenge()
        self.sign()
        self.accept()

    def deliver(self) -> None:
        """What was sent since arrives at the device."""
        assert self.device is not None
        while packets := [packet for packet in self.sent if packet[:1] in (FRAME, ACK)]:
            self.sent[:] = [packet for packet in self.sent if packet not in packets]
            for packet in packets:
                if session_of(packet) == self.asked[-1].session and (part := self.device.hear(packet, self.now)):
                    self.heard.append(part)

    def say(self, part: Part) -> None:
        assert self.device is not None
        self.device.put(part, self.now)

    def result(self, number: int, **fields: object) -> None:
        self.say(Part("result", number, msgspec.json.encode(Result(**fields))))  # type: ignore[arg-type]

    def refuse(self, reason: str) -> None:
        self.session.hear(pack(Refusal(session=self.asked[-1].session, reason=reason)), self.now)

    def _up(self, packet: bytes) -> None:
        self.session.hear(packet, self.now)


def kinds(line: Line) -> list[str]:
    return [part.kind for part in line.heard]
