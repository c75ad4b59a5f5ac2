"""The loop: hears what moved, judges the annexes it touches, and writes what came of it.

One worker holds the lease and keeps the views of all devices in memory; whoever takes over reads them anew.  What was
concluded stands in the database: alerts, incidents, readiness.  While ingest hears nobody, nothing is concluded, for
then everybody would seem silent.
"""

import logging
import secrets
import threading
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.alerts import gather, judging
from annexfleet_controller.alerts.books import Books
from annexfleet_controller.alerts.fleet import JAMS_SPAN, Fleet
from annexfleet_controller.alerts.judging import Judged, Surroundings
from annexfleet_controller.alerts.ledger import Ledger
from annexfleet_controller.alerts.trends import Trends
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.rules.judge import judge_all
from annexfleet_controller.rules.model import Subject
from annexfleet_controller.rules.subjects import places
from annexfleet_controller.settings import Home
from annexfleet_controller.store import figures, jobs, printer_events
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.store.printer_events import Onset
from annexfleet_controller.store.pulses import Follower
from annexfleet_controller.things import Verdict

log = logging.getLogger(__name__)

EVERY_S = 2.0
"""How often is looked for what moved."""
JUDGED_EVERY = timedelta(seconds=60)
"""An annex of which nothing is heard is judged so often: silence and the clock are evidence too."""
RIPENS_EVERY = timedelta(seconds=10)
"""One where an alert is about to open or to clear."""
LISTENS_WITHIN = timedelta(seconds=60)
"""Ingest tells every few seconds that it listens."""
_JOB = "watch_alerts"
_LEASE = timedelta(seconds=60)
_RENEW = timedelta(seconds=20)
_MOST_AT_ONCE = 2000
"""Devices whose rows are read in one go."""


def run(home: Home, stop: threading.Event, *, clock: Clock = SYSTEM) -> None:
    """Watch until `stop` is set."""
    engine = open_database(home.database_url)
    holder = Holder(engine, home, clock=clock)
    try:
        while not stop.wait(EVERY_S):
            holder.turn()
        holder.let_go()
    finally:
        engine.dispose()


class Holder:
    """Holds the lease, and a watcher while it does."""

    def __init__(self, engine: Engine, home: Home, *, clock: Clock = SYSTEM) -> None:
        self._engine = engine
        self._home = home
        self._clock = clock
        self._name = f"watch-{secrets.token_hex(6)}"
        self._held_until = datetime.min.replace(tzinfo=UTC)
        self.watcher: Watcher | None = None

    def turn(self) -> bool:
        """One look, if the lease is ours; whether it was.  What fails is logged, and all is read anew the next time."""
        try:
            if not self._hold():
                self.watcher = None
                return False
            if self.watcher is None:
                self.watcher = Watcher(self._engine, self._home, clock=self._clock)
            self.watcher.tick()
        except SQLAlchemyError as error:
            log.warning("watch put off, the database fails reason=%s", error)
            self.watcher = None
        except Exception:  # the fence: nothing that a device told may end the watch
            log.exception("watch failed")
            self.watcher = None
        return True

    def let_go(self) -> None:
        """Somebody else may watch at once."""
        now = self._clock.now()
        try:
            with writing(self._engine) as db:
                jobs.release(db, _JOB, self._name, now=now, due_at=now)
        except SQLAlchemyError as error:
            log.info("lease runs out by itself reason=%s", error)

    def _hold(self) -> bool:
        now = self._clock.now()
        if now < self._held_until - _LEASE + _RENEW:
            return True
        with writing(self._engine) as db:
            mine = self.watcher is not None and jobs.keep(db, _JOB, self._name, now=now, lease=_LEASE)
            mine = mine or jobs.claim(db, _JOB, self._name, now=now, lease=_LEASE)
        self._held_until = now + _LEASE if mine else datetime.min.replace(tzinfo=UTC)
        return mine


class Watcher:
    """Everything that is known now, and what is concluded from it."""

    def __init__(self, engine: Engine, home: Home, *, clock: Clock = SYSTEM) -> None:
        self.engine = engine
        self.home = home
        self.clock = clock
        self.fleet = Fleet()
        self.books = Books()
        self.trends = Trends()
        self.ledger: Ledger | None = None
        self.judged: dict[str, Judged] = {}
        self._due: dict[str, datetime] = {}
        self._follower = Follower()
        self._complained: set[str] = set()
        self._committed_s = 0.0
        """How long the last transaction took."""

    def tick(self) -> None:
        """Look once, and write what came of it."""
        now = self.clock.now()
        told = self._figures()
        first = self.ledger is None
        heard, onsets = self._hear(now, told)
        if self.ledger is None:
            with reading(self.engine) as db:
                self.ledger = Ledger.read(db, now=now)
        with reading(self.engine) as db:
            changed = self.books.read_if_due(db, now=now)
            self.trends.renew(db, self.fleet, self.books, now=now)
        listens = now - told["ingest_alive"] <= LISTENS_WITHIN
        due = self._due_annexes(heard, now, everything=first or changed) if listens else set()
        verdicts = self._judge(due, now) if due else []
        verdicts += self._of_controller(told, now)
        began = self.clock.mono()
        self.ledger.conclude(
            self.engine, self, due, verdicts, onsets=onsets, now=now,
        )  # fmt: skip
        self._committed_s = self.clock.mono() - began

    # -- hearing

    def _hear(self, now: datetime, told: dict[str, datetime]) -> tuple[set[str], list[Onset]]:
        """Read anew what moved; the annexes that it touches, and what trouble began at printers."""
        with reading(self.engine) as db:
            pulses = self._follower.poll(db)
            if self.ledger is None:
                self.fleet.remember(printer_events.since(db, now - JAMS_SPAN))
                found = gather.views(db, None, now=now, listening_since=told["ingest_connected"])
                return self.fleet.take_in(found, found)
            numbers = {number for pulse in pulses for number, kinds in pulse.devices.items() if set(kinds) - {"l"}}
            # A device that was let in or moved says so by no pulse of its own; one that is revoked says nothing more.
            numbers |= self.books.moved_devices(db, self.fleet, now=now)
            if any(pulse.annexes for pulse in pulses):
                self.books.look_again()
            found = gather.views(db, numbers, now=now, listening_since=told["ingest_connected"]) if numbers else {}
        touched, onsets = self.fleet.take_in(numbers, found)
        return touched, onsets

    def _figures(self) -> dict[str, datetime]:
        with reading(self.engine) as db:
            told = figures.read(db)
        never = datetime.fromtimestamp(0, UTC)

        def moment(name: str) -> datetime:
            return datetime.fromtimestamp(told[name][0], UTC) if name in told else never

        return {
            "ingest_alive": moment("ingest_alive_at_seconds"),
            "ingest_connected": moment("ingest_connected_at_seconds"),
            "deadman_ok": moment("deadman_ok_at_seconds"),
        }

    # -- judging

    def _due_annexes(self, heard: Collection[str], now: datetime, *, everything: bool) -> set[str]:
        assert self.ledger is not None
        if everything:
            return set(self.fleet.annexes)
        due = set(heard)
        due |= {annex for annex in self.fleet.annexes if now >= self._due.get(annex, now)}
        return due | (self.ledger.ripening & set(self.fleet.annexes) if self._is_ripe(now) else set())

    def _is_ripe(self, now: datetime) -> bool:
        assert self.ledger is not None
        return now - self.ledger.ripened_at >= RIPENS_EVERY

    def _judge(self, due: Collection[str], now: datetime) -> list[Verdict]:
        assert self.ledger is not None
        verdicts: list[Verdict] = []
        for annex_id in sorted(due):
            try:
                judged = self._judge_annex(annex_id, now)
            except Exception:  # the fence between annexes: what one device told must not hide the others' troubles
                if annex_id not in self._complained:
                    self._complained.add(annex_id)
                    log.exception("annex cannot be judged annex=%s", annex_id)
                continue
            self.judged[annex_id] = judged
            verdicts += judged.verdicts
            spread = timedelta(seconds=hash(annex_id) % 20) if annex_id not in self._due else timedelta(0)
            self._due[annex_id] = now + JUDGED_EVERY - spread
        for annex_id in self.judged.keys() - set(self.fleet.annexes):
            del self.judged[annex_id]
        return verdicts + self._everywhere(now)

    def _judge_annex(self, annex_id: str, now: datetime) -> Judged:
        assert self.ledger is not None
        around = Surroundings(
            calendar=self.books.calendar(annex_id),
            rules=self.books.rules(annex_id),
            known_services=self.books.known_services,
            own_services=self.books.own_services(annex_id),
            portals_down_everywhere=self.ledger.portals_down_everywhere,
            link_down=self.ledger.is_open("annex.link_down", annex_id),
            power_down=self.ledger.is_open("annex.power_cut", annex_id),
            disk_full_in_s=self.trends.disk_full_in_s,
            supply_days_left=self.trends.supply_days_left,
            standing=self.ledger.standing,
        )
        devices = self.fleet.of_annex(annex_id)
        judged = judging.judge_annex(annex_id, devices, self.fleet, around, now=now)
        self.fleet.follow(judged.view)
        return judged

    def _everywhere(self, now: datetime) -> list[Verdict]:
        """Portals as the whole province sees them."""
        assert self.ledger is not None
        portals = (portal for judged in self.judged.values() for portal in judged.portals)
        subjects = places.of_portals_everywhere(portals, now=now)
        return list(judge_all(self.books.rules(""), subjects, now=now, standing=self.ledger.standing))

    def _of_controller(self, told: dict[str, datetime], now: datetime) -> list[Verdict]:
        assert self.ledger is not None
        silent_s = (now - told["ingest_alive"]).total_seconds()
        subject: Subject = places.of_controller(
            {
                "broker_connected": silent_s <= LISTENS_WITHIN.total_seconds(),
                "ingest_silent_seconds": silent_s,
                "database_lag_seconds": self._committed_s,
                "deadman_silent_seconds": (
                    (now - told["deadman_ok"]).total_seconds() if self.home.settings.deadman_url else None
                ),
            },
            now=now,
        )
        return list(judge_all(self.books.rules(""), [subject], now=now, standing=self.ledger.standing))
