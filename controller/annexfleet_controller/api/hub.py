"""From the ingest's pulses to open pages: one thread looks at the database, however many pages are open.

Each page has a short queue on its own event loop.  A page that does not read is told to ask for everything anew and is
let go, so that it holds up nobody.  While nobody looks, the thread sleeps.
"""

import asyncio
import logging
import threading
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Literal

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from annexfleet_agent.protocol.messages import Value
from annexfleet_controller.access import sessions
from annexfleet_controller.access.person import Person
from annexfleet_controller.clock import Clock
from annexfleet_controller.errors import TooManyStreams
from annexfleet_controller.i18n import readings
from annexfleet_controller.i18n.catalogues import language
from annexfleet_controller.i18n.direction import plain
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import fleet, links, live, pulses, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE, Scope

log = logging.getLogger(__name__)

POLL_S = 0.15
WATCH_FOR = timedelta(seconds=60)
"""How far ahead a watch is set; it lapses by itself if this process dies."""
WATCH_AGAIN_S = 20.0
STOP_AFTER_S = 4.0
"""A page that is only loaded anew does not stop the watch."""
CHECK_SESSIONS_S = 10.0
QUEUE_LENGTH = 256
MOST_OF_A_SESSION = 8
"""A browser opens six connections to one address; a person has more than one browser."""
MOST_OF_A_PERSON = 20
MOST_OF_A_BOARD = 12
"""One link may hang in several rooms of an annex."""
MOST_OF_AN_ADDRESS = 60
"""Boards and walls behind one address: an annex has one for all its screens."""
MOST = 2000
"""Of people, and as many boards and walls."""

_KINDS = {"b": "beat", "c": "change", "l": "live", "h": "hello", "g": "gone", "k": "command"}
_ANNEX_KINDS = {
    "a": "alert",
    "i": "incident",
    "r": "readiness",
    "m": "maintenance",
    "u": "run",
    "o": "rollout",
    "d": "drift",
}


Values = tuple[tuple[str, str, Value], ...]
"""Subject, metric and newest value."""


class Event(msgspec.Struct, frozen=True):
    """What happened to one device, or to an annex as a whole (an empty `annex_id` is the province).

    Or `refresh`: ask for everything anew; or `end`: nothing more will come.
    """

    name: Literal["device", "annex", "refresh", "end"]
    id: int = 0
    device_id: str = ""
    annex_id: str = ""
    at: float = 0.0
    kinds: tuple[str, ...] = ()
    values: Values = ()
    """Those that moved; only for pages of this device."""

    def encoded(self, language_code: str) -> bytes:
        """As server-sent event; values bear their text in that language."""
        lines = [f"event: {self.name}"]
        if self.id:
            lines.insert(0, f"id: {self.id}")
        data: dict[str, object] = {}
        if self.name == "device":
            words = language(language_code)
            data = {"device": self.device_id, "annex": self.annex_id, "at": self.at, "kinds": self.kinds}
            if self.values:
                data["values"] = [
                    (plain(subject), plain(metric), _plain(value), plain(readings.text(words, metric, value)))
                    for subject, metric, value in self.values
                ]
        elif self.name == "annex":
            data = {"annex": self.annex_id, "at": self.at, "kinds": self.kinds}
        lines.append(f"data: {msgspec.json.encode(data).decode()}")
        return ("\n".join(lines) + "\n\n").encode()


def _plain(value: Value) -> Value:
    """A device's words without marks that steer; the page's keys are cleaned the same way."""
    if isinstance(value, list):
        return [plain(word) for word in value]
    return plain(value) if isinstance(value, str) else value


REFRESH = Event("refresh")
END = Event("end")


class Listener:
    """One open page or program."""

    def __init__(self, person: Person, *, device_id: str, annex_id: str, watch: bool) -> None:
        self.person = person
        self.device_id = device_id
        self.annex_id = annex_id
        self.watch = watch and bool(device_id)
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LENGTH)
        self._lost = False

    def is_one_too_many(self, others: Collection["Listener"]) -> bool:
        """Whether so many of these are open that this one is refused."""
        same = [other for other in others if not isinstance(other, BoardListener)]
        of_session = sum(other.person.digest == self.person.digest for other in same)
        of_person = sum(other.person.user_id == self.person.user_id for other in same)
        return of_session >= MOST_OF_A_SESSION or of_person >= MOST_OF_A_PERSON or len(same) >= MOST

    def wants(self, event: Event) -> bool:
        """Whether it asked for this, and may see it."""
        if event.name == "annex" and not event.annex_id:  # the province's; each annex that it touches has its own event
            return self.person.scope.annexes is None and not self.device_id and not self.annex_id
        if not self.person.scope.covers(event.annex_id):
            return False
        if self.device_id:
            return event.device_id == self.device_id
        if event.kinds == ("live",):
            return False
        return not self.annex_id or event.annex_id == self.annex_id

    def deliver(self, events: Iterable[Event]) -> None:
        """In the event loop only."""
        if self._lost:
            return
        try:
            for event in events:
                self.queue.put_nowait(event)
        except asyncio.QueueFull:
            log.info("page dropped: it does not read its events user=%s", self.person.name)
            self._lost = True
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(REFRESH)
            self.queue.put_nowait(END)

    def post(self, events: list[Event]) -> None:
        """From any thread."""
        try:
            self.loop.call_soon_threadsafe(self.deliver, events)
        except RuntimeError:
            log.debug("page is gone already user=%s", self.person.name)  # its loop is closed


class BoardListener(Listener):
    """A board or a wall that is open somewhere; whoever has its link, so nobody with any right."""

    def __init__(self, link_id: int, *, scope: Scope, address: str) -> None:
        nobody = Person(
            user_id=0, name=f"link {link_id}", role="", scope=scope, language="",
            must_change_password=False, via="session", digest="",
        )  # fmt: skip
        super().__init__(nobody, device_id="", annex_id="", watch=False)
        self.link_id = link_id
        self.address = address

    def is_one_too_many(self, others: Collection[Listener]) -> bool:
        """Boards are counted apart, so that neither they nor people keep the others out."""
        same = [other for other in others if isinstance(other, BoardListener)]
        of_link = sum(other.link_id == self.link_id for other in same)
        of_address = sum(other.address == self.address for other in same)
        return of_link >= MOST_OF_A_BOARD or of_address >= MOST_OF_AN_ADDRESS or len(same) >= MOST


class Hub:
    """Follows the pulses on behalf of all listeners of this process."""

    def __init__(self, engine: Engine, settings: Settings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._listeners: set[Listener] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._follower: pulses.Follower | None = None
        self._watched: dict[int, float] = {}
        """Device numbers, each with the moment (mono) at which its watch was pushed last."""
        self._unwatched: dict[int, float] = {}
        self._told: dict[int, dict[tuple[str, str], Value]] = {}
        """Readings of the devices that somebody looks at, as they were told last."""
        self._sessions_checked = 0.0

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Listener) -> None:
        """Raises TooManyStreams."""
        with self._lock:
            if listener.is_one_too_many(self._listeners):
                raise TooManyStreams
            self._listeners.add(listener)
            if self._stopping.is_set():
                listener.post([END])
            if self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="live-hub", daemon=True)
                self._thread.start()
        self._wake.set()

    def remove(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.discard(listener)
        self._wake.set()

    def end_streams(self) -> None:
        """End every stream, and those that come from now on; waits for nothing."""
        self._stopping.set()
        self._wake.set()
        for listener in self._copy():
            listener.post([END])

    def stop(self) -> None:
        """End every stream and the thread."""
        self.end_streams()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def since(self, listener: Listener, last_id: int) -> list[Event]:
        """What this listener missed since that event; a refresh where nobody can tell."""
        with reading(self._engine) as db:
            missed = live.missed(db, last_id)
            if missed is None:
                return [REFRESH]
            names = fleet.names(db, WHOLE, {number for pulse in missed for number in pulse.devices})
        events = self._events(missed, names, {})
        return [event for event in events if listener.wants(event)][-QUEUE_LENGTH // 2 :]

    # -- in the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._turn()
            except Exception:  # the fence: a database that is away for a while must not end live pages for good
                log.exception("looking for what is new failed")
                busy = True
            self._wake.wait(POLL_S if busy else None)
            if not busy:
                continue
            self._wake.clear()

    def _turn(self) -> bool:
        """One look; whether another is due soon."""
        listeners = self._copy()
        self._keep_watches(listeners)
        if not listeners:
            self._wake.clear()
            if self._copy():  # somebody came between looking and clearing
                return True
            self._follower = None
            self._told.clear()
            return bool(self._unwatched)
        self._end_dead_sessions(listeners)
        self._fan_out(listeners)
        return True

    def _copy(self) -> list[Listener]:
        with self._lock:
            return list(self._listeners)

    def _fan_out(self, listeners: list[Listener]) -> None:
        with reading(self._engine) as db:
            begins = self._follower is None
            if self._follower is None:
                self._follower = pulses.Follower()
            new = self._follower.poll(db)
            if begins:  # a board may have looked before there was anybody who follows
                for listener in listeners:
                    if isinstance(listener, BoardListener):
                        listener.post([REFRESH])
            if not new:
                return
            names = fleet.names(db, WHOLE, {number for pulse in new for number in pulse.devices})
            looked_at = {listener.device_id for listener in listeners} - {""}
            values = self._values(db, new, {n for n, (device_id, _) in names.items() if device_id in looked_at})
        events = self._events(new, names, values)
        for listener in listeners:
            if wanted := [event for event in events if listener.wants(event)]:
                listener.post(wanted)

    @staticmethod
    def _events(
        new: list[pulses.Pulse],
        names: dict[int, tuple[str, str]],
        values: dict[int, Values],
    ) -> list[Event]:
        """One event a pulse and device, or annex; the values go with the newest of each device."""
        newest = {number: pulse.id for pulse in new for number in pulse.devices}
        events = []
        for pulse in new:
            for number, letters in pulse.devices.items():
                if number not in names:
                    continue  # taken out of service meanwhile
                device_id, annex_id = names[number]
                kinds = tuple(_KINDS[letter] for letter in letters if letter in _KINDS)
                of = values.get(number, ()) if newest[number] == pulse.id else ()
                events.append(Event("device", pulse.id, device_id, annex_id, pulse.at.timestamp(), kinds, of))
            for annex_id, letters in pulse.annexes.items():
                kinds = tuple(_ANNEX_KINDS[letter] for letter in letters if letter in _ANNEX_KINDS)
                events.append(Event("annex", pulse.id, "", annex_id, pulse.at.timestamp(), kinds))
        return events

    def _values(self, db: Session, new: list[pulses.Pulse], numbers: set[int]) -> dict[int, Values]:
        """What moved of the devices that somebody looks at: the readings that differ from those told last."""
        touched = {number for pulse in new for number in pulse.devices} & numbers
        for number in self._told.keys() - numbers:
            del self._told[number]
        if not touched:
            return {}
        rows = fleet.by_number(db, WHOLE, touched)
        values: dict[int, Values] = {}
        for number, known in fleet.known(db, rows, live=True).items():
            told = self._told.get(number, {})
            now_known = {(s, m): r.value for s, of in known.readings.items() for m, r in of.items()}
            self._told[number] = now_known
            values[number] = tuple((s, m, v) for (s, m), v in now_known.items() if told.get((s, m)) != v)
        return values

    def _keep_watches(self, listeners: list[Listener]) -> None:
        mono = self._clock.mono()
        wanted = {listener.device_id for listener in listeners if listener.watch}
        if not wanted and not self._watched and not self._unwatched:
            return
        with reading(self._engine) as db:
            numbers = fleet.numbers(db, WHOLE, wanted)
        for number in self._watched.keys() - numbers:
            del self._watched[number]
            self._unwatched[number] = mono
        for number in numbers & self._unwatched.keys():
            del self._unwatched[number]
        due = {n for n in numbers if n not in self._watched or mono - self._watched[n] >= WATCH_AGAIN_S}
        over = {n for n, since in self._unwatched.items() if mono - since >= STOP_AFTER_S}
        if not due and not over:
            return
        now = self._clock.now()
        with writing(self._engine) as db:
            for number in sorted(due):
                watches.push(db, number, until=now + WATCH_FOR)
            for number in sorted(over):
                watches.stop(db, number, now=now)
        self._watched |= dict.fromkeys(due, mono)
        for number in over:
            del self._unwatched[number]

    def _end_dead_sessions(self, listeners: list[Listener]) -> None:
        mono = self._clock.mono()
        if mono - self._sessions_checked < CHECK_SESSIONS_S:
            return
        self._sessions_checked = mono
        boards = [listener for listener in listeners if isinstance(listener, BoardListener)]
        if boards:
            with reading(self._engine) as db:
                good = links.still_good(db, {board.link_id for board in boards})
            for board in boards:
                if board.link_id not in good:
                    board.post([REFRESH, END])
        of_people = [listener for listener in listeners if not isinstance(listener, BoardListener)]
        persons = {listener.person.digest: listener.person for listener in of_people}
        alive = sessions.still_open(self._engine, persons.values(), self._settings, now=self._clock.now())
        for listener in of_people:
            person = alive.get(listener.person.digest)
            if person is None or not person.may("look"):
                listener.post([REFRESH, END])
            else:
                listener.person = person  # with the annexes that are theirs now
