"""A home with a fleet, a library of playbooks and real Ansible, whose devices are this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices

from annexfleet_controller.rollouts import ordering, processes
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.rollouts.supervising import Supervisor
from annexfleet_controller.settings import Home
from annexfleet_controller.store import run_hosts, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE

DEADLINE_S = 60.0
AMINA = Asker(name="amina", via="session")


class Stage:
    def __init__(self, home: Home, engine: Engine, *, devices: int = 3) -> None:
        self.home = home
        self.engine = engine
        self.library = Path(home.settings.playbooks_dir)
        self.library.mkdir(parents=True, exist_ok=True)
        self.world = home.path / "world"
        """Where playbooks of tests leave their traces."""
        self.world.mkdir()
        add_annex(engine)
        self.ids = add_devices(engine, devices)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.supervisor = Supervisor(home, engine, start=self.start)

    # -- the library

    def playbook(self, name: str, tasks: str, *, options: str = "{}") -> None:
        """A playbook of one role."""
        role = self.library / "roles" / name
        for part in ("tasks", "meta"):
            (role / part).mkdir(parents=True, exist_ok=True)
        (role / "tasks" / "main.yml").write_text(tasks)
        (role / "meta" / "argument_specs.yml").write_text(
            f"argument_specs:\n  main:\n    short_description: A test\n    options: {options}\n"
        )
        (self.library / f"{name}.yml").write_text(
            f"- name: Play\n  hosts: all\n  gather_facts: false\n  roles:\n    - {name}\n"
        )

    # -- runs

    def order(self, playbook: str, **wish: object) -> int:
        wish.setdefault("devices", self.ids)
        with writing(self.engine) as db:
            order = Order(playbook=playbook, **wish)  # type: ignore[arg-type]
            return ordering.order(db, self.home, order, AMINA, now=datetime.now(UTC))

    def start(self, home: Home, run_id: int, attempt: int) -> "subprocess.Popen[bytes]":
        with (home.path / "play.log").open("ab") as log:
            argv = [sys.executable, "-m", "tests.controller.rollouts.local_play"]
            process = subprocess.Popen(
                [*argv, str(home.path), str(run_id), str(attempt)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=Path(__file__).parents[3], env={**os.environ, "CANARY_OF_THE_CONTROLLER": "canary-environment"},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def look_until(self, happened: Callable[[], bool], what: str, *, within_s: float = DEADLINE_S) -> None:
        """Let the supervisor look again and again."""
        deadline = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen: {self.log[-4000:]}"
            self.supervisor.look()
            time.sleep(0.1)  # real processes are waited for, and need the processor themselves

    def finish(self, run_id: int) -> runs.Run:
        """Let the run come to its end."""
        self.look_until(lambda: self.run(run_id).state == "ended", f"the end of run {run_id}")
        self.look_until(lambda: all(p.poll() is not None for p in self.processes), "the end of its process")
        return self.run(run_id)

    def go(self, playbook: str, **wish: object) -> runs.Run:
        return self.finish(self.order(playbook, **wish))

    def run(self, run_id: int) -> runs.Run:
        with reading(self.engine) as db:
            return runs.find(db, WHOLE, run_id)

    def hosts(self, run_id: int) -> list[run_hosts.RunHost]:
        with reading(self.engine) as db:
            return run_hosts.hosts(db, WHOLE, run_id)

    def ground(self, run_id: int) -> Ground:
        return Ground(self.home, run_id)

    def left(self, run_id: int) -> set[int]:
        """The processes of a run that live."""
        return processes.marked(self.ground(run_id).directory)

    @property
    def log(self) -> str:
        log = self.home.path / "play.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def traces(self, name: str) -> list[str]:
        file = self.world / name
        return file.read_text().split() if file.exists() else []

    def everything_stored(self) -> bytes:
        """All that the database and the home hold, as bytes."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        database = Path(str(self.engine.url.database))
        files = [*self.home.path.rglob("*"), *database.parent.glob(f"{database.name}*")]
        return b"".join(file.read_bytes() for file in files if file.is_file())

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for place in (self.home.path / "runs").glob("*"):
            processes.kill(lambda place=place: processes.marked(place), within_s=10)


def make(path: Path, engine: Engine, **over: int) -> Stage:
    home = path / "home"
    home.mkdir(exist_ok=True)
    library = path / "library"
    (home / "controller.toml").write_text(
        f'playbooks_dir = "{library}"\ndatabase_url = "{engine.url.render_as_string(hide_password=False)}"\n'
    )
    from annexfleet_controller import settings

    return Stage(settings.load(home), engine, **over)


def encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()
