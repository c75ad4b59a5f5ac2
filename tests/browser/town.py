"""A town with two annexes, a web server on a real port, and the real watch loop: what browsers are shown.

Its clock runs with real time, so that open pages live, and can be put forward, so that nobody waits for a rule.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from sqlalchemy import Engine
from tests.controller.alerts.test_watcher import OPEN_AT, Place
from tests.controller.site import Site
from tests.controller.web import places
from tests.flow.broker import free_port

from annexfleet_controller.access import links as making
from annexfleet_controller.alerts.watch import Holder
from annexfleet_controller.app import create_web
from annexfleet_controller.clock import Clock
from annexfleet_controller.store import annexes, fleet, links, people, pulses
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.devices import Device

PATIENCE_S = 20.0
NAMES = (
    ("berkane-1", "Annexe administrative Al Massira", "الملحقة الإدارية المسيرة"),
    ("berkane-2", "Annexe administrative Hay Salam", "الملحقة الإدارية حي السلام"),
)
COUNTERS = ("guichet-1", "guichet-2", "borne-1", "tablette-1", "guichet-1", "guichet-2")
ROLES = ("counter", "counter", "kiosk", "tablet", "counter", "counter")


class ForwardClock(Clock):
    """Real time plus what it was put forward by."""

    def __init__(self, start: datetime) -> None:
        self._ahead = start - datetime.now(UTC)

    @property
    def at(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    @at.setter
    def at(self, moment: datetime) -> None:
        self._ahead = moment - datetime.now(UTC)

    def now(self) -> datetime:
        return self.at

    def mono(self) -> float:
        return time.monotonic()


class Town(Place):
    """Six devices in two annexes, a printer, a queue; everybody has been heard."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self.site = Site(engine, path)
        self.home = self.site.with_authority().home
        self.clock = ForwardClock(OPEN_AT)  # type: ignore[assignment]  # it is turned by the same attribute
        self.site.clock = self.clock  # type: ignore[assignment]
        self._settle()
        self.holder = Holder(engine, self.home, clock=self.clock)
        self._port = free_port()
        self.listens(since=OPEN_AT - timedelta(days=1))
        self.hello(1, 2, 3, 4, 5, 6)
        self.printer(1)
        self.printer_seen(5)
        self.waiting(1, 4)
        self.pass_time(60, beats=range(1, 7))

    def _settle(self) -> None:
        now = self.clock.at
        with writing(self.engine) as db:
            for annex_id, name_fr, name_ar in NAMES:
                annexes.create(db, annex_id, name_fr=name_fr, name_ar=name_ar, now=now - timedelta(days=60))
            for number, (name, role) in enumerate(zip(COUNTERS, ROLES, strict=True), start=1):
                places.device(db, number, NAMES[number > 4][0], now=now, name=name, role=role, heard=None)
            self.ids = [device.id for device in db.query(Device).order_by(Device.number)]
            for number in range(1, 7):
                places.inventory(db, number, at=now, vendor="Dell", model="OptiPlex 3080", memory_bytes=8 * 2**30)
        self._seq = dict.fromkeys(self.ids, 0)

    def printer_seen(self, number: int) -> None:
        """The printer of the other annex, which is well."""
        self.change(number, "printers", {
            "printer:hp-salam": {
                "printer_state": "idle", "printer_causes": [], "printer_reasons": [], "printer_accepting": 1,
                "printer_address": "10.1.2.21:631", "printer_source": "device_ipp", "printer_model": "HP M404",
                "printer_pages_count": 8123,
            },
            "supply:hp-salam/black": {
                "supply_level_ratio": 0.07, "supply_kind": "toner", "supply_colour": "black",
            },
        })  # fmt: skip

    def waiting(self, number: int, people: float) -> None:
        self.change(number, "queues", {"queue:etat-civil": {
            "queue_waiting_count": people, "queue_longest_wait_seconds": people * 95,
            "queue_average_wait_seconds": people * 41, "queue_served_last_hour_count": 17,
            "queue_abandoned_last_hour_count": 1, "queue_counters_open_count": 3, "queue_counters_total_count": 4,
            "queue_stale": 0,
        }})  # fmt: skip

    def jams(self) -> None:
        """Paper sticks in the printer of the first annex, long enough that it is an incident."""
        self.printer(1, causes=["paper_jam"], state="stopped")
        self.pass_time(180, beats=range(1, 7))

    def is_mended(self) -> None:
        """The printer prints again, and its device says so."""
        self.printer(1)
        self.pass_time(90, beats=range(1, 7))

    def live(self, number: int, readings: dict) -> None:
        """What a device tells every two seconds while somebody watches it."""
        with writing(self.engine) as db:
            places.live(db, number, readings, at=self.clock.at)
            pulses.add(db, {number: "l"}, now=self.clock.at)

    # -- what opens without a password

    def board(self, annex_id: str) -> str:
        """The path of a new board of that annex."""
        with writing(self.engine) as db:
            _, secret = making.new_board_at_console(db, annex_id, label="hall", by="test", now=self.clock.at)
        return f"/board/{secret}"

    def wall(self) -> str:
        """The path of a new wall screen of the province."""
        with writing(self.engine) as db:
            _, secret = making.new_wall_at_console(db, "", label="hall", by="test", now=self.clock.at)
        return f"/wall/{secret}"

    def printer_page(self, annex_id: str) -> str:
        """The path of the page of that annex's first printer."""
        return f"/printers/{self._printer_id(annex_id)}"

    def code(self, annex_id: str) -> str:
        """The path behind the code on that annex's first printer, which has a label from now on."""
        printer_id = self._printer_id(annex_id)
        with writing(self.engine) as db:
            label, _ = links.put_label(db, WHOLE, annex_id, printer_id, place="Hall", now=self.clock.at)
        return f"/p/{label.code}"

    def _printer_id(self, annex_id: str) -> str:
        with reading(self.engine) as db:
            rows = fleet.devices(db, WHOLE, now=self.clock.at, annex_id=annex_id)
            return fleet.printers(rows, fleet.known(db, rows, collectors=["printers"]))[0].id

    # -- the server

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def served(self) -> Iterator[None]:
        """The web process, until the end of the block; always on the same port."""
        self.site.app = create_web(self.home, engine=self.engine, clock=self.clock)  # a process that starts anew
        config = uvicorn.Config(
            self.site.app, host="127.0.0.1", port=self._port, log_config=None, timeout_graceful_shutdown=1, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        until = time.monotonic() + PATIENCE_S
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until, "the server did not start"  # noqa: PT018
            time.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()

    def cookie(self, role: str, *, annex: str = "", language: str = "fr") -> str:
        """A session of a person of that role who reads that language."""
        name = f"{role}-{annex or 'province'}-{language}"
        client = self.site.signed_in(role, annex=annex, name=name)
        with writing(self.engine) as db:
            people.set_language(db, people.get(db, name).id, language)
        return client.cookies["annexfleet"]
