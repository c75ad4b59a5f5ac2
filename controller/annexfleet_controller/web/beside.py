"""What the web process keeps ready beside the answers it gives, so that nobody waits for it: a thread of its own.

In a country the forecasts of all supplies take seconds, and so does reading for the first time who tells of which
printers and queues.  What fails here is made by whoever asks for it, as in a process that keeps nothing ready.
"""

import logging
import threading

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import Clock
from annexfleet_controller.garbage import settle
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import foretelling, sightings, supply_plan
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.foretelling import Foretelling, NotForetold

log = logging.getLogger(__name__)

SIGHTINGS_EVERY_S = 60.0
"""So that whoever asks has only the news of a minute to read."""
FORECASTS_EVERY_S = 1200.0
"""Levels are written down by the day."""


class Beside:
    """Started with the application and stopped with it."""

    def __init__(self, engine: Engine, settings: Settings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._stop = threading.Event()
        self._foretelling: Foretelling | None = None
        self._forecasts_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        foretelling_now = self._foretelling
        if foretelling_now is not None:
            foretelling_now.stop()

    def turn(self) -> None:
        """Renew what is due."""
        now = self._clock.now()
        with reading(self._engine) as db:
            sightings.renew(db, "printers", now=now)
            sightings.renew(db, "queues", now=now)
        if self._clock.mono() - self._forecasts_at >= FORECASTS_EVERY_S:
            self._forecasts_at = self._clock.mono()
            self._foretell()

    def _foretell(self) -> None:
        now, lead_days = self._clock.now(), self._settings.supply_lead_opening_days
        with reading(self._engine) as db:
            if not supply_plan.are_many(db, now=now):
                return
        self._foretelling = foretelling.begin(self._engine, now=now, lead_days=lead_days)
        try:
            if self._stop.is_set():  # meanwhile: whoever set it may have seen nothing to stop
                self._foretelling.stop()
            found = self._foretelling.result()
        finally:
            self._foretelling = None
        supply_plan.keep(self._engine, found, now=now, lead_days=lead_days)

    def _run(self) -> None:
        is_first = True
        while not self._stop.is_set():
            try:
                self.turn()
            except (SQLAlchemyError, NotForetold, OSError) as error:
                if not self._stop.is_set():
                    log.warning("what pages need is not kept ready reason=%s", error)
            except Exception:  # the fence: pages answer without it, only later
                log.exception("what pages need is not kept ready")
            if is_first:
                settle()  # as long as the process lives there is as much of it
            is_first = False
            self._stop.wait(SIGHTINGS_EVERY_S)
