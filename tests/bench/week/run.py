"""Lets the week pass: the thought-up world, real messages, the real ingest writer, the real watcher, one database."""

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from msgspec import Struct, field
from sqlalchemy import Engine, event
from tests.bench.week import scene as scenes
from tests.bench.week.scene import Scene
from tests.bench.week.truth import Observer
from tests.bench.week.wire import Reporter
from tests.controller.fleet import device_id

from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.calendars import Ramadan
from annexfleet_controller.clock import Clock
from annexfleet_controller.ingest import writer
from annexfleet_controller.ingest.decode import decode
from annexfleet_controller.maintenance import Area, Maintenance
from annexfleet_controller.settings import Home, Settings
from annexfleet_controller.simulate.measured import View
from annexfleet_controller.simulate.province import Annex, Machine, Province, build
from annexfleet_controller.simulate.world import World
from annexfleet_controller.store import calendars, figures, maintenance
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex as AnnexRow

STEP_S = 30.0
"""The world, the wire and the watch move in such steps."""
NIGHT_STEP_S = 60.0
"""Where nobody is there and nothing happens."""


class TurnedClock(Clock):
    """Shows what the world's clock shows."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def mono(self) -> float:
        return self.at


class Passed(Struct):
    """What remains when the week is over, besides the database."""

    scene: Scene
    province: Province
    ids: dict[str, str]
    """Device ids, by `Machine.key`."""
    observer: Observer
    steps: int = 0
    messages: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time by what it went to."""


def live_through(scene: Scene, engine: Engine, path: Path, *, seed: int = 7) -> Passed:
    """The whole scene, from its first midnight to its last."""
    event.listen(engine, "connect", _careless)
    engine.dispose()
    logging.getLogger("annexfleet_controller").setLevel(logging.WARNING)
    province = build(scene.annexes, scene.devices, now=scene.begins.timestamp(), seed=seed)
    province.hours = {day.isoformat(): hours for day, hours in scene.hours.items()}
    for printer in (printer for annex in province.annexes for printer in annex.printers):
        printer.toner = max(printer.toner, 0.85)  # nothing runs out but what the script lets run out
    ids = _enrol(engine, scene, province)
    week = _Week(scene, engine, province, ids, path, Random(seed))  # noqa: S311
    week.pass_()
    return week.passed


class _Week:
    def __init__(
        self, scene: Scene, engine: Engine, province: Province, ids: dict[str, str], path: Path, random: Random
    ) -> None:
        self._scene = scene
        self._engine = engine
        self._province = province
        self._world = World(province, scenes.script(scene))
        self._world.quiet = True
        self._clock = TurnedClock(province.now)
        self._reporters = {
            machine.key: Reporter(ids[machine.key], annex, machine, View(province, annex, machine), random)
            for annex in province.annexes
            for machine in annex.machines
        }
        self._machines = {
            (number, machine.name): machine
            for number, annex in enumerate(province.annexes, 1)
            for machine in annex.machines
        }
        roles = {
            number: [(machine.name, machine.role) for machine in annex.machines]
            for number, annex in enumerate(province.annexes, 1)
        }
        self._switches = scenes.habits(scene, roles, random)
        self._busy = [
            (one.began.timestamp() - 120, one.ended.timestamp() + 2400) for one in scenes.placed(scene)
        ]  # fmt: skip
        observer = Observer(scene, province, ids)
        self.passed = Passed(scene, province, ids, observer)
        (path / "home").mkdir()
        self._home = Home(path / "home", Settings())
        self._watcher: Watcher | None = None

    def pass_(self) -> None:
        ends = self._scene.ends.timestamp()
        for machine in self._machines.values():
            machine.unplugged = machine.role in ("counter", "tablet")  # it is midnight
            machine.running = not machine.unplugged
        while self._province.now < ends:
            quiet = self._is_quiet()
            self._step(NIGHT_STEP_S if quiet else STEP_S, quiet=quiet)

    def _is_quiet(self) -> bool:
        now = self._province.now
        local = self._province.local()
        opens, closes = self._scene.hours_of(local.date())
        hour = local.hour + local.minute / 60
        if opens != closes and opens - 0.5 <= hour < closes + 1.0:
            return False
        return not any(began <= now <= ended for began, ended in self._busy)

    def _step(self, seconds: float, *, quiet: bool) -> None:
        began = time.process_time()
        self._switch()
        self._world.advance(seconds, step_s=STEP_S)
        now = self._clock.at = self._province.now
        self.passed.observer.look(now)
        began = self._spent("the world", began)
        told = [one for reporter in self._reporters.values() for one in reporter.step(now, quiet=quiet)]
        began = self._spent("the agents", began)
        moment = self._clock.now()
        if told:
            writer.write(self._engine, [decode(one) for one in told], moment)
        with writing(self._engine) as db:
            alive = {"ingest_alive_at_seconds": now, "ingest_connected_at_seconds": self._scene.begins.timestamp()}
            figures.put(db, alive, now=moment)
        began = self._spent("ingest", began)
        if self._watcher is None:
            self._watcher = Watcher(self._engine, self._home, clock=self._clock)
        self._watcher.tick()
        self._spent("the watch", began)
        self.passed.steps += 1
        self.passed.messages += len(told)

    def _switch(self) -> None:
        now = self._province.now
        while self._switches and self._switches[0].at.timestamp() <= now:
            switch = self._switches.pop(0)
            machine = self._machines[switch.annex, switch.device]
            machine.unplugged = not switch.on
            if not switch.on and switch.in_order:
                self._reporters[machine.key].leaves_in_order = True

    def _spent(self, what: str, began: float) -> float:
        now = time.process_time()
        self.passed.seconds[what] = self.passed.seconds.get(what, 0.0) + now - began
        return now


def _careless(connection: object, _entry: object) -> None:
    """No power cut of this machine shall be survived: that is what waits for the disk."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


def _enrol(engine: Engine, scene: Scene, province: Province) -> dict[str, str]:
    now = scene.begins - timedelta(days=30)
    ids: dict[str, str] = {}
    with writing(engine) as db:
        for annex in province.annexes:
            db.add(AnnexRow(id=annex.id, name_fr=annex.name_fr, name_ar=annex.name_ar, created_at=now))
        db.flush()
        for number, (annex, machine) in enumerate(_all(province), 1):
            ids[machine.key] = device_id(number)
            db.add(
                Device(
                    number=number, id=ids[machine.key], annex_id=annex.id, name=machine.name, role=machine.role,
                    enrolled_at=now,
                )
            )  # fmt: skip
        if scene.ramadan is not None:
            ramadan = Ramadan(1447, *scene.ramadan)
            calendars.put_ramadan(db, ramadan, by="bench", now=now)
        if scene.holiday is not None:
            calendars.add_holiday(db, scene.holiday, "fête locale", by="bench", now=now)
        if scene.work is not None:
            work = scene.work
            hour = int(work.at[:2]) + int(work.at[3:]) / 60
            starts_at = scenes._local(work.day, hour).astimezone(UTC)
            annex_id = province.annexes[work.annex - 1].id
            maintenance.create(
                db,
                Maintenance(
                    area=Area(annexes=(annex_id,)), touches=(annex_id,), starts_at=starts_at,
                    ends_at=starts_at + timedelta(minutes=work.minutes), reason="câblage", author="bench",
                    created_at=now,
                ),
            )  # fmt: skip
    return ids


def _all(province: Province) -> list[tuple[Annex, Machine]]:
    return [(annex, machine) for annex in province.annexes for machine in annex.machines]
