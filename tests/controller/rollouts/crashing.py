"""Rollouts whose conductor, and whose people, are cut off at a point again and again."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import select
from tests.controller.rollouts.rolling import AMINA, Asker, Province

from annexfleet_controller.rollouts import crash
from annexfleet_controller.rollouts.conducting import LEASE, Conductor
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.store.rollouts import Detail
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


class Crashes:
    """Kills at each point the first time that it is passed, `before` or `after` its commit; counts all of them."""

    def __init__(self, when: str = "") -> None:
        self.when = when
        self.passed: Counter[str] = Counter()
        self.killed: list[str] = []
        self._in_this: list[str] = []
        """Points of the transaction that is not committed yet: a kill after its commit is one after each of them."""

    def __call__(self, point: str) -> None:
        name, _, when = point.rpartition(":")
        self.passed[name] += when == "before"
        if when == "before":
            self._in_this.append(name)
        if when == self.when and name not in self.killed:
            self.killed += self._in_this if when == "after" else [name]
            self._in_this.clear()
            raise Killed(point)
        if when == "after":
            self._in_this.remove(name)


class Fragile:
    """A province in which whoever is killed is followed by another, and people press the button again."""

    def __init__(self, province: Province, crashes: Crashes) -> None:
        self.province = province
        self.crashes = crashes

    def turn(self, seconds: float = 30.0, *, heard: bool = True) -> None:
        self.province.pass_time(seconds, heard=heard)
        try:
            self.province.conductor.turn()
        except Killed:
            # What it held is free once the lease has run out.
            self.province.conductor = self.province.new_conductor()
            self.province.pass_time(LEASE.total_seconds() + 1, heard=heard)
            self.turn(0.0, heard=heard)

    def act(self, what: Callable[..., Detail], id_: int, *, asker: Asker = AMINA, **facts: object) -> Detail:
        before = self.province.detail(id_).version
        try:
            return self.province.act(what, id_, asker=asker, **facts)  # type: ignore[arg-type]
        except Killed:
            # The page never came: who loads it again sees whether it was done.
            if self.province.detail(id_).version == before:
                return self.act(what, id_, asker=asker, **facts)
            return self.province.detail(id_)

    def until(
        self,
        happened: Callable[[], bool],
        *,
        outcome: Callable[[int], str] | str = "changed",
        seconds: float = 30.0,
        most: int = 400,
        heard: bool = True,
        plays: bool = True,
    ) -> None:
        for _ in range(most):
            if happened():
                return
            self.turn(seconds, heard=heard)
            if plays:
                self.province.play(outcome)
        raise AssertionError("it did not happen")

    def watch(self) -> None:
        crash.hook = self.crashes

    # -- what must be true whatever happened

    def check(self, id_: int) -> None:
        """Nothing was begun twice, each device's story agrees with the runs there were, and what is told adds up."""
        with reading(self.province.engine) as db:
            rows = db.execute(
                select(RunHostRow.device_number, RunHostRow.outcome)
                .join(RunRow, RunRow.id == RunHostRow.run_id)
                .where(RunRow.reason == f"rollout:{id_}")
            ).all()
        runs_of = Counter(row[0] for row in rows)
        done = Counter(row[0] for row in rows if row[1] in {"ok", "changed"})
        targets = self.province.targets(id_)
        assert runs_of == Counter({n: row.attempts for n, row in targets.items() if row.attempts})
        assert max(done.values(), default=0) <= 1, "a device was changed twice"
        for number, row in targets.items():
            assert (row.state == "succeeded") <= (done[number] == 1 or row.reason == "late"), (number, row)
        tally = Counter(row.state for row in targets.values())
        assert dict(tally) == dict(self.province.detail(id_).tally)


class InProcesses(Fragile):
    """Each turn of the conductor is a process of its own, and a point ends it by SIGKILL."""

    def turn(self, seconds: float = 30.0, *, heard: bool = True) -> None:
        self.province.pass_time(seconds, heard=heard)
        self.province.engine.dispose()
        child = os.fork()
        if child == 0:
            self._in_child()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            self.crashes.killed.append(self._killed_at())
            self.province.clock.at += LEASE + timedelta(seconds=1)
            self.turn(0.0, heard=heard)
            return
        assert os.WEXITSTATUS(status) == 0

    def _in_child(self) -> None:
        try:
            engine = open_database(self.province.home.database_url)
            conductor = Conductor(self.province.home, engine, clock=self.province.clock)
            conductor.turn()
            conductor.let_go()
            os._exit(0)
        except Killed as killed:
            (self.province.home.path / "killed").write_text(str(killed))
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)

    def _killed_at(self) -> str:
        return (self.province.home.path / "killed").read_text().rpartition(":")[0]
