"""A simulated province over a real controller: real agents, real broker, real ingest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.flow.serving import Serve, running_serve

from annexfleet_agent.loop import Loop
from annexfleet_controller import settings
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.simulate.fleet import Fleet, Options
from annexfleet_controller.simulate.troubles import Disturbance, Trouble
from annexfleet_controller.store import database, fleet, scope

WITHIN_S = 60.0
JAM = """
[[trouble]]
kind = "jam"
after_minutes = 0
minutes = 600
annex = 1
printer = "laser-1"
"""
CUTS = [
    Trouble(kind="line_cut", after_minutes=0, minutes=20, annex=2),
    Trouble(kind="device_off", after_minutes=0, minutes=20, annex=3),
]
"""At 120 times the real speed, 20 minutes pass in 10 s."""


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    with running_serve() as running:
        yield running


@pytest.fixture
def engine(serve: Serve) -> Iterator[Engine]:
    opened = database.open_database(serve.home.database_url)
    yield opened
    opened.dispose()


def rows(engine: Engine) -> dict[str, fleet.DeviceRow]:
    """Devices by annex and name."""
    with database.reading(engine) as db:
        return {f"{row.annex_id}/{row.name}": row for row in fleet.devices(db, scope.WHOLE, now=SYSTEM.now())}


def turn(loop: Loop, happened: Callable[[], bool], what: str) -> None:
    assert loop.run_until(happened, timeout_s=WITHIN_S), f"{what} did not happen"


def test_a_province_reports_suffers_and_recovers(serve: Serve, engine: Engine, tmp_path: Path):
    script = tmp_path / "script.toml"
    script.write_text(JAM)
    home = settings.load(serve.home.path)
    options = Options(annexes=3, devices=12, rate=120, script=script, hour="10:00")
    province = Fleet(home, options)
    loop = province.loop

    province.prepare()
    province.start()
    try:
        turn(loop, lambda: province.online() == 12, "everybody online")
        turn(loop, lambda: causes(engine, "laser-1") == ["paper_jam"], "the jam on the board")
        province.world.disturbance = Disturbance(CUTS, province.province)
        cut, off = "berkane-2/guichet-1", "berkane-5/guichet-1"
        turn(loop, lambda: not rows(engine)[cut].connected, "the line cut")
        turn(loop, lambda: not rows(engine)[off].connected, "the machine without power")
        assert all(row.connected for key, row in rows(engine).items() if key.startswith("berkane-1/"))
        turn(loop, lambda: rows(engine)[cut].connected and rows(engine)[off].connected, "their return")
    finally:
        province.stop()
        loop.close()

    with database.reading(engine) as db:
        assert fleet.set_aside(db, scope.WHOLE) == []


def test_a_second_run_has_the_same_devices_and_tells_its_past_once(serve: Serve, engine: Engine):
    home = settings.load(serve.home.path)
    before = {key: row.id for key, row in rows(engine).items()}
    items = []
    for _ in range(2):
        province = Fleet(home, Options(annexes=3, devices=12, hour="10:00", history_days=0.2))
        province.prepare()
        outbox = province.devices[0].open_outbox("test")
        items.append(outbox.count)
        outbox.close()
        province.loop.close()

    assert {key: row.id for key, row in rows(engine).items()} == before
    assert items[0] > 50
    assert items[1] == items[0]


def causes(engine: Engine, printer: str) -> list[str]:
    """What troubles this printer of the first annex."""
    with database.reading(engine) as db:
        found = fleet.devices(db, scope.WHOLE, now=SYSTEM.now(), annex_id="berkane-1")
        known = fleet.known(db, found)
    for row in found:
        words = known[row.number].words(f"printer:{printer}", "printer_causes")
        if words:
            return words
    return []
