"""The loop in `work` that conducts rollouts: takes those that are under way, looks, lets think, and does.

Several conductors may run; each takes the rollouts that nobody holds, by a lease with a fence, and gives back what it
cannot keep.  What one that was killed had written stands; what it had not committed never was.
"""

import logging
import secrets
import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import RolloutChanged
from annexfleet_controller.rollouts import evidence, keeping
from annexfleet_controller.rollouts.carrying import Carrier
from annexfleet_controller.rollouts.evidence import Read, Reader
from annexfleet_controller.rollouts.eyes import Eyes
from annexfleet_controller.settings import Home
from annexfleet_controller.store import figures, rollout_leases, rollouts
from annexfleet_controller.store.database import open_database, reading, writing
from annexfleet_controller.store.rollout_leases import Claim, LeaseLost
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.waves import beginning, conduct
from annexfleet_controller.waves.model import OVER, Turn

log = logging.getLogger(__name__)

EVERY_S = 2.0
LEASE = timedelta(seconds=30)
RENEW = timedelta(seconds=10)
MOST_TAKEN = 20
"""In one turn, so that a conductor that starts beside others leaves them some."""
HELD_TOLD_EVERY = timedelta(seconds=15)
"""Why devices wait is written down for people to read, if it is another reason than before."""
LONGEST_TURN_S = 0.8
"""A morning on which fifty rollouts begin something at once is spread over several turns."""
LOOKED_AT = timedelta(days=2)
"""Alerts that cleared longer ago say nothing about a change any more."""
_TIDY_EVERY = timedelta(minutes=1)
_LONGEST_PUT_OFF = timedelta(minutes=1)


def run(home: Home, stop: threading.Event, *, clock: Clock = SYSTEM) -> None:
    """Conduct until `stop` is set; runs that were begun go on by themselves."""
    engine = open_database(home.database_url)
    conductor = Conductor(home, engine, clock=clock)
    try:
        while not stop.wait(conductor.pause_s):
            try:
                conductor.turn()
            except SQLAlchemyError as error:
                log.warning("rollouts put off, the database fails reason=%s", error)
                conductor.forget()  # what a look had begun to read is not whole
            except OSError as error:
                log.warning("rollouts put off reason=%s", error)
            except Exception:  # the fence: nothing that a device told may end the loop
                log.exception("rollouts put off")
                conductor.forget()
        conductor.let_go()
    finally:
        engine.dispose()


class Conductor:
    """`turn` looks once after every rollout that is ours."""

    def __init__(self, home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> None:
        self.clock = clock
        self.held: dict[int, Claim] = {}
        self._home = home
        self._engine = engine
        self._name = f"conductor-{secrets.token_hex(6)}"
        self._eyes: Eyes | None = None
        self._readers: dict[int, Reader] = {}
        self._renew_at: datetime | None = None
        self._tidy_at: datetime | None = None
        self._slowest_s = 0.0
        self._left: list[int] = []
        """Rollouts that the last turn had no time for: the next begins with them."""
        self._held_told: dict[int, datetime] = {}
        self._failures: dict[int, tuple[int, datetime]] = {}
        """By rollout: how often in a row its look failed, and when it is tried again."""

    @property
    def pause_s(self) -> float:
        return EVERY_S / 10 if self._left else EVERY_S

    def turn(self) -> None:
        """Take what is free, and do for each rollout what is next."""
        now = self.clock.now()
        began_s = self.clock.mono()
        self._keep(now)
        self._take(now)
        if self._tidy_at is None or now >= self._tidy_at:
            self._tidy(now)
            self._tell(now)
        if not self.held:
            self._eyes = None
            return
        if self._eyes is None:
            self._eyes = Eyes()
        with reading(self._engine) as db:
            self._eyes.look(db, now=now, watched_since=now - LOOKED_AT)
        if not self._eyes.listens:
            return  # nobody can be heard, so nothing is concluded, as the watch over alerts does
        self._left = [id_ for id_ in self._left if id_ in self.held] or list(self.held)
        while self._left and self.clock.mono() - began_s < LONGEST_TURN_S:
            if (held := self.held.get(self._left.pop(0))) is not None:
                self._look_after(held, self._eyes, now)
        self._slowest_s = max(self._slowest_s, self.clock.mono() - began_s)

    def let_go(self) -> None:
        """Another conductor may have them at once."""
        try:
            with writing(self._engine) as db:
                rollout_leases.release(db, self.held.values())
        except SQLAlchemyError as error:
            log.info("leases run out by themselves reason=%s", error)
        self.held.clear()

    def forget(self) -> None:
        """Read everything anew at the next turn."""
        self._eyes = None
        self._readers = {rollout_id: Reader() for rollout_id in self.held}

    # -- whose they are

    def _keep(self, now: datetime) -> None:
        if not self.held or (self._renew_at is not None and self._renew_at - RENEW <= now < self._renew_at):
            return
        with writing(self._engine) as db:
            kept = rollout_leases.keep(db, self.held.values(), now=now, lease=LEASE)
        for lost in self.held.keys() - {claim.id for claim in kept}:
            self._drop(lost)
        self._renew_at = now + RENEW

    def _take(self, now: datetime) -> None:
        with reading(self._engine) as db:
            is_any_due = rollout_leases.is_any_due(db, now=now)
        taken = 0
        while is_any_due and taken < MOST_TAKEN:
            with writing(self._engine) as db:
                claim = rollout_leases.claim(db, self._name, now=now, lease=LEASE)
            if claim is None:
                return
            taken += 1
            self.held[claim.id] = claim
            self._readers[claim.id] = Reader()
            log.info("a rollout is conducted rollout=%s fence=%s", claim.id, claim.fence)

    def _drop(self, rollout_id: int) -> None:
        self.held.pop(rollout_id, None)
        self._readers.pop(rollout_id, None)
        self._failures.pop(rollout_id, None)
        self._held_told.pop(rollout_id, None)

    # -- what is next

    def _look_after(self, held: Claim, eyes: Eyes, now: datetime) -> None:
        failures, again_at = self._failures.get(held.id, (0, now))
        if again_at > now:
            return
        try:
            self.conduct(held, eyes, now=now)
            self._failures.pop(held.id, None)
        except LeaseLost:
            log.info("a rollout is another conductor's rollout=%s", held.id)
            self._drop(held.id)
        except RolloutChanged as changed:
            log.info("a rollout changed while it was thought about rollout=%s reason=%s", held.id, changed)
        except SQLAlchemyError:
            raise
        except Exception:  # the fence between rollouts: one that cannot be conducted does not hold up the others
            if not failures:
                log.exception("a rollout cannot be conducted rollout=%s", held.id)
            put_off = min(_LONGEST_PUT_OFF, timedelta(seconds=EVERY_S) * 2 ** min(failures + 1, 10))
            self._failures[held.id] = (failures + 1, now + put_off)
            self._readers[held.id] = Reader()

    def conduct(self, held: Claim, eyes: Eyes, *, now: datetime) -> None:
        """One look at one rollout, and what follows.  Raises LeaseLost and RolloutChanged; then nothing was done."""
        with reading(self._engine) as db:
            detail = rollout_leases.of_conductor(db, held)
            read = self._readers[held.id].read(db, eyes, detail, now=now)
        steps = conduct.steps(read.rollout, read.targets, read.seen, now=now)
        is_at_its_end = detail.state in OVER and evidence.is_over(read.targets)
        why = self._held(held, detail, read, now)
        if steps or is_at_its_end or why is not None:
            with writing(self._engine) as db:
                carrier = Carrier(db, self._home, held, detail, read, now=now)
                carrier.carry_out(steps)
                if why is not None:
                    carrier.tell_held(why)
                if is_at_its_end:
                    carrier.close()
        if is_at_its_end or any(isinstance(step, Turn) and step.state in OVER for step in steps):
            self._drop_if_over(held)

    def _held(self, held: Claim, detail: Detail, read: Read, now: datetime) -> dict[str, list[int]] | None:
        """Why devices are not begun, by code; None where that is known already, or was looked at just now."""
        told_at = self._held_told.get(held.id)
        if detail.state != "running" or (told_at is not None and timedelta(0) <= now - told_at < HELD_TOLD_EVERY):
            return None
        self._held_told[held.id] = now
        why: dict[str, list[int]] = {}
        for number, code in sorted(beginning.held(read.rollout, read.targets, read.seen, now=now).items()):
            why.setdefault(code, []).append(number)
        return why if why != detail.held else None

    def _drop_if_over(self, held: Claim) -> None:
        with reading(self._engine) as db:
            state = rollouts.state_of(db, held.id)
        if state is None or state[1]:
            keeping.remove(self._home, held.id)
            self._drop(held.id)

    def _tidy(self, now: datetime) -> None:
        self._tidy_at = now + _TIDY_EVERY

        def is_over(rollout_id: int) -> bool | None:
            with reading(self._engine) as db:
                state = rollouts.state_of(db, rollout_id)
            return None if state is None else state[1]

        keeping.tidy(self._home, is_over, now_s=now.timestamp())

    def _tell(self, now: datetime) -> None:
        """How long the slowest turn since the last time took."""
        with writing(self._engine) as db:
            figures.put(db, {"conductor_turn_seconds": self._slowest_s}, now=now)
        self._slowest_s = 0.0
