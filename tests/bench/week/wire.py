"""One device of the week: the real digest of its readings, an outbox that survives, and a connection that can be cut.

What is not real is the way: no socket, no broker.  What a broker does is done here: it tells the last will of a device
whose connection died once one and a half keep-alives are over, or when the device connects anew.
"""

from collections.abc import Callable, Iterator
from random import Random

from msgspec import structs

from annexfleet_agent.collectors.report import Report
from annexfleet_agent.digest import Digest
from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import Gone, Hello, Item, UpMessage
from annexfleet_controller.ingest.decode import Received
from annexfleet_controller.simulate.measured import View, collectors_of
from annexfleet_controller.simulate.province import Annex, Machine

SAMPLE_S, BEAT_S = 60.0, 300.0
BATTERY_SAMPLE_S = 30.0
"""The agent's own period: two tablets that lose mains together must be seen to do so within a minute."""
SELDOM_S = {"updates": 3600.0, "units": 300.0}
NIGHT_SAMPLE_S = 300.0
"""Of machines that stay on while nobody is there and nothing is wrong: one sample a beat says as much."""
BROKER_NOTICES_S = (60.0, 165.0)
"""The keep-alive is 110 s; what was said last says when the one and a half of it are over."""
RECONNECTS_S = (2.0, 55.0)
"""So long after the line is back."""
AT_ONCE = 128
"""Items of a backlog that go in one step (`annexfleet_agent.drain.CREDIT`)."""


class Reporter:
    """A device's agent, but for its sockets."""

    def __init__(self, device_id: str, annex: Annex, machine: Machine, view: View, random: Random) -> None:
        self.device_id = device_id
        self.annex = annex
        self.machine = machine
        self.leaves_in_order = False
        """Whether the machine, when it goes off next, is shut down and not cut off."""
        self._random = random
        self._collect: list[tuple[str, Callable[[], Report]]] = [
            (name, getattr(view, name)) for name in collectors_of(machine)
        ]
        self._outbox: list[Item] = []
        self._seq = self._boots = self._sessions = 0
        self._digest: Digest | None = None
        self._due: dict[str, float] = {}
        self._beat_at = 0.0
        self._phase = random.uniform(0, SAMPLE_S)
        self._session = ""
        self._line_was_up = True
        self._dead: list[tuple[float, str]] = []
        """Connections that died, with the moment at which the broker notices."""
        self._connects_at = 0.0

    def step(self, now: float, *, quiet: bool) -> Iterator[Received]:
        """What the broker hands on between the last step and `now`.  `quiet`: nobody is there and nothing is wrong."""
        yield from self._follow_power(now)
        if self._digest is not None:
            self._measure(self._digest, now, NIGHT_SAMPLE_S if quiet else SAMPLE_S)
        yield from self._follow_line(now)
        while self._dead and self._dead[0][0] <= now:
            yield self._say(Gone(session_id=self._dead.pop(0)[1]), now)
        if self._session:
            for item in self._outbox[:AT_ONCE]:
                yield self._say(item, now)
            del self._outbox[:AT_ONCE]

    # -- power and line

    def _follow_power(self, now: float) -> Iterator[Received]:
        if self.machine.running and self._digest is None:
            self._digest, self._boots = Digest(), self._boots + 1
            self._outbox = [structs.replace(item, earlier_boot=True) for item in self._outbox]
            self._due = dict.fromkeys((name for name, _ in self._collect), now)
            self._beat_at = self._next_beat(now)
            self._connects_at = now + self._random.uniform(*RECONNECTS_S)
        elif not self.machine.running and self._digest is not None:
            self._digest = None
            if self._session and self.leaves_in_order and self.annex.line_up:
                yield self._say(Gone(session_id=self._session, reason="stopped"), now)
                self._session = ""
            elif self._session:
                self._lose(now)
            self.leaves_in_order = False

    def _follow_line(self, now: float) -> Iterator[Received]:
        if self.annex.line_up and not self._line_was_up:
            self._connects_at = now + self._random.uniform(*RECONNECTS_S)
        self._line_was_up = self.annex.line_up
        if self._session and not self.annex.line_up:
            self._lose(now)
        if self._digest is not None and not self._session and self.annex.line_up and now >= self._connects_at:
            for _, session in self._dead:  # it is taken over, and its will told
                yield self._say(Gone(session_id=session), now)
            self._dead.clear()
            self._sessions += 1
            self._session = f"s-{self._sessions}"
            waiting = [item.seq for item in self._outbox]
            yield self._say(
                Hello(
                    clock=now, session_id=self._session, boot_id=f"b-{self._boots}", install_id="i-1",
                    next_seq=self._seq + 1, oldest_seq=min(waiting, default=self._seq + 1), agent_version="0.1.0",
                ),
                now,
            )  # fmt: skip
            for name, _ in self._collect:  # the newest state goes before what waits longer
                change = self._digest.whole(name, at=now)
                if change is not None:
                    yield self._say(self._numbered(change), now)

    def _lose(self, now: float) -> None:
        self._dead.append((now + self._random.uniform(*BROKER_NOTICES_S), self._session))
        self._session = ""

    # -- measuring

    def _measure(self, digest: Digest, now: float, sample_s: float) -> None:
        for name, collect in self._collect:
            if now < self._due[name]:
                continue
            period_s = BATTERY_SAMPLE_S if name == "battery" else max(sample_s, SELDOM_S.get(name, 0.0))
            # Not all devices measure in the same step.
            self._due[name] = (now // period_s) * period_s + period_s + self._phase % min(period_s, SAMPLE_S)
            change = digest.take(name, collect(), at=now, mono=now)
            if change is not None:
                self._outbox.append(self._numbered(change))
        if now >= self._beat_at:
            self._beat_at = self._next_beat(now)
            beat = digest.beat(at=now, mono=now)
            if beat is not None:
                self._outbox.append(self._numbered(beat))

    def _next_beat(self, now: float) -> float:
        """With a sample: the agent's periods meet too."""
        return (now // BEAT_S) * BEAT_S + BEAT_S + self._phase

    def _numbered(self, item: Item) -> Item:
        self._seq += 1
        return structs.replace(item, seq=self._seq)

    def _say(self, message: UpMessage, now: float) -> Received:
        return Received(topics.up(self.device_id, wire.kind_of(message)), wire.encode(message), now)  # type: ignore[arg-type]
