"""One of perhaps several workers that share the periodic jobs; a lease decides who does one."""

import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.settings import Home
from annexfleet_controller.store import jobs as leases
from annexfleet_controller.store.database import reading, writing

log = logging.getLogger(__name__)

_LEASE = timedelta(minutes=2)


class Job(Struct, frozen=True):
    """Something done again and again."""

    name: str
    every: timedelta
    do: Callable[["Worker"], None]


class LeaseLost(Exception):
    """Another worker took the job over, because we were too slow."""


class Worker:
    """One of perhaps several that share the jobs."""

    def __init__(
        self,
        engine: Engine,
        home: Home,
        jobs: Sequence[Job],
        *,
        clock: Clock = SYSTEM,
        stop: threading.Event | None = None,
    ) -> None:
        self.engine = engine
        self.home = home
        self.settings = home.settings
        self.jobs = jobs
        self.clock = clock
        self.name = f"worker-{secrets.token_hex(6)}"
        self.unkicked: set[str] = set()
        """Ids of devices that are shut out and whose connections could not be ended yet."""
        self._stop = stop or threading.Event()
        self._doing = ""
        self._complained: set[tuple[str, int]] = set()

    def do_what_is_due(self) -> list[str]:
        """Do every job that is due and that no other worker holds; gives their names."""
        done = []
        for job in self.jobs:
            try:
                if not self._stop.is_set() and self._claim(job):
                    self._do(job)
                    done.append(job.name)
            except SQLAlchemyError as error:
                log.warning("job put off, the database fails job=%s reason=%s", job.name, error)
        return done

    def go_on(self) -> bool:
        """Hold the job for longer; False when the worker shall stop.  Raises LeaseLost."""
        with writing(self.engine) as db:
            if not leases.keep(db, self._doing, self.name, now=self.clock.now(), lease=_LEASE):
                raise LeaseLost(self._doing)
        return not self._stop.is_set()

    def complain_once(self, what: str, device_number: int, error: Exception) -> None:
        """Log an error the first time it is about this device."""
        if (what, device_number) not in self._complained:
            self._complained.add((what, device_number))
            log.error("%s device_number=%s", what, device_number, exc_info=error)

    def _claim(self, job: Job) -> bool:
        now = self.clock.now()
        with reading(self.engine) as db:
            if not leases.is_free(db, job.name, now=now):
                return False
        with writing(self.engine) as db:
            return leases.claim(db, job.name, self.name, now=now, lease=_LEASE)

    def _do(self, job: Job) -> None:
        self._doing = job.name
        failed = ""
        try:
            job.do(self)
        except SQLAlchemyError:
            raise  # the lease runs out, and somebody tries again
        except LeaseLost:
            log.warning("job taken over by another worker job=%s", job.name)
            return
        except Exception as error:  # the fence: one job that fails must not stop the others
            log.exception("job failed job=%s", job.name)
            failed = f"{type(error).__name__}: {error}"
        now = self.clock.now()
        with writing(self.engine) as db:
            leases.release(db, job.name, self.name, now=now, due_at=now + job.every, failed=failed)
