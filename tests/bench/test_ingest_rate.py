"""Ingest on this machine: beats a second on the whole way, and metric values a CPU-second beside a Zabbix server.

    pytest -s -m bench tests/bench/test_ingest_rate.py

Broker, load and ingest share this machine's processors; SQLite commits with synchronous=FULL.  A beat has 30 metrics,
and each counts as one value, although it brings last, minimum, mean and maximum.  Processor time of ours is that of
broker and ingest; of Zabbix, that of server and PostgreSQL.  Neither counts who sends.  Zabbix gets plain TCP without a
broker, 3,000 values a request, and no triggers; it keeps trends beside the history, we keep latest states and marks.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import pytest
from sqlalchemy import func, select
from tests.bench import zabbix
from tests.bench.beat_load import METRICS, Plan
from tests.controller.fleet import add_annex, add_devices
from tests.flow.broker import running_broker
from tests.flow.ingesting import root, running_ingest

from annexfleet_controller.store import migrate
from annexfleet_controller.store.database import open_database, reading
from annexfleet_controller.store.tables.readings import History

DEVICES = 1000
BEATS = 100
LEAST_BEATS_PER_SECOND = 8000
LEAST_TIMES_ZABBIX = 3.0

ZABBIX_HOSTS = 200
ZABBIX_ROUNDS = 100

pytestmark = pytest.mark.bench


class Rate(NamedTuple):
    """One run."""

    values: int
    seconds: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        return self.values / self.cpu_seconds


def test_a_country_fits_on_two_processors(tmp_path: Path):
    ours, text = _ours(tmp_path)
    beats_per_second = ours.values / METRICS / ours.seconds
    print(f"\n{text}")
    if missing := zabbix.missing():
        print(f"no comparison: {missing}")
    else:
        theirs = _zabbix(tmp_path)
        times = ours.per_cpu_second / theirs.per_cpu_second
        print(
            f"Zabbix:     {theirs.values / theirs.seconds:10,.0f} values/s   "
            f"{theirs.per_cpu_second:10,.0f} values per CPU-second (server and PostgreSQL)\n"
            f"annexfleet: {ours.values / ours.seconds:10,.0f} values/s   "
            f"{ours.per_cpu_second:10,.0f} values per CPU-second (broker and ingest): {times:.1f} times Zabbix"
        )
        assert times >= LEAST_TIMES_ZABBIX
    assert beats_per_second >= LEAST_BEATS_PER_SECOND


def _ours(tmp_path: Path) -> tuple[Rate, str]:
    url = f"sqlite:///{tmp_path / 'controller.db'}"
    engine = open_database(url)
    migrate.upgrade(engine)
    add_annex(engine)
    device_ids = add_devices(engine, DEVICES)
    with running_broker(plain=True, database_url=url) as broker:
        broker.allow_plain(device_ids)
        plan = Plan(
            port=broker.plain_port, password=broker.plain_password, devices=device_ids, beats=BEATS,
            begun=str(tmp_path / "begun"), go=str(tmp_path / "go"),
        )  # fmt: skip
        (tmp_path / "plan.json").write_bytes(msgspec.json.encode(plan))
        with running_ingest(broker.home) as ingest:
            measured = {"broker": psutil.Process(broker.pid), "ingest": psutil.Process(ingest.pid)}
            load = subprocess.Popen([sys.executable, "-m", "tests.bench.beat_load", tmp_path / "plan.json"], cwd=root())
            try:
                size = _start(load, tmp_path)
                machine = _busy()
                before, began = {name: _cpu(p) for name, p in measured.items()}, time.monotonic()
                assert load.wait(300) == 0
                seconds = time.monotonic() - began
                busy = _busy() - machine
                spent = {name: _cpu(p) - before[name] for name, p in measured.items()}
            finally:
                load.kill()
                load.wait()
    with reading(engine) as db:
        assert db.scalar(select(func.count()).select_from(History)) == DEVICES * BEATS, "every beat once"
    engine.dispose()
    count = DEVICES * BEATS
    text = (
        f"{count:,} beats of {METRICS} metrics, {size} bytes a frame, from {DEVICES:,} devices, acknowledged end "
        f"to end in {seconds:.1f} s: {count / seconds:,.0f} beats/s\n"
        + ", ".join(f"{name} {cpu / count * 1e6:.0f} us a beat" for name, cpu in spent.items())
        + f"; {psutil.cpu_count()} processors, {busy / seconds:.1f} of them busy, all programs of the machine together"
    )
    return Rate(count * METRICS, seconds, sum(spent.values())), text


def _zabbix(tmp_path: Path) -> Rate:
    count = ZABBIX_HOSTS * METRICS * ZABBIX_ROUNDS
    begun, go = tmp_path / "zabbix-begun", tmp_path / "zabbix-go"
    with zabbix.running_zabbix(hosts=ZABBIX_HOSTS, metrics=METRICS) as server:
        words = [server.port, ZABBIX_HOSTS, METRICS, ZABBIX_ROUNDS, begun, go]
        load = subprocess.Popen([sys.executable, "-m", "tests.bench.zabbix_load", *map(str, words)], cwd=root())
        try:
            _until(begun, load)
            had, before, began = server.stored(), server.cpu_seconds(), time.monotonic()
            go.touch()
            assert load.wait(300) == 0
            while server.stored() < had + count:
                assert time.monotonic() - began < 300, f"Zabbix stored {server.stored() - had} of {count}"
                time.sleep(0.2)
            return Rate(count, time.monotonic() - began, server.cpu_seconds() - before)
        finally:
            load.kill()
            load.wait()


def _start(load: subprocess.Popen[bytes], tmp_path: Path) -> int:
    """Let a load process begin, once it is ready; gives the size of its frames."""
    _until(tmp_path / "begun", load)
    (tmp_path / "go").touch()
    return int((tmp_path / "begun").read_text() or 0)


def _until(file: Path, load: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert load.poll() is None, "the load ended before it began"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _busy() -> float:
    """Seconds that the machine's processors were not idle."""
    times = psutil.cpu_times()
    return float(times.user + times.system + times.nice + times.irq + times.softirq)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
