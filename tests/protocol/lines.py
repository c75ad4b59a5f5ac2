"""Two sides of a session and the line between them, which loses, doubles and mixes up what it is told to."""

from collections import Counter, deque

from annexfleet_agent.protocol.channel import Channel, Part
from annexfleet_agent.protocol.envelope import ACK, FRAME
from annexfleet_agent.protocol.sealing import Seal

SESSION = "0011223344556677"
_PROBE_BYTES = 17


class Side:
    """A channel, what it sent, what it heard, and the parts it has still to consume."""

    def __init__(self, name: str, out: bytes, in_: bytes, window: int) -> None:
        self.name = name
        self.line: deque[bytes] = deque()
        """What is under way from here."""
        self.sent: list[Part] = []
        self.heard: list[Part] = []
        self.unconsumed = 0
        self.counts: Counter[str] = Counter()
        self.bytes_sent = 0
        self.channel = Channel(SESSION, out=Seal(out), in_=Seal(in_), send=self._send, now=0.0, window=window)

    def _send(self, packet: bytes) -> None:
        kind = {ACK: "ack", FRAME: "probe" if len(packet) == _PROBE_BYTES else "frame"}[packet[:1]]
        self.counts[kind] += 1
        self.bytes_sent += len(packet)
        self.line.append(packet)

    def put(self, part: Part, now: float) -> None:
        self.sent.append(part)
        self.channel.put(part, now)

    def hear(self, packet: bytes, now: float) -> None:
        part = self.channel.hear(packet, now)
        if part is not None:
            self.heard.append(part)
            if part.kind in ("input", "output", "errors"):
                self.unconsumed += 1

    def consume(self, count: int = 1_000_000) -> None:
        for _ in range(min(count, self.unconsumed)):
            self.unconsumed -= 1
            self.channel.consumed()


class Session:
    """Both sides and a clock."""

    def __init__(self, window: int = 32) -> None:
        down, up = b"d" * 32, b"u" * 32
        self.now = 0.0
        self.relay = Side("relay", down, up, window)
        self.runner = Side("runner", up, down, window)

    def of(self, name: str) -> tuple[Side, Side]:
        """The one and the other."""
        return (self.relay, self.runner) if name == "relay" else (self.runner, self.relay)

    def deliver_all(self, *, consume: bool = True) -> None:
        """Until nothing is under way; each packet is heard in the order in which it was sent."""
        while self.relay.line or self.runner.line:
            for name in ("relay", "runner"):
                one, other = self.of(name)
                while one.line:
                    other.hear(one.line.popleft(), self.now)
                    if consume:
                        other.consume()

    def cut(self) -> int:
        """Everything under way is lost; how many packets that was."""
        lost = len(self.relay.line) + len(self.runner.line)
        self.relay.line.clear()
        self.runner.line.clear()
        return lost

    def pass_(self, seconds: float) -> None:
        """Time goes on, with a tick each second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            self.relay.channel.tick(self.now)
            self.runner.channel.tick(self.now)

    def rest(self, seconds: int) -> None:
        """Time goes on over a line that works."""
        for _ in range(seconds):
            self.pass_(1.0)
            self.deliver_all()

    def settle(self, within_s: float = 60.0) -> None:
        """The line is whole again: everything must arrive by itself, within so long."""
        end = self.now + within_s
        self.deliver_all()
        while not (self.relay.channel.is_drained and self.runner.channel.is_drained):
            assert self.now < end, "it did not recover"
            self.relay.consume()
            self.runner.consume()
            self.pass_(1.0)
            self.deliver_all()
