"""All devices of a simulated province: enrols those that are new, tells their past, and runs them on one loop."""

import logging
import shutil
import signal
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from msgspec import Struct
from sqlalchemy import Engine

from annexfleet_agent.loop import Loop
from annexfleet_agent.pinned_https import EnrolmentFailed
from annexfleet_controller.calendars import CalendarDocument
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import AnnexfleetError, SettingsWrong
from annexfleet_controller.identity import authority, tokens
from annexfleet_controller.settings import Home
from annexfleet_controller.simulate import past, province, troubles, world, worse
from annexfleet_controller.simulate.device import SimulatedDevice
from annexfleet_controller.store import annexes, calendars, database, devices, migrate
from annexfleet_controller.waves.rehearsal.script import Mishap, Release

log = logging.getLogger(__name__)

TICK_S = 1.0
MOST_RATE = 600.0
RETRY_WINDOWS_S = (20.0, 60.0, 120.0)
"""Shorter than a real agent's: on one machine there is no crowd to spread."""
_SHORTEST_RETRY_S = 2.0
_TOLD = "past told"


class SimulationFailed(AnnexfleetError):
    code = "simulation_failed"


_ALL_DAY = ((0, 1440),)
_WEEK = (_ALL_DAY, _ALL_DAY, _ALL_DAY, _ALL_DAY, _ALL_DAY, _ALL_DAY, _ALL_DAY)
_ALWAYS_OPEN = CalendarDocument(week=_WEEK, ramadan=_WEEK, closed_on_holidays=False)


class Options(Struct, frozen=True, kw_only=True):
    """What `annexfleet simulate` may be told."""

    annexes: int = 3
    devices: int = 40
    rate: float = 1.0
    script: Path | None = None
    hour: str = ""
    history_days: float = 0.0
    seed: int = 1
    release: Release = Release()
    """What a run does to devices, if it is a bad one."""
    mishaps: tuple[Mishap, ...] = ()
    """What befalls devices or annexes besides the script's troubles, counted from the start, after the past."""


class Fleet:
    """The devices of one province, in one thread."""

    def __init__(self, home: Home, options: Options, *, loop: Loop | None = None) -> None:
        """Raises SettingsWrong for options that cannot be."""
        if not 0 < options.rate <= MOST_RATE:
            raise SettingsWrong(f"--rate must be above 0 and at most {MOST_RATE:g}")
        if not 0 <= options.history_days <= past.MOST_DAYS:
            raise SettingsWrong(f"--history-days must be from 0 to {past.MOST_DAYS:g}")
        self.home = home
        self.options = options
        self.loop = loop or Loop()
        self._begins = world.beginning(options.hour, SYSTEM.now()).timestamp()
        first = self._begins - options.history_days * 86_400
        try:
            self.province = province.build(options.annexes, options.devices, now=first, seed=options.seed)
        except ValueError as error:
            raise SettingsWrong(str(error)) from error
        mishaps = worse.troubles_of(options.mishaps, self.province, seed=options.seed, since_s=self._begins - first)
        self.world = world.World(self.province, [*troubles.load(options.script), *mishaps])
        windows = tuple(max(_SHORTEST_RETRY_S, window / options.rate) for window in RETRY_WINDOWS_S)
        self.devices = [
            SimulatedDevice(
                self.loop, self.province, annex, machine, directory=home.path / "simulate" / machine.key,
                rate=options.rate, retry_windows_s=windows,
                worsening=worse.Worsening(options.release, machine, seed=options.seed),
            )
            for annex in self.province.annexes
            for machine in annex.machines
        ]  # fmt: skip
        self._ticked_at = 0.0
        self._running = False

    # -- before they run

    def prepare(self) -> None:
        """Make the annexes, let in the devices that are new, and tell the past once.  Raises SimulationFailed."""
        engine = database.open_database(self.home.database_url)
        try:
            migrate.upgrade(engine)
            with database.writing(engine) as db:
                known = {annex.id for annex in annexes.listing(db)}
                for annex in self.province.annexes:
                    if annex.id not in known:
                        annexes.create(db, annex.id, name_fr=annex.name_fr, name_ar=annex.name_ar, now=SYSTEM.now())
                        if self.options.hour:
                            # Their day is not the real one, so they count as open whenever somebody looks.
                            calendars.put(db, annex.id, _ALWAYS_OPEN, version=0, by="simulate", now=SYSTEM.now())
                strangers = [device for device in self.devices if not devices.find(db, device.device_id)]
            self._enrol(engine, strangers)
        finally:
            engine.dispose()
        self._tell_past()

    def _enrol(self, engine: Engine, strangers: Sequence[SimulatedDevice]) -> None:
        pin = authority.load(self.home).pin
        for annex in self.province.annexes:
            new = [device for device in strangers if device.annex is annex]
            if not new:
                continue
            with database.writing(engine) as db:
                token = tokens.create(
                    db, annex.id, role="", max_devices=len(new), expires_at=SYSTEM.now() + timedelta(hours=1),
                    created_by="simulate", enrol_url=self.home.enrol_url, authority_pin=pin, now=SYSTEM.now(),
                )  # fmt: skip
            for device in new:
                shutil.rmtree(device.directory, ignore_errors=True)  # of a province that is no more
                try:
                    device.enrol(token)
                except EnrolmentFailed as error:
                    raise SimulationFailed(f"{device.machine.key} could not be enrolled: {error}") from error
            log.info("enrolled annex=%s devices=%s", annex.id, len(new))

    def _tell_past(self) -> None:
        """Make up the days behind; tell them for those devices that have not told theirs."""
        offset_s = SYSTEM.now().timestamp() - self._begins
        tellers: dict[str, past.Teller] = {}
        for device in self.devices:
            outbox = device.open_outbox("past")
            if not outbox.noted(_TOLD) and self.options.history_days:
                tellers[device.machine.key] = past.Teller(device.machine, device.view(offset_s=offset_s))
            outbox.close()
        past.make_up(self.world, self._begins, list(tellers.values()), offset_s=offset_s)
        for device in self.devices:
            teller = tellers.get(device.machine.key)
            if teller is not None:
                outbox = device.open_outbox("past")
                past.hand_over(teller, outbox)
                outbox.note(_TOLD, "yes")
                outbox.close()

    # -- while they run

    def start(self) -> None:
        self._running = True
        self._ticked_at = self.loop.clock.mono()
        self._tick()

    def _tick(self) -> None:
        if not self._running:
            return
        now = self.loop.clock.mono()
        self.world.advance((now - self._ticked_at) * self.options.rate)
        self._ticked_at = now
        for device in self.devices:
            device.follow()
        self.loop.after(TICK_S, self._tick)

    def stop(self) -> None:
        """Every agent says goodbye."""
        self._running = False
        for device in self.devices:
            device.stop()

    def online(self) -> int:
        return sum(device.link == "connected" for device in self.devices)


def run(home: Home, options: Options) -> int:
    """Until SIGTERM or SIGINT."""
    fleet = Fleet(home, options)
    fleet.prepare()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: fleet.loop.stop())
    log.info("the simulated day begins at=%s devices=%s", fleet.province.local().isoformat(), len(fleet.devices))
    fleet.start()
    fleet.loop.run()
    fleet.stop()
    fleet.loop.close()
    return 0
