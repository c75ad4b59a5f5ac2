"""Live events, with a real server: what is committed reaches the open stream."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import uvicorn
from sqlalchemy import Engine
from tests.controller.fleet import add_devices, device_id
from tests.controller.site import Site
from tests.controller.web import places
from tests.flow.broker import free_port

from annexfleet_controller.access import sessions
from annexfleet_controller.api import hub as hub_module
from annexfleet_controller.api.hub import Event, Hub, Listener
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.store import pulses, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.people import UserAnnex

PATIENCE_S = 10.0


class Served:
    """A site behind a real server, with real time."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.address = f"http://127.0.0.1:{port}"
        self._streams: list[Stream] = []

    def stream(self, query: str = "", *, annex: str = "", **headers: str) -> "Stream":
        """Somebody follows; whatever the test comes to, the stream ends with it."""
        cookie = self.site.signed_in("operator", annex=annex).cookies["annexfleet"]
        stream = Stream(f"{self.address}/api/v1/events?{query}", {"Cookie": f"annexfleet={cookie}", **headers})
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def happens(self, number: int, kinds: str, **live: float) -> int:
        """Something about a device is committed; gives the pulse's id."""
        now = SYSTEM.now()
        with writing(self.site.engine) as db:
            if live:
                places.live(db, number, {"": dict(live)}, at=now)
            pulses.add(db, {number: kinds}, now=now)
            db.flush()
            return db.query(pulses.PulseRow.id).order_by(pulses.PulseRow.id.desc()).limit(1).scalar() or 0


class Stream:
    """A client that follows events in a thread of its own."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.events: list[dict] = []
        where = urlsplit(address)
        self._connection = http.client.HTTPConnection(where.netloc, timeout=PATIENCE_S)
        try:
            self._connection.request("GET", f"{where.path}?{where.query}", headers=headers)
            self._socket = self._connection.sock
            self._answer = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            raise
        self.status = self._answer.status
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        try:
            # A server that ends on a busy machine resets what it could not close in time: an end as well.
            with suppress(ConnectionError):
                self._read()
        finally:
            self._answer.close()
            self._connection.close()

    def _read(self) -> None:
        event: dict = {}
        while line := self._answer.readline():
            name, _, value = line.decode().rstrip().partition(": ")
            if name:
                event[name] = json.loads(value) if name == "data" else value
                continue
            if "event" in event:
                self.events.append(event)
            event = {}

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        if self._thread.is_alive() and self._socket.fileno() >= 0:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def eventually(condition) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def serving(site: Site) -> Iterator[Served]:
    port = free_port()
    config = uvicorn.Config(
        site.app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    served = Served(site, port)
    try:
        eventually(lambda: server.started)
        yield served
    finally:
        served.close()
        server.should_exit = True
        thread.join()


@pytest.fixture
def served(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(hub_module, "STOP_AFTER_S", 0.2)
    site.clock.now = SYSTEM.now  # type: ignore[method-assign]
    site.clock.mono = SYSTEM.mono  # type: ignore[method-assign]
    with writing(site.engine) as db:
        places.annex(db, 1, SYSTEM.now())
        places.annex(db, 2, SYSTEM.now())
    add_devices(site.engine, 2)
    add_devices(site.engine, 1, annex_id="berkane-2", first=3)
    with serving(site) as running:
        yield running


def following(served: Served) -> None:
    """Wait until the hub follows the pulses: it tells what comes from then on."""
    hub: Hub = served.site.app.state.hub
    eventually(lambda: hub._follower is not None and hub._follower._after is not None)


def test_what_is_committed_reaches_an_open_page(served: Served):
    stream = served.stream()
    following(served)
    began = time.monotonic()

    number = served.happens(1, "cb")
    eventually(lambda: stream.events)

    assert time.monotonic() - began < 1
    (event,) = stream.events
    assert event["event"] == "device"
    assert event["id"] == str(number)
    assert event["data"]["device"] == device_id(1)
    assert event["data"]["annex"] == "berkane-1"
    assert event["data"]["kinds"] == ["change", "beat"]
    stream.close()


def test_topics_and_scopes_narrow_what_one_hears(served: Served):
    streams = {
        "all": served.stream(),
        "annex 2": served.stream("annex=berkane-2"),
        "device 2": served.stream(f"device={device_id(2)}"),
        "scope 2": served.stream(annex="berkane-2"),
    }
    following(served)

    for number in (1, 2, 3):
        served.happens(number, "c")
    eventually(lambda: len(streams["all"].events) == 3 and all(stream.events for stream in streams.values()))

    heard = {name: [e["data"]["device"] for e in stream.events] for name, stream in streams.items()}
    first, second, third = device_id(1), device_id(2), device_id(3)
    assert heard == {"all": [first, second, third], "annex 2": [third], "device 2": [second], "scope 2": [third]}
    for stream in streams.values():
        stream.close()


def test_what_is_outside_ones_annexes_is_unknown(served: Served):
    refused = [
        served.stream(f"device={device_id(1)}", annex="berkane-2"),
        served.stream("annex=berkane-1", annex="berkane-2"),
        served.stream("device=d-nobody"),
    ]

    assert [stream.status for stream in refused] == [404, 404, 404]
    for stream in refused:
        stream.close()


def test_live_samples_come_with_numbers_and_words_to_who_watches(served: Served):
    watcher = served.stream(f"device={device_id(1)}&watch=1", **{"Accept-Language": "fr"})
    board = served.stream()
    following(served)

    served.happens(1, "l", cpu_used_ratio=0.314)
    served.happens(2, "c")
    eventually(lambda: watcher.events and board.events)

    assert watcher.events[0]["data"]["values"] == [["", "cpu_used_ratio", 0.314, "31\xa0%"]]
    assert [event["data"]["device"] for event in board.events] == [device_id(2)]
    watcher.close()
    board.close()


def watched(engine: Engine, number: int) -> bool:
    with reading(engine) as db:
        return watches.of(db, number, now=SYSTEM.now()) is not None


def test_a_device_is_watched_while_its_page_is_open_and_no_longer(served: Served):
    engine = served.site.engine
    first = served.stream(f"device={device_id(1)}&watch=1")
    second = served.stream(f"device={device_id(1)}&watch=1")
    served.stream(f"device={device_id(2)}").close()
    eventually(lambda: watched(engine, 1))
    assert not watched(engine, 2)

    first.close()
    following(served)
    time.sleep(0.5)  # longer than it would take to stop
    assert watched(engine, 1)
    second.close()
    eventually(lambda: not watched(engine, 1))


def test_who_was_away_hears_what_was_missed(served: Served):
    last = served.happens(1, "c")
    missed = served.happens(2, "b")

    stream = served.stream(**{"Last-Event-ID": str(last)})
    eventually(lambda: stream.events)

    assert [(event["id"], event["data"]["device"]) for event in stream.events] == [(str(missed), device_id(2))]
    stream.close()


def test_who_was_away_for_too_long_is_told_to_ask_for_everything(served: Served):
    stream = served.stream(**{"Last-Event-ID": "999999"})
    eventually(lambda: stream.events)

    assert [event["event"] for event in stream.events] == ["refresh"]
    stream.close()


def test_a_stream_ends_with_its_session(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "CHECK_SESSIONS_S", 0.1)
    client = served.site.signed_in("staff")
    stream = Stream(f"{served.address}/api/v1/events", {"Cookie": f"annexfleet={client.cookies['annexfleet']}"})
    following(served)

    client.post("/sign-out")

    eventually(stream.ended)


def test_an_open_page_costs_no_thread(served: Served):
    one = served.stream()
    following(served)
    before = {thread.name for thread in threading.enumerate() if "hub" in thread.name or "AnyIO" in thread.name}

    more = [served.stream() for _ in range(15)]

    after = {thread.name for thread in threading.enumerate() if "hub" in thread.name or "AnyIO" in thread.name}
    assert len(served.site.app.state.hub) == 16
    assert len(after) - len(before) <= 5  # workers that opened them one after another, not one a page
    for stream in (one, *more):
        stream.close()
    eventually(lambda: len(served.site.app.state.hub) == 0)


def test_a_page_that_does_not_read_is_let_go_and_told_to_ask_anew(site: Site):
    import asyncio

    async def slow() -> list[str]:
        person = sessions.by_cookie(
            site.engine, site.signed_in().cookies["annexfleet"], site.home.settings, now=site.clock.now(), is_use=True
        )
        assert person is not None
        listener = Listener(person, device_id="", annex_id="", watch=False)
        listener.deliver(Event("device", number, "d", "a") for number in range(1000))
        listener.deliver([Event("device", 1001, "d", "a")])
        return [listener.queue.get_nowait().name for _ in range(listener.queue.qsize())]

    assert asyncio.run(slow()) == ["refresh", "end"]


@pytest.mark.parametrize("limit", ["MOST_OF_A_SESSION", "MOST_OF_A_PERSON", "MOST"])
def test_more_streams_than_are_allowed_are_refused_until_one_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch, limit: str
):
    monkeypatch.setattr(hub_module, limit, 2)
    hub: Hub = served.site.app.state.hub
    cookie = served.site.signed_in("operator").cookies["annexfleet"]

    def another() -> Stream:
        if limit == "MOST_OF_A_SESSION":
            return Stream(f"{served.address}/api/v1/events", {"Cookie": f"annexfleet={cookie}"})
        return served.stream()

    streams = [another(), another()]
    refused = another()

    assert [stream.status for stream in (*streams, refused)] == [200, 200, 429]
    refused.close()
    streams[0].close()
    eventually(lambda: len(hub) == 1)
    streams[0] = another()
    assert streams[0].status == 200
    for stream in streams:
        stream.close()


def test_a_stream_follows_the_annexes_that_are_a_persons_now(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "CHECK_SESSIONS_S", 0.1)
    stream = served.stream(annex="berkane-1")
    following(served)
    hub: Hub = served.site.app.state.hub

    with writing(served.site.engine) as db:
        db.query(UserAnnex).update({UserAnnex.annex_id: "berkane-2"})
    eventually(lambda: all(listener.person.scope.covers("berkane-2") for listener in hub._copy()))
    served.happens(1, "c")
    served.happens(3, "c")
    eventually(lambda: stream.events)

    assert [event["data"]["device"] for event in stream.events] == [device_id(3)]
    stream.close()


def test_streams_end_at_once_when_the_controller_stops(served: Served):
    streams = [served.stream(), served.stream()]
    following(served)

    served.site.app.state.hub.end_streams()

    eventually(lambda: all(stream.ended() for stream in streams))
    late = served.stream()
    eventually(late.ended)


@pytest.mark.parametrize("last", ["99999999999999999999", "٣", "-1", "x"])
def test_an_event_that_never_was_is_no_failure(served: Served, last: str):
    stream = served.stream(**{"Last-Event-ID": last.encode().decode("latin1")})

    assert stream.status == 200
    stream.close()


def test_words_in_events_cannot_turn_the_text_around_them():
    values = (("net:\u202eevil", "network_name", "ok \u202egnp.live\u202c"), ("", "names", ["a\u2066b"]))

    data = Event("device", 1, "d", "a", values=values).encoded("fr").decode()

    assert not any(mark in data for mark in "\u202e\u202c\u2066")
    assert '"net:evil","network_name","ok gnp.live"' in data


def test_a_rollout_moves_the_pages_of_its_annexes():
    pulse = pulses.Pulse(4, SYSTEM.now(), {}, {"berkane-1": "o", "berkane-2": "ou"})

    events = Hub._events([pulse], {}, {})

    assert [(event.annex_id, event.kinds) for event in events] == [
        ("berkane-1", ("rollout",)), ("berkane-2", ("rollout", "run")),
    ]  # fmt: skip
