"""The loop around the watcher: one worker holds the lease and looks every two seconds; a successor reads anew."""

import logging
import secrets
import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_controller.alerts.watcher import Watcher
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.garbage import settle
from annexfleet_controller.settings import Home
from annexfleet_controller.store import jobs
from annexfleet_controller.store.database import open_database, writing

log = logging.getLogger(__name__)

EVERY_S = 2.0
"""How often is looked for what moved."""
_JOB = "watch_alerts"
_LEASE = timedelta(seconds=60)
_RENEW = timedelta(seconds=20)
LONGEST_PAUSE_S = 16.0
"""After looks that failed; short enough to keep the lease."""
_LONGEST_STOP = timedelta(minutes=5)
"""After a longer one pulses may be missed, for they are kept for ten minutes."""


class LeaseLost(Exception):
    """Another worker watches by now, because we were too slow."""


def run(home: Home, stop: threading.Event, *, clock: Clock = SYSTEM) -> None:
    """Watch until `stop` is set."""
    engine = open_database(home.database_url)
    holder = Holder(engine, home, clock=clock)
    try:
        while not stop.wait(holder.pause_s):
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
        self._renew_at: datetime | None = None
        """When the lease has to be held for longer; None while it is not ours."""
        self.watcher: Watcher | None = None
        self._looked_at: datetime | None = None
        self._failures = 0
        self._failed = ""
        """What error the last look ended with; the doctor tells."""

    @property
    def pause_s(self) -> float:
        """How long until the next look: longer after each that failed, for then everything is read anew."""
        return min(EVERY_S * 2.0**self._failures, LONGEST_PAUSE_S)

    def turn(self) -> bool:
        """One look, if the lease is ours; whether it was.  What fails is logged, and all is read anew the next time."""
        try:
            if not self._hold():
                self.watcher = None
                return False
            self._mind_the_clock()
            is_new = self.watcher is None
            if self.watcher is None:
                self.watcher = Watcher(self._engine, self._home, clock=self._clock, keep_lease=self._keep_lease)
            self.watcher.tick()
            if is_new:
                settle()  # millions of values were read, and stay
            self._failed, self._failures = "", 0
        except LeaseLost:
            log.warning("watch taken over by another worker")
            self.watcher = self._renew_at = None
            return False
        except SQLAlchemyError as error:
            log.warning("watch put off, the database fails reason=%s", error)
            self._give_up(error)
        except Exception as error:  # the fence: nothing that a device told may end the watch
            log.exception("watch failed")
            self._give_up(error)
        return True

    def let_go(self) -> None:
        """Somebody else may watch at once."""
        now = self._clock.now()
        try:
            with writing(self._engine) as db:
                jobs.release(db, _JOB, self._name, now=now, due_at=now)
            self._renew_at = None
        except SQLAlchemyError as error:
            log.info("lease runs out by itself reason=%s", error)

    def _give_up(self, error: Exception) -> None:
        self.watcher, self._failed = None, type(error).__name__
        self._failures = min(self._failures + 1, 10)

    def _mind_the_clock(self) -> None:
        """What was planned by a clock that was ahead would wait for it, and a long stop has missed what happened."""
        now, before = self._clock.now(), self._looked_at
        self._looked_at = now
        if self.watcher is not None and before is not None and not timedelta(0) <= now - before <= _LONGEST_STOP:
            log.warning("watch reads all anew seconds_since_last_look=%.0f", (now - before).total_seconds())
            self.watcher = None

    def _keep_lease(self, db: Session) -> None:
        """Raises LeaseLost."""
        if not jobs.keep(db, _JOB, self._name, now=self._clock.now(), lease=_LEASE):
            raise LeaseLost

    def _hold(self) -> bool:
        now = self._clock.now()
        if self._renew_at is not None and self._renew_at - _RENEW <= now < self._renew_at:
            return True
        with writing(self._engine) as db:
            mine = self._renew_at is not None and jobs.keep(db, _JOB, self._name, now=now, lease=_LEASE)
            mine = mine or jobs.claim(db, _JOB, self._name, now=now, lease=_LEASE)
            if mine:
                jobs.tell(db, _JOB, self._name, failed=self._failed)
        self._renew_at = now + _RENEW if mine else None
        return mine
