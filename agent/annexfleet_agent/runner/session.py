"""One session with a relay: what it asks for is done in turn, and answered.

A relay that is not heard any more for some minutes is lost: what runs goes on to its end, its output goes nowhere, and
the session ends with it.  A cancel ends at once, whole.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol.channel import Channel, ChannelBroken, Part
from annexfleet_agent.protocol.envelope import Arguments, Malformed, Request, Result
from annexfleet_agent.protocol.requests import RequestGathering
from annexfleet_agent.runner.jobs import Answer, Place
from annexfleet_agent.runner.process import Limits

log = logging.getLogger(__name__)

LOST_AFTER_S = 180.0
"""Without a frame or acknowledgement from the relay."""
MOST_WAITING = 16
"""Requests of one session that wait for the one before them."""
COMMAND_NUMBER = 1
"""Under which the output and the result of a command go; it was asked for by the envelope itself."""


class Turns:
    """One thing is done at a time on a device, whoever asks."""

    def __init__(self) -> None:
        self._running: Entry | None = None
        self._waiting: deque[Entry] = deque()

    @property
    def running(self) -> "Entry | None":
        return self._running

    def ask(self, entry: "Entry") -> None:
        """Begin it now, or when its turn comes."""
        self._waiting.append(entry)
        self._next()

    def over(self, entry: "Entry") -> None:
        if self._running is entry:
            self._running = None
        elif entry in self._waiting:
            self._waiting.remove(entry)
        self._next()

    def _next(self) -> None:
        while self._running is None and self._waiting:
            self._running = self._waiting.popleft()
            self._running.begin()


class Entry:
    """One request of a session and its job; what the job sees of the session."""

    def __init__(self, session: "Session", number: int, make: Callable[[Place], Answer], timeout_s: float) -> None:
        """Raises ValueError if `make` does: the request cannot be meant."""
        self.session = session
        self.number = number
        self._timeout_s = timeout_s
        self._waiting: deque[Part] = deque()
        self._job = make(self)
        self._began = False
        self._over = False
        self._deadline: Timer | None = None

    # -- for the session

    def begin(self) -> None:
        self._began = True
        self._deadline = self.session.loop.after(self._timeout_s, lambda: self.cancel("timed_out"))
        self._job.start()
        while self._waiting:
            self._job.feed(self._waiting.popleft())
        if self.session.is_lost:
            self._job.lose_input()

    def feed(self, part: Part) -> None:
        if self._began:
            self._job.feed(part)
        else:
            self._waiting.append(part)  # not more than the window holds: it is not consumed

    def go_on(self) -> None:
        if self._began:
            self._job.go_on()

    def cancel(self, error: str, detail: str = "") -> None:
        if not self._over:
            self._job.cancel(error, detail)

    def lose_input(self) -> None:
        if self._began:
            self._job.lose_input()

    @property
    def pids(self) -> list[int]:
        """Of processes for whom the job waits itself."""
        return self._job.pids

    # -- for the job

    def say(self, part: Part) -> None:
        self.session.say(part)

    def may_say(self) -> bool:
        return self.session.may_say()

    def consumed(self) -> None:
        self.session.consumed()

    def done(self, result: Result) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        for _ in self._waiting:
            self.consumed()
        self._waiting.clear()
        self.session.ended(self, result)


class Opening(Struct, frozen=True, kw_only=True):
    """What a session begins with."""

    id: str
    action: str
    arguments: Arguments
    limits: Limits


class Session:
    """One session.  Belongs to the loop's thread."""

    def __init__(
        self,
        opening: Opening,
        *,
        loop: Loop,
        make: Callable[[Place, Request, Limits, str], Answer],
        turns: Turns,
        channel: Channel,
        closed: Callable[["Session"], object],
    ) -> None:
        """`make` answers a request, under a name of its own, or raises ValueError if it cannot be meant.  `closed` is
        told once, when nothing of it runs any more.
        """
        self.id = opening.id
        self.is_lost = False
        """Whether nobody hears the answers any more."""
        self.loop = loop
        self._make = make
        self._opening = opening
        self._turns = turns
        self._channel = channel
        self._closed = closed
        self._gathering: dict[int, RequestGathering] = {}
        self._entries: dict[int, Entry] = {}
        self._is_closing = False
        self._ends = loop.after(opening.arguments.session_timeout_s, lambda: self.close("timed_out"))
        channel.resume(self._now())  # its acknowledgement says that the envelope is obeyed

    # -- hearing

    def hear(self, packet: bytes) -> None:
        """A FRAME or ACK of this session."""
        if self.is_lost:
            return
        try:
            part = self._channel.hear(packet, self._now())
        except ChannelBroken as error:
            log.warning("a session is given up session=%s reason=%s", self.id, error)
            self.lose()
            return
        if part is not None:
            self._take(part)
        for entry in list(self._entries.values()):
            entry.go_on()

    def _take(self, part: Part) -> None:
        if part.kind == "request":
            self._request(part)
        elif part.kind == "input":
            entry = self._entries.get(part.request)
            if entry is None:
                self.consumed()
            else:
                entry.feed(part)
        elif part.kind == "ping":
            self.say(Part("pong", part.request, part.data[:64]))
        elif part.kind == "cancel" and part.request:
            if part.request in self._entries:
                self._entries[part.request].cancel("cancelled")
        elif part.kind in ("cancel", "bye"):
            self.close("cancelled")

    def _request(self, part: Part) -> None:
        number = part.request
        try:
            self._check(number)
            gathering = self._gathering.setdefault(number, RequestGathering())
            request = gathering.add(part)
            if request is None:
                return
            del self._gathering[number]
            self.begin(number, lambda place: self._job(place, request), request.timeout_s)
        except (Malformed, ValueError) as error:
            self._gathering.pop(number, None)
            self._answer(number, Result(error="malformed", detail=str(error)[:500]))

    def _check(self, number: int) -> None:
        """Raises Malformed if no request of this number can be taken."""
        if self._opening.action != "run" or self._is_closing or number in self._entries or number < 1:
            raise Malformed("no request can be made here")
        if number not in self._gathering and len(self._entries) + len(self._gathering) >= MOST_WAITING:
            raise Malformed("too many requests wait")

    def _job(self, place: Place, request: Request) -> Answer:
        limits = msgspec.structs.replace(
            self._opening.limits, seconds=min(request.timeout_s, self._opening.arguments.request_timeout_s)
        )
        return self._make(place, request, limits, f"annexfleet-{self.id}-{place.number}")

    def begin(self, number: int, make: Callable[[Place], Answer], timeout_s: float) -> None:
        """Do this, now or in its turn, for at most so long."""
        timeout_s = min(timeout_s, self._opening.arguments.request_timeout_s)
        entry = self._entries[number] = Entry(self, number, make, timeout_s)
        self._turns.ask(entry)

    # -- answering

    def say(self, part: Part) -> None:
        if self.is_lost:
            return
        try:
            self._channel.put(part, self._now())
        except ChannelBroken as error:
            log.warning("a session is given up session=%s reason=%s", self.id, error)
            self.loop.soon(self.lose)  # not from within the job that speaks

    def may_say(self) -> bool:
        return self.is_lost or self._channel.may_put

    def consumed(self) -> None:
        if not self.is_lost:
            self._channel.consumed()

    def ended(self, entry: Entry, result: Result) -> None:
        self._entries.pop(entry.number, None)
        self._answer(entry.number, result)
        self._turns.over(entry)
        if (self._is_closing or self.is_lost) and not self._entries:
            self._finish()

    def _answer(self, number: int, result: Result) -> None:
        self.say(Part("result", number, msgspec.json.encode(result)))

    # -- time and the line

    def tick(self) -> None:
        """Once a second."""
        if self.is_lost:
            return
        now = self._now()
        if now - self._channel.heard_at > LOST_AFTER_S:
            log.info("a relay is not heard any more session=%s", self.id)
            self.lose()
            return
        self._channel.tick(now)

    def resume(self) -> None:
        """The line is back."""
        if not self.is_lost:
            self._channel.resume(self._now())

    @property
    def idle_since(self) -> float:
        return self._channel.heard_at

    # -- its end

    def lose(self) -> None:
        """Nobody hears any more: what runs ends by itself, what waits is not begun."""
        if self.is_lost or self._is_closing:
            return
        self.is_lost = True
        for entry in list(self._entries.values()):
            if entry is self._turns.running:
                entry.lose_input()
                entry.go_on()
            else:
                entry.cancel("cancelled")
        if not self._entries:
            self._finish()

    def close(self, error: str) -> None:
        """End everything of it, now; what is asked for and did not end is answered with this error."""
        if self._is_closing:
            return
        self._is_closing = True
        for entry in self._others_first():
            entry.cancel(error)
        if not self._entries:
            self._finish()

    def _others_first(self) -> Iterable[Entry]:
        """Else the next one would begin as soon as the one that runs is ended."""
        return sorted(self._entries.values(), key=lambda entry: entry is self._turns.running)

    def _finish(self) -> None:
        self._ends.cancel()
        self.say(Part("bye", 0))
        closed, self._closed = self._closed, lambda _session: None
        closed(self)

    def _now(self) -> float:
        return self.loop.clock.mono()
