"""The thread of a run's process that writes: what is new at most half a second later, and a heartbeat.

It also watches for what ends a run from outside: somebody asked for it, its time is up, or the run was given to another
process because this one was thought dead.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from msgspec import structs
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, SQLAlchemyError
from sqlalchemy.orm import Session

from annexfleet_controller.clock import Clock
from annexfleet_controller.rollouts.events import Story
from annexfleet_controller.store import run_queue, run_results
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch

log = logging.getLogger(__name__)

Ending = Literal["", "cancelled", "timed_out", "lost", "stopped"]
"""Why a run is ended from outside; `lost`: it is another process's now; `stopped`: only this process shall end."""

WRITE_EVERY_S = 0.4
BEAT_EVERY_S = 5.0
ASK_EVERY_S = 1.0
RENEW_EVERY_S = 300.0


class Recorder:
    """Use `start` and, when Ansible has ended, `stop`; `hear` is for the thread that runs Ansible."""

    def __init__(
        self,
        engine: Engine,
        story: Story,
        *,
        run_id: int,
        attempt: int,
        deadline: datetime,
        clock: Clock,
        end: Callable[[], None],
        renew: Callable[[], None] = lambda: None,
        tend: Callable[[], None] = lambda: None,
    ) -> None:
        """`end` ends everything that Ansible started; it is called once.

        `renew` is called every few minutes, and `tend` every second, until the run is ended.
        """
        self._engine = engine
        self._story = story
        self._run_id = run_id
        self._attempt = attempt
        self._deadline = deadline
        self._clock = clock
        self._end = end
        self._renew = renew
        self._tend = tend
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._unwritten: list[Batch] = []
        self._due = {
            "beat": clock.mono() + BEAT_EVERY_S,
            "ask": 0.0,
            "tend": 0.0,
            "renew": clock.mono() + RENEW_EVERY_S,
        }
        self.ending: Ending = ""

    def start(self) -> None:
        self._thread.start()

    def hear(self, event: dict[str, object]) -> None:
        """Take in an event of Ansible; once the run is being ended, what is left of them means nothing any more."""
        with self._lock:
            if self.ending:
                return
            try:
                self._story.take_in(event)
            except Exception:  # the fence between devices: what one of them says must not end the run of all
                log.exception("an event is dropped run=%s event=%s", self._run_id, event.get("event"))

    def end(self, why: Ending) -> None:
        """End the run from outside; the first reason counts.  Safe in a signal's handler."""
        if not self.ending:
            self.ending = why

    def stop(self) -> list[Batch]:
        """End the thread; gives what could not be written yet."""
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._gather()
        return self._unwritten

    def _run(self) -> None:
        has_ended = False
        while not self._over.is_set():
            if self.ending and not has_ended:
                has_ended = True
                self._end()
            self._wake.wait(WRITE_EVERY_S)
            self._wake.clear()
            try:
                self._step()
            except SQLAlchemyError as error:
                log.warning("results of a run wait, the database fails run=%s reason=%s", self._run_id, error)
            except Exception:  # the fence: what nobody foresaw must not leave Ansible without anybody who may stop it
                log.exception("a run is recorded badly run=%s", self._run_id)

    def _step(self) -> None:
        mono = self._clock.mono()
        # First what needs no database: time is up, and relays fall, also while that is away.
        if not self.ending and self._clock.now() >= self._deadline:
            self.end("timed_out")
        if not self.ending and mono >= self._due["tend"]:
            self._due["tend"] = mono + ASK_EVERY_S
            self._tend()
        if mono >= self._due["renew"]:
            self._due["renew"] = mono + RENEW_EVERY_S
            self._renew()
        if not self.ending:
            self._ask(mono)
        self._gather()
        if self._unwritten:
            self._write()

    def _ask(self, mono: float) -> None:
        if mono >= self._due["beat"]:
            self._due["beat"] = mono + BEAT_EVERY_S
            with writing(self._engine) as db:
                self._judge(run_queue.beat(db, self._run_id, self._attempt, now=self._clock.now()))
        elif mono >= self._due["ask"]:
            self._due["ask"] = mono + ASK_EVERY_S
            with reading(self._engine) as db:
                self._judge(run_queue.asked(db, self._run_id, self._attempt))

    def _judge(self, is_cancelled: bool | None) -> None:
        if is_cancelled is None:
            self.end("lost")
        elif is_cancelled:
            self.end("cancelled")

    def _gather(self) -> None:
        with self._lock:
            batch = self._story.take()
        if not batch.is_empty:
            self._unwritten.append(batch)

    def _write(self) -> None:
        with writing(self._engine) as db:
            if not run_queue.is_ours(db, self._run_id, self._attempt):
                self.end("lost")
                return
            is_cancelled = run_queue.asked(db, self._run_id, self._attempt)
            for batch in self._unwritten:
                known = cancelled(batch) if is_cancelled else batch
                keep(db, self._run_id, known, now=self._clock.now())
        self._unwritten = []


def cancelled(batch: Batch) -> Batch:
    """What came after somebody asked for the end: a task that fails then was ended by the relay, for that reason."""
    return structs.replace(
        batch,
        hosts=[
            structs.replace(host, outcome="cancelled") if host.outcome in {"failed", "unreachable"} else host
            for host in batch.hosts
        ],
    )


def keep(db: Session, run_id: int, batch: Batch, *, now: datetime) -> None:
    """Write a batch; what the database does not take as text loses its words, not its outcome."""
    try:
        with db.begin_nested():
            run_results.write(db, run_id, batch, now=now)
    except DataError as error:
        log.warning("what a device said cannot be stored run=%s reason=%s", run_id, error)
        bare = Batch(
            tasks=[structs.replace(task, name="?") for task in batch.tasks],
            results=[structs.replace(result, message="", diff_digest="") for result in batch.results],
            hosts=[structs.replace(host, task=None, message=None) for host in batch.hosts],
        )
        run_results.write(db, run_id, bare, now=now)
