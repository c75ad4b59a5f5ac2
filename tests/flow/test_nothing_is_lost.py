"""The proof of the whole way: broker and ingest are killed again and again, and every item arrives exactly once."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, func, select
from tests.controller.fleet import add_annex, add_devices
from tests.flow.broker import Broker, running_broker
from tests.flow.ingesting import Ingest, root, running_ingest
from tests.flow.load import Plan

from annexfleet_agent.protocol import wire
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.store.tables.readings import ChangeRow, DeviceState, History, Mark

DEVICES = 200
ITEMS = 100
DEADLINE_S = 85


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory on no disk, where there is such a thing."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.trial)])
def test_nothing_is_lost_and_nothing_counts_twice_while_broker_and_ingest_are_killed(
    database_url: str, processes: int, memory: Path
):
    engine = open_database(database_url)
    add_annex(engine)
    device_ids = add_devices(engine, DEVICES)
    with running_broker(plain=True, database_url=database_url) as broker:
        broker.allow_plain(device_ids)
        plan = Plan(
            port=broker.plain_port, password=broker.plain_password, devices=device_ids, items=ITEMS,
            items_per_second=2500, outboxes=str(memory), done=str(broker.home.path / "done"),
        )  # fmt: skip
        shared = {"ANNEXFLEET_INGEST_SHARED": "true" if processes > 1 else "false"}
        with running_ingest(broker.home, **shared) as first, running_ingest(broker.home, **shared) as second:
            if processes == 1:
                second.stop()
            listeners = [first, second][:processes]
            load = subprocess.Popen([sys.executable, "-m", "tests.flow.load", msgspec.json.encode(plan)], cwd=root())
            try:
                kills = _disturb(engine, broker, listeners)
                load.wait(DEADLINE_S)
            finally:
                load.kill()
                load.wait()
        sent_again = int((broker.home.path / "done").read_text())

    assert kills == Counter(broker=3, ingest=3)
    assert sent_again > 0, "nothing was in danger"
    assert _arrived(engine) == {number: list(range(1, ITEMS + 1)) for number in range(1, DEVICES + 1)}
    with reading(engine) as db:
        assert set(db.execute(select(Mark.upto, Mark.ahead))) == {(ITEMS, "[]")}
        assert (
            db.scalar(select(func.count()).select_from(DeviceState).where(DeviceState.beat_at.is_not(None))) == DEVICES
        )
    engine.dispose()


def _disturb(engine: Engine, broker: Broker, listeners: list[Ingest]) -> Counter[str]:
    """Kill the broker and ingest in turn, each time after some more items arrived."""
    kills: Counter[str] = Counter()
    victims = cycle(listeners)
    deadline = time.monotonic() + DEADLINE_S
    for share in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85):
        while _count(engine) < share * DEVICES * ITEMS:
            assert time.monotonic() < deadline, "too slow: " + listeners[0].log.read_text()[-2000:]
            time.sleep(0.02)  # real processes are waited for
        if kills["broker"] <= kills["ingest"]:
            broker.kill()
            broker.start()
            kills["broker"] += 1
        else:
            victim = next(victims)
            victim.kill()
            victim.start()
            kills["ingest"] += 1
    return kills


def _count(engine: Engine) -> int:
    with reading(engine) as db:
        items = select(func.count()).select_from(ChangeRow).where(ChangeRow.kind == "change")
        return (db.scalar(select(func.count()).select_from(History)) or 0) + (db.scalar(items) or 0)


def _arrived(engine: Engine) -> dict[int, list[int]]:
    """The numbers of the items that are stored, by device; one that was stored twice stands twice."""
    found: dict[int, list[int]] = {}
    with reading(engine) as db:
        for number, payload in db.execute(select(History.device_number, History.payload)):
            found.setdefault(number, []).append(wire.decode_up("beat", payload).seq)
        changes = select(ChangeRow.device_number, ChangeRow.payload).where(ChangeRow.kind == "change")
        for number, payload in db.execute(changes):
            found.setdefault(number, []).append(wire.decode_up("change", payload).seq)
    return {number: sorted(seqs) for number, seqs in found.items()}
