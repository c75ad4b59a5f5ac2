"""Simulated devices that a run reaches: real Ansible, relay, signer, broker and sessions; nothing is done here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.flow.serving import Serve, running_serve
from tests.flow.test_simulate import rows
from tests.house.tree import ROOT

from annexfleet_controller import settings
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.rollouts import ordering
from annexfleet_controller.rollouts.ordering import Asker, Order
from annexfleet_controller.simulate.fleet import Fleet, Options
from annexfleet_controller.simulate.troubles import Disturbance
from annexfleet_controller.simulate.worse import troubles_of
from annexfleet_controller.store import database, run_hosts, runs
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.waves.rehearsal.script import Mishap, Release

WITHIN_S = 120.0
TASKS = """
- name: Put a file
  ansible.builtin.copy:
    content: "walked\\n"
    dest: "{{ walk_place }}/file"
    mode: "0600"
- name: Leave a trace
  ansible.builtin.command: touch {{ walk_place }}/trace
"""
SPEC = "argument_specs: {main: {short_description: Walk, options: {walk_place: {type: path}}}}"


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    library = tmp_path_factory.mktemp("library")
    for part, text in (("tasks/main.yml", TASKS), ("meta/argument_specs.yml", SPEC)):
        (library / "roles" / "walk" / part).parent.mkdir(parents=True)
        (library / "roles" / "walk" / part).write_text(text)
    (library / "walk.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [walk]\n")
    shutil.copytree(ROOT / "playbooks" / "plugins" / "connection", library / "plugins" / "connection")
    with running_serve(playbooks_dir=str(library)) as running:
        yield running


@pytest.fixture
def engine(serve: Serve) -> Iterator[Engine]:
    opened = database.open_database(serve.home.database_url)
    yield opened
    opened.dispose()


class Town:
    """Five simulated devices of one annex, and who orders runs there."""

    def __init__(self, serve: Serve, engine: Engine, **options: object) -> None:
        self.home = settings.load(serve.home.path)
        self.engine = engine
        nothing = serve.home.path / "nothing.toml"
        nothing.write_text("")
        self.fleet = Fleet(self.home, Options(annexes=1, devices=5, script=nothing, hour="10:00", **options))  # type: ignore[arg-type]

    def turn(self, what: str, happened: object) -> None:
        assert self.fleet.loop.run_until(happened, timeout_s=WITHIN_S), f"{what} did not happen"  # type: ignore[arg-type]

    def outcomes(self, place: Path) -> dict[str, str]:
        """Of a run with all devices, by name."""
        found = rows(self.engine)
        order = Order(playbook="walk", devices=[row.id for row in found.values()], variables={"walk_place": str(place)})
        with database.writing(self.engine) as db:
            run_id = ordering.order(db, self.home, order, Asker(name="amina", via="session"), now=SYSTEM.now())

        def has_ended() -> bool:
            with database.reading(self.engine) as db:
                return runs.find(db, WHOLE, run_id).state == "ended"

        self.turn("the end of the run", has_ended)
        with database.reading(self.engine) as db:
            hosts = {host.device_id: host.outcome for host in run_hosts.hosts(db, WHOLE, run_id)}
        return {key.partition("/")[2]: hosts[row.id] for key, row in found.items()}

    def connected(self) -> dict[str, bool]:
        return {key.partition("/")[2]: row.connected for key, row in rows(self.engine).items()}


@contextmanager
def living(serve: Serve, engine: Engine, **options: object) -> Iterator[Town]:
    town = Town(serve, engine, **options)
    town.fleet.prepare()
    town.fleet.start()
    try:
        town.turn("everybody online", lambda: town.fleet.online() == 5 and all(town.connected().values()))
        yield town
    finally:
        town.fleet.stop()
        town.fleet.loop.close()


def test_a_run_changes_all_but_those_that_fail(serve: Serve, engine: Engine, tmp_path: Path):
    with living(serve, engine, release=Release(fault="play_fails", roles=("kiosk",))) as town:
        found = town.outcomes(tmp_path)

    assert found == {name: "failed" if name.startswith("borne") else "changed" for name in found}
    assert "failed" in found.values()
    assert list(tmp_path.iterdir()) == [], "nothing is done on this machine"


def test_one_that_crashes_after_its_run_and_one_that_loses_its_link(serve: Serve, engine: Engine, tmp_path: Path):
    # At 60 times the real speed, ten minutes pass in 10 s.
    with living(serve, engine, release=Release(fault="crash", after_s=600, roles=("kiosk",)), rate=60.0) as town:
        assert set(town.outcomes(tmp_path).values()) == {"changed"}
        town.turn("the crash", lambda: not town.connected()["borne-1"])

        lost = troubles_of([Mishap(kind="link", count=4, lasts_s=1200)], town.fleet.province, seed=2)
        names = {trouble.device for trouble in lost} - {"borne-1"}
        town.fleet.world.disturbance = Disturbance(lost, town.fleet.province)
        town.turn("the loss of links", lambda: not any(town.connected()[name] for name in names))
        town.turn("their return", lambda: all(town.connected()[name] for name in names))
        assert not town.connected()["borne-1"], "for good"
