"""What ingest tells about itself: counters and the moment it last did its work, in the table `figure`.

Written every few seconds in a transaction of their own, so that several ingest processes do not wait for each other at
every batch.  A database that fails shows as `ingest_alive` growing old.
"""

import logging

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import Clock
from annexfleet_controller.ingest.settle import Settled
from annexfleet_controller.store import figures
from annexfleet_controller.store.database import writing

log = logging.getLogger(__name__)

EVERY_S = 5.0
_SAY_AGAIN_S = 60.0


class Figures:
    """Gathers steps of counters, and says once in a while what is wrong."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._steps: dict[str, float] = {}
        self._values: dict[str, float] = {}
        self._written_at = clock.mono()
        self._failed_said_at: float | None = None

    def stored(self, settled: Settled, seconds: float) -> None:
        """A batch was committed."""
        self._step("ingest_batches")
        self._step("ingest_store_seconds", seconds)
        for name, count in settled.counts.items():
            self._step(f"ingest_{name}", count)
        self._values["ingest_last_commit_at_seconds"] = self._clock.now().timestamp()
        if self._failed_said_at is not None:
            log.warning("database writes again after_s=%.1f", seconds)
            self._failed_said_at = None

    def connected(self) -> None:
        """The broker let us in."""
        self._step("ingest_connects")
        now = self._clock.now().timestamp()
        self._values["ingest_connected_at_seconds"] = self._values["ingest_alive_at_seconds"] = now

    def dropped(self, why: str) -> None:
        """A message was not even decoded."""
        self._step(f"ingest_dropped_{why}")

    def broker_away(self) -> None:
        self._step("ingest_broker_failures")

    def database_failed(self, reason: str, for_s: float) -> None:
        """A batch could not be committed; it is tried again."""
        self._step("ingest_database_failures")
        now = self._clock.mono()
        if self._failed_said_at is None or now - self._failed_said_at >= _SAY_AGAIN_S:
            self._failed_said_at = now
            log.error("database cannot write, nothing is acknowledged for_s=%.1f reason=%s", for_s, reason)

    def write_if_due(self, *, listening: bool) -> None:
        """Every few seconds, put them where web can read them."""
        if self._clock.mono() - self._written_at >= EVERY_S:
            self.write_now(listening=listening)

    def write_now(self, *, listening: bool) -> None:
        self._written_at = self._clock.mono()
        now = self._clock.now()
        self._values["ingest_listening"] = float(listening)
        if listening:
            self._values["ingest_alive_at_seconds"] = now.timestamp()
        try:
            with writing(self._engine) as db:
                figures.add(db, self._steps, now=now)
                figures.put(db, self._values, now=now)
        except SQLAlchemyError as error:
            log.warning("figures are kept for later reason=%s", error)
        else:
            self._steps.clear()
            self._values.clear()

    def _step(self, name: str, by: float = 1.0) -> None:
        self._steps[name] = self._steps.get(name, 0.0) + by
