"""A board hears when something moves in its annex, and nothing else; how many may listen is bounded."""

import asyncio
import http.client
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine
from tests.controller.api.test_events import Served, serving
from tests.controller.fleet import add_annex, add_devices
from tests.controller.site import Site

from annexfleet_controller.access import links as making
from annexfleet_controller.api import hub as hub_module
from annexfleet_controller.api.board_events import _pace
from annexfleet_controller.api.hub import BoardListener, Event, Hub
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import TooManyStreams
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.scope import WHOLE


@pytest.fixture
def served(site: Site) -> Iterator[Served]:
    add_annex(site.engine)
    add_annex(site.engine, "berkane-2")
    add_devices(site.engine, 1)
    add_devices(site.engine, 1, annex_id="berkane-2", first=2)
    with serving(site) as one:
        yield one


def test_a_board_hears_of_its_own_annex_until_its_link_is_revoked(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "CHECK_SESSIONS_S", 0.0)
    with writing(served.site.engine) as db:
        board, secret = making.new_board_at_console(db, "berkane-1", label="hall", by="x", now=SYSTEM.now())
    with closing(http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=30)) as connection:
        connection.request("GET", f"/api/v1/boards/{secret}/events")
        answer = connection.getresponse()
        heard: list[str] = []

        def read_to(event: str) -> None:
            while not heard or heard[-1] != event:
                line = answer.readline().decode()
                assert line, heard
                if line.startswith(("event", "data")):
                    heard.append(line.strip())

        read_to("data: soon")  # the look at the beginning
        heard.clear()
        read_to("data: soon")  # and another from when it is followed: what moved in between is not lost
        served.happens(2, "c")  # elsewhere
        served.happens(1, "b")
        read_to("data: later")
        served.happens(1, "c")
        read_to("data: soon")
        assert heard.count("data: later") == 1
        assert not any("d-" in line for line in heard)

        with writing(served.site.engine) as db:
            making.revoke_board(db, WHOLE, board.id, by="x", via="console", now=SYSTEM.now())
        while answer.readline():
            pass


def test_an_unknown_link_hears_nothing(site: Site):
    assert site.visitor().get(f"/api/v1/boards/{'x' * 43}/events").status_code == 404
    assert site.visitor().get(f"/api/v1/walls/{'x' * 43}/events").status_code == 404


def test_a_wall_hears_of_all_that_it_shows_until_its_link_is_revoked(served: Served, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_module, "CHECK_SESSIONS_S", 0.0)
    with writing(served.site.engine) as db:
        wall, secret = making.new_wall_at_console(db, "", label="hall", by="x", now=SYSTEM.now())
    connection = http.client.HTTPConnection(served.address.removeprefix("http://"), timeout=10)
    connection.request("GET", f"/api/v1/walls/{secret}/events")
    answer = connection.getresponse()

    def read_to(word: str) -> None:
        while (line := answer.readline().decode()) and line.strip() != word:
            pass
        assert line, word

    read_to("data: soon")
    read_to("data: soon")
    served.happens(2, "b")
    read_to("data: later")
    served.happens(1, "b")
    read_to("data: later")

    with writing(served.site.engine) as db:
        making.revoke_wall(db, wall.id, by="x", via="console", now=SYSTEM.now())
    while answer.readline():
        pass
    connection.close()


def test_listeners_are_bounded_by_link_and_by_address(site: Site, sqlite_engine: Engine):
    async def open_all() -> tuple[int, int]:
        hub = Hub(sqlite_engine, site.home.settings, site.clock)
        try:
            return (
                _opened(hub, lambda n: BoardListener(1, scope=WHOLE, address=f"10.0.0.{n}")),
                _opened(hub, lambda n: BoardListener(n + 2, scope=WHOLE, address="10.1.0.1")),
            )
        finally:
            hub.stop()

    assert asyncio.run(open_all()) == (hub_module.MOST_OF_A_BOARD, hub_module.MOST_OF_AN_ADDRESS)


def _opened(hub: Hub, make) -> int:
    for number in range(200):
        try:
            hub.add(make(number))
        except TooManyStreams:
            return number
    return 200


def test_only_averages_are_no_reason_to_hurry():
    beat, change, refresh = Event("device", kinds=("beat",)), Event("device", kinds=("change",)), Event("refresh")

    assert (_pace([beat, beat]), _pace([beat, change]), _pace([refresh])) == ("later", "soon", "soon")
