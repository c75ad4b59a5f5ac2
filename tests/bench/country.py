"""A country of 25,000 devices on a real SQLite: a few annexes told over the real ingest, and copied row by row.

Copies share what their devices told, but not their annex: printers, portals and queues are each annex's own.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from msgspec import structs
from sqlalchemy import event, text
from tests.bench.week.run import TurnedClock
from tests.bench.week.wire import Reporter
from tests.controller.fleet import device_id

from annexfleet_agent.digest import Digest
from annexfleet_agent.protocol import wire
from annexfleet_controller.ingest import writer
from annexfleet_controller.ingest.decode import decode
from annexfleet_controller.simulate import day
from annexfleet_controller.simulate.measured import View
from annexfleet_controller.simulate.province import Annex, Province, build
from annexfleet_controller.store import figures, pulses
from annexfleet_controller.store.database import open_database, writing
from annexfleet_controller.store.migrate import upgrade
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex as AnnexRow
from annexfleet_controller.zones import PROVINCE

DEVICES_OF_AN_ANNEX = 14
WELL, JAMMED, EMPTY, FULL = range(4)
"""The annexes that are told; all others are one of these."""
TROUBLED_OF = 20
"""One annex of so many is not well."""
STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=PROVINCE).astimezone(UTC)
"""A Monday morning."""
LISTENED = timedelta(minutes=12)
"""So long the devices have told before anybody looks."""


class Country:
    """The database, its clock, and what can be done to its devices."""

    def __init__(self, path: Path, annexes: int) -> None:
        self.path = path
        self.engine = open_database(f"sqlite:///{path / 'controller.db'}")
        event.listen(self.engine, "connect", _careless)
        upgrade(self.engine)
        self.annexes = annexes
        self.devices = annexes * DEVICES_OF_AN_ANNEX
        self.clock = TurnedClock(STARTED.timestamp())
        self.worse: dict[tuple[int, str], bytes] = {}
        """By place in an annex and collector: what a device would tell if all printers jammed and the portal failed."""
        self._tell()
        self._copy()
        self.listens()

    def annex_id(self, place: int) -> str:
        """Of the nth annex, from 0; the first four are those that were told."""
        return f"annex-{place + 1}"

    def listens(self) -> None:
        """Ingest says that it does."""
        with writing(self.engine) as db:
            told = {
                "ingest_alive_at_seconds": self.clock.at,
                "ingest_connected_at_seconds": (STARTED - timedelta(days=1)).timestamp(),
            }
            figures.put(db, told, now=self.clock.now())

    def beats(self, numbers: list[int]) -> None:
        """These devices are heard now."""
        with writing(self.engine) as db:
            for start in range(0, len(numbers), 500):
                some = ",".join(map(str, numbers[start : start + 500]))
                db.execute(
                    text(f"UPDATE device_state SET heard_at = :now WHERE device_number IN ({some})"),
                    {"now": int(self.clock.at * 1e6)},
                )
            pulses.add(db, dict.fromkeys(numbers, "b"), now=self.clock.now())

    def breaks(self, collector: str, annexes: range) -> None:
        """In these annexes every device tells of that collector what `worse` has; nothing else is news."""
        first, last = annexes[0] * DEVICES_OF_AN_ANNEX + 1, (annexes[-1] + 1) * DEVICES_OF_AN_ANNEX
        with writing(self.engine) as db:
            for (place, name), payload in self.worse.items():
                if name == collector:
                    db.execute(
                        text(
                            "UPDATE device_part SET payload = :payload, at = :now WHERE collector = :name"
                            " AND device_number BETWEEN :first AND :last AND (device_number - 1) % :of = :place"
                        ),
                        {
                            "payload": payload, "now": int(self.clock.at * 1e6), "name": name, "first": first,
                            "last": last, "of": DEVICES_OF_AN_ANNEX, "place": place,
                        },
                    )  # fmt: skip
            pulses.add(db, dict.fromkeys(range(first, last + 1), "c"), now=self.clock.now())

    def cut_off(self, annexes: range) -> None:
        """The broker gives up every device of these annexes."""
        first, last = annexes[0] * DEVICES_OF_AN_ANNEX + 1, (annexes[-1] + 1) * DEVICES_OF_AN_ANNEX
        with writing(self.engine) as db:
            db.execute(
                text(
                    "UPDATE device_state SET connected = 0, gone_at = :now WHERE device_number BETWEEN :first AND :last"
                ),
                {"now": int(self.clock.at * 1e6), "first": first, "last": last},
            )
            pulses.add(db, dict.fromkeys(range(first, last + 1), "g"), now=self.clock.now())

    def all_beat(self) -> None:
        """Everybody is heard now, and nobody is told of it: time has passed in which all went on as it was."""
        with writing(self.engine) as db:
            now = {"now": int(self.clock.at * 1e6)}
            db.execute(text("UPDATE device_state SET heard_at = :now WHERE connected"), now)

    def _tell(self) -> None:
        """Twelve minutes of four annexes, through the real ingest."""
        province = build(4, 4 * DEVICES_OF_AN_ANNEX, now=self.clock.at)
        reporters = self._enrol(province)
        for annex in province.annexes:
            for printer in annex.printers:
                printer.toner = max(printer.toner, 0.5)
        province.annexes[JAMMED].printers[0].jammed = True
        province.annexes[EMPTY].printers[1].toner = 0.0
        full = province.annexes[FULL].machines[0]
        full.disk_used = 0.99 * full.disk_bytes
        ends = self.clock.at + LISTENED.total_seconds()
        while self.clock.at < ends:
            day.advance(province, 30)
            self.clock.at = province.now
            told = [one for reporter in reporters for one in reporter.step(self.clock.at, quiet=False)]
            writer.write(self.engine, [decode(one) for one in told], self.clock.now())
        annex = province.annexes[WELL]
        annex.portal_up = False
        for printer in annex.printers:
            printer.jammed = True
        for place, machine in enumerate(annex.machines):
            view = View(province, annex, machine)
            for name in ("printers", "portal") if machine.printers else ("portal",):
                change = Digest().take(name, getattr(view, name)(), at=self.clock.at, mono=self.clock.at)
                assert change is not None
                self.worse[place, name] = wire.encode(structs.replace(change, seq=10_000))
        with writing(self.engine) as db:  # who copies, copies what is now
            db.execute(text("DELETE FROM pulse"))
            db.execute(text("DELETE FROM history"))

    def _enrol(self, province: Province) -> list[Reporter]:
        reporters, random = [], Random(3)
        now = self.clock.now() - timedelta(days=30)
        with writing(self.engine) as db:
            for place in range(self.annexes):
                id_ = self.annex_id(place)
                db.add(AnnexRow(id=id_, name_fr=f"Annexe {id_}", name_ar=f"الملحقة {id_}", created_at=now))
            db.flush()
            number = 0
            for place, annex in enumerate(province.annexes):
                for machine in annex.machines:
                    number += 1
                    db.add(
                        Device(
                            number=number, id=device_id(number), annex_id=self.annex_id(place), name=machine.name,
                            role=machine.role, enrolled_at=now,
                        )
                    )  # fmt: skip
                    reporters.append(_reporter(number, province, annex, place, random))
        return reporters

    def _copy(self) -> None:
        random = Random(5)
        with writing(self.engine) as db:
            columns = {
                table: ", ".join(
                    row.name for row in db.execute(text(f"PRAGMA table_info('{table}')"))
                    if row.name not in ("id", "number", "device_number", "annex_id")
                )
                for table in ("device", "device_state", "device_part", "change")
            }  # fmt: skip
            for place in range(4, self.annexes):
                like = random.choice((JAMMED, EMPTY, FULL)) if place % TROUBLED_OF == 0 else WELL
                moved = (place - like) * DEVICES_OF_AN_ANNEX
                first = like * DEVICES_OF_AN_ANNEX + 1
                span = {"moved": moved, "first": first, "last": first + DEVICES_OF_AN_ANNEX - 1}
                db.execute(
                    text(
                        f"INSERT INTO device (number, id, annex_id, {columns['device']}) SELECT number + :moved,"
                        f" printf('d-%026d', number + :moved), :annex, {columns['device']}"
                        " FROM device WHERE number BETWEEN :first AND :last"
                    ),
                    {**span, "annex": self.annex_id(place)},
                )
                for table in ("device_state", "device_part", "change"):
                    db.execute(
                        text(
                            f"INSERT INTO {table} (device_number, {columns[table]})"
                            f" SELECT device_number + :moved, {columns[table]} FROM {table}"
                            " WHERE device_number BETWEEN :first AND :last"
                        ),
                        span,
                    )


def _reporter(number: int, province: Province, annex: Annex, place: int, random: Random) -> Reporter:
    machine = annex.machines[(number - 1) - place * DEVICES_OF_AN_ANNEX]
    return Reporter(device_id(number), annex, machine, View(province, annex, machine), random)


def _careless(connection: object, _entry: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()
