"""The loop in `work` that sees to runs: starts their processes, and takes care of those whose process died.

A run's process is its own master: it is started in a session of its own and goes on when this loop, the worker and the
whole controller are gone.  One is thought dead when nobody holds its lock and it has given no sign of life for a while;
that it runs on another machine of ours is told by the sign of life alone.
"""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.rollouts import again, processes
from annexfleet_controller.rollouts.ground import Ground, grounds
from annexfleet_controller.settings import Home
from annexfleet_controller.store import run_queue, runs
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.store.run_queue import Heart

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
MOST_AT_ONCE = 4
"""Processes of runs, of this worker."""
SILENT_AFTER = timedelta(seconds=20)
"""Four heartbeats."""
_LOOK_EVERY_S = 1.0
_TIDY_EVERY_S = 60.0
_KILLED_WITHIN_S = 5.0

Start = Callable[[Home, int, int], "subprocess.Popen[bytes]"]
"""Starts the process of a run's attempt."""


def start(home: Home, run_id: int, attempt: int) -> "subprocess.Popen[bytes]":
    """`annexfleet play`, in a session of its own, which nothing of ours keeps alive or takes down."""
    argv = [
        sys.executable, "-m", "annexfleet_controller", "--home", str(home.path), "--logs", str(home.path / "logs"),
        "play", str(run_id), "--attempt", str(attempt),
    ]  # fmt: skip
    return subprocess.Popen(  # noqa: S603  # our own argv, no shell
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        cwd="/", env={**os.environ},
    )  # fmt: skip


def run(home: Home, stop: threading.Event) -> None:
    """Look after runs until `stop` is set; those that are being carried out go on."""
    engine = open_database(home.database_url)
    try:
        supervisor = Supervisor(home, engine)
        tidy_at = supervisor.clock.mono()
        while not stop.wait(_LOOK_EVERY_S):
            try:
                supervisor.look()
                if supervisor.clock.mono() >= tidy_at:
                    tidy_at = supervisor.clock.mono() + _TIDY_EVERY_S
                    supervisor.tidy()
            except SQLAlchemyError as error:
                log.warning("runs put off, the database fails reason=%s", error)
            except OSError as error:
                log.warning("runs put off reason=%s", error)
    finally:
        engine.dispose()


class Supervisor:
    def __init__(self, home: Home, engine: Engine, *, start: Start = start, clock: Clock = SYSTEM) -> None:
        self.clock = clock
        self._home = home
        self._engine = engine
        self._start = start
        self._ours: dict[int, subprocess.Popen[bytes]] = {}
        """By run."""
        self._fell: set[int] = set()
        """Runs whose process was ours and has ended."""

    def look(self) -> None:
        """Look once after everything."""
        for run_id, process in list(self._ours.items()):
            if process.poll() is not None:
                del self._ours[run_id]
                self._fell.add(run_id)
        with reading(self._engine) as db:
            hearts = run_queue.running(db)
            is_any_queued = run_queue.is_any_queued(db)
        self._fell &= {heart.run_id for heart in hearts}
        for heart in hearts:
            if self._is_dead(heart):
                self._revive(heart)
        while is_any_queued and len(self._ours) < MOST_AT_ONCE and self._take():
            pass

    def tidy(self) -> None:
        """Remove what is left of runs that have ended, or that never came to be."""
        for ground in grounds(self._home):
            with reading(self._engine) as db:
                state = runs.state_of(db, ground.run_id)
            # One that is being asked for has its directory a moment before its row.
            is_new = self.clock.now().timestamp() - ground.directory.stat().st_mtime < 3600
            if (state == "ended" or (state is None and not is_new)) and not ground.is_held():
                ground.remove()

    def _take(self) -> bool:
        with writing(self._engine) as db:
            run_id = run_queue.take(db, now=self.clock.now())
        if run_id is None:
            return False
        self._ours[run_id] = self._start(self._home, run_id, 1)
        return True

    def _is_dead(self, heart: Heart) -> bool:
        if heart.run_id in self._ours or Ground(self._home, heart.run_id).is_held():
            return False
        # Of a process that was ours we know that it has ended; of others only that they are silent.
        return heart.run_id in self._fell or self.clock.now() - heart.seen_at > SILENT_AFTER

    def _revive(self, heart: Heart) -> None:
        now = self.clock.now()
        if heart.is_cancelled:
            self._give_up(heart, "cancelled", "", now)
        elif heart.attempt >= MOST_ATTEMPTS:
            self._give_up(heart, "unknown", "process_lost", now)
        elif heart.deadline is not None and now >= heart.deadline:
            self._give_up(heart, "timed_out", "process_lost", now)
        elif len(self._ours) < MOST_AT_ONCE:
            self._begin_again(heart, now)

    def _begin_again(self, heart: Heart, now: datetime) -> None:
        with reading(self._engine) as db:
            is_halted = run_queue.is_halted(db, heart.run_id)
            may = "no" if is_halted else again.answer(db, heart.run_id, now=now)
        if may == "later":
            return
        if may == "yes":
            with writing(self._engine) as db:
                attempt = run_queue.take_over(db, heart, now=now)
                is_halted = attempt is None and run_queue.is_halted(db, heart.run_id)
                is_moved = attempt is None and run_queue.is_moved(db, heart.run_id)
            if attempt is not None:
                log.warning("the process of a run died, it begins anew run=%s attempt=%s", heart.run_id, attempt)
                self._ours[heart.run_id] = self._start(self._home, heart.run_id, attempt)
            if not is_halted and not is_moved:
                return
        # Nothing is begun after a halt, nor out of its time; what the dead one had begun nobody knows.
        self._give_up(heart, "unknown", "process_lost" if is_halted else "not_begun_again", now)

    def _give_up(self, heart: Heart, outcome: str, problem: str, now: datetime) -> None:
        """End a run of which nobody knows what became: nothing of it runs on, and nothing is called good.

        Devices to which a run never came that is not begun again are thought out anew by its rollout.
        """
        ground = Ground(self._home, heart.run_id)
        if not processes.kill(lambda: processes.marked(ground.directory), within_s=_KILLED_WITHIN_S):
            log.error("processes of a run do not end run=%s", heart.run_id)
        with writing(self._engine) as db:
            run_queue.finish(
                db, heart.run_id, heart.attempt, outcome=outcome, problem=problem, rest="unknown",
                is_put_back=problem == "not_begun_again", now=now,
            )  # fmt: skip
        log.warning("a run is given up run=%s outcome=%s", heart.run_id, outcome)
        ground.remove()
