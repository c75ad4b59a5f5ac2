"""A run over the fleet's own link: asked for, taken by the supervisor, carried out by real processes, told by devices.

Everything is real: broker, signer, relay of the run, ansible-runner, agent and runner.  The device is this machine.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.flow.broker import Broker
from tests.flow.relaying import Bed, RealDevice, relay_bed
from tests.house.tree import ROOT

from annexfleet_controller import settings
from annexfleet_controller.identity import signer
from annexfleet_controller.rollouts import ordering, processes, supervising
from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.rollouts.supervising import Supervisor
from annexfleet_controller.settings import Home
from annexfleet_controller.store import run_hosts, run_results, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.runs import RunHostRow

DEADLINE_S = 120.0
AMINA = Asker(name="amina", via="session")
CANARY = "canary-over-the-link-5512"

TASKS = """
- name: Put a file
  ansible.builtin.copy:
    content: "{{ walk_text }} {{ walk_word }}\\n"
    dest: "{{ walk_place }}/file"
    mode: "0600"
- name: Leave a trace
  ansible.builtin.shell: echo {{ annexfleet_device_id }} >> {{ walk_place }}/begun
- name: Wait
  ansible.builtin.shell: |
    echo $$ >> {{ walk_place }}/waits
    while [ ! -e {{ walk_place }}/go ]; do sleep 0.1; done
- name: End
  ansible.builtin.shell: echo {{ annexfleet_device_id }} >> {{ walk_place }}/ended
"""
SPEC = """
argument_specs: {main: {short_description: Walk, options: {walk_text: {type: str}, walk_place: {type: path},
  walk_word: {type: str, no_log: true}}}}
"""


class Walk:
    """A fleet of one real device, and whoever carries runs out."""

    def __init__(self, bed: Bed, path: Path) -> None:
        self.bed = bed
        self.place = path / "device"
        self.place.mkdir()
        library = path / "library"
        role = library / "roles" / "walk"
        for part, text in (("tasks/main.yml", TASKS), ("meta/argument_specs.yml", SPEC)):
            (role / part).parent.mkdir(parents=True)
            (role / part).write_text(text)
        (library / "walk.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [walk]\n")
        plugins = library / "plugins" / "connection"
        plugins.mkdir(parents=True)
        for file in (ROOT / "playbooks" / "plugins" / "connection").glob("*.py"):
            (plugins / file.name).write_bytes(file.read_bytes())
        with (bed.home.path / "controller.toml").open("a") as file:
            file.write(f'playbooks_dir = "{library}"\n')
        self.home: Home = settings.load(bed.home.path)
        self.device: RealDevice = bed.real_device()
        self._signer = subprocess.Popen(self._annexfleet("signer"))
        # A run whose relay is quicker than this would find its device unreachable.
        bed.wait_until(lambda: signer.socket_path(self.home).exists(), "the signer's start", within_s=DEADLINE_S)
        self._started: list[subprocess.Popen[bytes]] = []
        self.supervisor = Supervisor(self.home, bed.engine, start=self._start)

    def _annexfleet(self, *argv: str) -> list[str]:
        return [sys.executable, "-m", "annexfleet_controller", "--home", str(self.home.path), *argv]

    def _start(self, home: Home, run_id: int, attempt: int) -> "subprocess.Popen[bytes]":
        self._started.append(supervising.start(home, run_id, attempt))
        return self._started[-1]

    def order(self, **over: object) -> int:
        wish = {
            "playbook": "walk", "devices": [self.device.device_id], "secrets": {"walk_word": CANARY},
            "variables": {"walk_text": "{{ 7 * 7 }}", "walk_place": str(self.place)}, **over,
        }  # fmt: skip
        with writing(self.bed.engine) as db:
            order = Order(**wish)  # type: ignore[arg-type]
            return ordering.order(db, self.home, order, AMINA, now=datetime.now(UTC))

    def look_until(self, happened: Callable[[], object], what: str, *, within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < deadline, f"{what} did not happen: {self.told}{self.log[-4000:]}"
            self.supervisor.look()
            time.sleep(0.1)  # real processes are waited for, and need the processor themselves

    def finish(self, run_id: int) -> tuple[runs.Run, run_hosts.RunHost]:
        self.look_until(lambda: self.run(run_id).state == "ended", "the end of the run")
        with reading(self.bed.engine) as db:
            (host,) = run_hosts.hosts(db, WHOLE, run_id)
        return self.run(run_id), host

    def run(self, run_id: int) -> runs.Run:
        with reading(self.bed.engine) as db:
            return runs.find(db, WHOLE, run_id)

    def waits(self) -> list[int]:
        file = self.place / "waits"
        return [int(word) for word in file.read_text().split()] if file.exists() else []

    def on_device(self) -> list[int]:
        """Those waiting shells of the device that live."""
        return [pid for pid in self.waits() if Path("/proc", str(pid)).exists()]

    @property
    def told(self) -> str:
        """What became of devices so far, for the message of an assertion."""
        with reading(self.bed.engine) as db:
            rows = db.execute(select(RunHostRow.state, RunHostRow.outcome, RunHostRow.task, RunHostRow.message)).all()
        return "".join(f"{row}\n" for row in rows)

    @property
    def log(self) -> str:
        logs = self.home.path / "logs"
        return (
            "\n".join(file.read_text(errors="replace") for file in sorted(logs.glob("*.log"))) if logs.exists() else ""
        )

    def process_of(self, run_id: int, word: str) -> int:
        """The process of a run's play or relay, by a word of its command line."""
        for place in Path("/proc").iterdir():
            if place.name.isdecimal():
                try:
                    argv = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if str(self.home.path) in argv and word in argv and str(run_id) in argv:
                    return int(place.name)
        raise AssertionError(f"no {word} of run {run_id}")

    def close(self) -> None:
        (self.place / "go").touch()
        self._signer.terminate()
        self._signer.wait(20)
        for number in range(1, 5):
            directory = Ground(self.home, number).directory
            for word in ("play", "relay"):
                try:
                    os.kill(self.process_of(number, word), signal.SIGKILL)
                except AssertionError:
                    continue
            processes.kill(lambda directory=directory: processes.marked(directory), within_s=10)
        for process in self._started:
            process.wait(20)


@pytest.fixture
def walk(broker: Broker, tmp_path: Path) -> Iterator[Walk]:
    with relay_bed(broker) as bed:
        made = Walk(bed, tmp_path)
        try:
            yield made
        finally:
            made.close()


def test_a_run_goes_from_the_queue_to_the_device_and_back(walk: Walk):
    (walk.place / "go").touch()

    run, host = walk.finish(walk.order())

    assert (run.outcome, run.problem, host.outcome) == ("ok", "", "changed"), (host.message, walk.log)
    assert (walk.place / "file").read_text() == f"{{{{ 7 * 7 }}}} {CANARY}\n"
    assert (walk.place / "ended").read_text().split() == [walk.device.device_id]
    walk.look_until(lambda: not Ground(walk.home, run.id).directory.exists(), "the end of its directory")
    stored = b"".join(file.read_bytes() for file in walk.home.path.rglob("*") if file.is_file())
    assert CANARY.encode() not in stored
    # A second run changes the file no more.
    with reading(walk.bed.engine) as db:
        assert [result.state for result in run_results.of_host(db, run.id, host.device_number)][1] == "changed"
    again, host = walk.finish(walk.order())
    with reading(walk.bed.engine) as db:
        assert [result.state for result in run_results.of_host(db, again.id, host.device_number)][1] == "ok"


def test_a_cancel_leaves_nothing_on_either_side(walk: Walk):
    run_id = walk.order()
    walk.look_until(walk.on_device, "the wait on the device")

    with writing(walk.bed.engine) as db:
        ordering.cancel(db, run_id, AMINA, now=datetime.now(UTC))
    asked_at = time.monotonic()
    walk.look_until(lambda: not walk.on_device(), "the end on the device")

    assert time.monotonic() - asked_at < 40  # some seconds on a machine that does nothing else
    run, host = walk.finish(run_id)
    assert (run.outcome, host.outcome) == ("cancelled", "cancelled")
    assert processes.marked(Ground(walk.home, run_id).directory) == set()
    assert not (walk.place / "ended").exists()


# How a killed play is followed by another, controller/rollouts/test_supervising.py tells each time.
@pytest.mark.parametrize("victim", [pytest.param("play", marks=pytest.mark.trial), "relay"])
def test_a_process_that_is_killed_in_mid_task_is_told_truly(walk: Walk, victim: str):
    run_id = walk.order()
    walk.look_until(walk.on_device, "the wait on the device")

    os.kill(walk.process_of(run_id, victim), signal.SIGKILL)
    if victim == "play":
        # Its relay goes with it and ends what runs on the device; then all begins anew.
        walk.look_until(lambda: len(walk.waits()) == 2, "the second attempt")
        walk.look_until(lambda: walk.on_device() == walk.waits()[1:], "the end of the first attempt's task")
        (walk.place / "go").touch()
        run, host = walk.finish(run_id)
        assert (run.outcome, run.attempts, host.outcome) == ("ok", 2, "changed"), (host.message, walk.log)
    else:
        run, host = walk.finish(run_id)
        assert (run.outcome, host.outcome) == ("failed", "unreachable"), (host.message, walk.log)
        (walk.place / "go").touch()
        again, host = walk.finish(walk.order())
        assert (again.outcome, host.outcome) == ("ok", "changed"), (host.message, walk.log)
