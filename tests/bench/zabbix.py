"""A Zabbix server of our own, as Debian packages it, to compare with: PostgreSQL, and values sent in by trapper."""

import contextlib
import gzip
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from tests import postgres

_SQL = Path("/usr/share/zabbix-server-pgsql")

_CONFIGURATION = """\
ListenIP=127.0.0.1
ListenPort={port}
DBHost=127.0.0.1
DBPort={database_port}
DBName=zabbix
DBUser=postgres
LogFile={directory}/zabbix.log
PidFile={directory}/zabbix.pid
SocketDir={directory}
StartTrappers=4
StartDBSyncers=4
StartPollers=1
StartPollersUnreachable=1
StartPingers=0
StartDiscoverers=0
StartHTTPPollers=0
StartPreprocessors=1
StartLLDProcessors=1
StartAlerters=1
StartEscalators=1
StartReportWriters=0
StartTimers=1
CacheSize=128M
HistoryCacheSize=256M
HistoryIndexCacheSize=64M
TrendCacheSize=64M
ValueCacheSize=64M
HousekeepingFrequency=0
AllowUnsupportedDBVersions=1
"""


def missing() -> str:
    """What has to be installed before; empty if nothing."""
    if shutil.which("zabbix_server", path="/usr/sbin") is None or not (_SQL / "schema.sql.gz").exists():
        return "Zabbix is not installed (Debian: zabbix-server-pgsql)"
    return "" if postgres.programs() else "PostgreSQL is not installed"


class Zabbix:
    """A running server with `hosts` hosts of `metrics` trapper items each."""

    def __init__(self, port: int, database: str, processes: Sequence[psutil.Process], hosts: int, metrics: int) -> None:
        self.port = port
        self.hosts = hosts
        self.metrics = metrics
        self._database = database
        self._processes = processes

    def send(self, values: list[dict[str, object]]) -> None:
        """Hand over values as zabbix_sender does; each must be taken."""
        body = json.dumps({"request": "sender data", "data": values}, separators=(",", ":")).encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(b"ZBXD\x01" + len(body).to_bytes(8, "little") + body)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert f"processed: {len(values)}; failed: 0".encode() in answer, answer

    def stored(self) -> int:
        """How many values are in the database."""
        with psycopg.connect(self._database) as db:
            row = db.execute("SELECT count(*) FROM history").fetchone()
            assert row is not None
            return int(row[0])

    def cpu_seconds(self) -> float:
        """Of the server and its PostgreSQL, children included that ended."""
        total = 0.0
        for root in self._processes:
            for process in (root, *root.children(recursive=True)):
                times = process.cpu_times()
                total += times.user + times.system
            times = root.cpu_times()
            total += times.children_user + times.children_system
        return total


@contextmanager
def running_zabbix(*, hosts: int, metrics: int) -> Iterator[Zabbix]:
    """A server that took in its hosts and items already."""
    directory = Path(tempfile.mkdtemp(prefix="annexfleet-zabbix-"))
    with postgres.running(durable=True) as server:
        server.command("CREATE DATABASE zabbix")
        database = f"host=127.0.0.1 port={server.port} user=postgres dbname=zabbix"
        with psycopg.connect(database) as db:
            for name in ("schema", "images", "data"):
                db.execute(gzip.decompress((_SQL / f"{name}.sql.gz").read_bytes()))
        with psycopg.connect(database) as db:
            _add_hosts(db, hosts, metrics)
        port = _free_low_port()
        configuration = directory / "zabbix_server.conf"
        configuration.write_text(_CONFIGURATION.format(port=port, database_port=server.port, directory=directory))
        user = "zabbix" if os.geteuid() == 0 else None
        if user:
            shutil.chown(directory, user)
        program = subprocess.Popen(["/usr/sbin/zabbix_server", "-f", "-c", configuration], user=user)
        try:
            roots = [psutil.Process(program.pid), psutil.Process(server.pid)]
            zabbix = Zabbix(port, database, roots, hosts, metrics)
            _wait(zabbix, program, directory / "zabbix.log")
            yield zabbix
        finally:
            program.terminate()
            program.wait(60)
            shutil.rmtree(directory, ignore_errors=True)


def _add_hosts(db: psycopg.Connection[tuple[object, ...]], hosts: int, metrics: int) -> None:
    db.execute(
        "INSERT INTO hosts (hostid, host, name, status, flags, description) "
        "SELECT 100000 + h, 'host' || h, 'host' || h, 0, 0, '' FROM generate_series(1, %s) h",
        (hosts,),
    )
    db.execute(
        "INSERT INTO hosts_groups (hostgroupid, hostid, groupid) "
        "SELECT 100000 + h, 100000 + h, (SELECT min(groupid) FROM hstgrp) FROM generate_series(1, %s) h",
        (hosts,),
    )
    db.execute(
        "INSERT INTO items (itemid, type, hostid, name, key_, delay, history, trends, status, value_type, params, "
        "description, posts, headers) "
        "SELECT 1000000 + h * 1000 + m, 2, 100000 + h, 'm' || m, 'm' || m, '0', '90d', '365d', 0, 0, '', '', '', '' "
        "FROM generate_series(1, %s) h, generate_series(1, %s) m",
        (hosts, metrics),
    )
    db.execute("INSERT INTO item_rtdata (itemid) SELECT itemid FROM items WHERE itemid > 1000000")


def _free_low_port() -> int:
    """Zabbix takes none above 32767, where the system's own choice begins."""
    for port in random.sample(range(20_000, 32_767), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port")


def _wait(zabbix: Zabbix, program: subprocess.Popen[bytes], log: Path) -> None:
    probe: list[dict[str, object]] = [{"host": f"host{zabbix.hosts}", "key": f"m{zabbix.metrics}", "value": "1"}]
    deadline = time.monotonic() + 90
    while True:
        try:
            zabbix.send(probe)
        except (OSError, AssertionError):
            assert program.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        else:
            return
