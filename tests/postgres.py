"""A PostgreSQL server of our own for the tests: its own data directory, a free port, stopped by its process.

Nothing is promised to survive a power cut, which makes it fast: fsync is off, and it lies in memory if there is room.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

_ROOM_BYTES = 1 << 30


class Server(NamedTuple):
    """A running server."""

    port: int
    pid: int

    def url(self, database: str) -> str:
        """The address of a database, as SQLAlchemy and controller.toml write it."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def command(self, *statements: str) -> None:
        """Run statements that belong to no transaction, such as CREATE DATABASE."""
        with psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def programs() -> Path | None:
    """Where initdb and postgres are; None if PostgreSQL is not installed."""
    found = [Path(p).parent for p in (shutil.which("initdb"),) if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    return next((p for p in found if (p / "initdb").exists() and (p / "postgres").exists()), None)


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A fresh server, gone again at the end.  `durable` keeps fsync on, for measurements."""
    place = programs()
    assert place is not None, "PostgreSQL is not installed"
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="annexfleet-pg-", dir=None if durable else memory()))
    try:
        if user:
            shutil.chown(directory, user)
        cluster = directory / "data"
        initdb = [place / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(initdb, check=True, user=user, stdout=subprocess.DEVNULL, cwd="/")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(directory),
            "fsync": "on" if durable else "off",
            "max_connections": "60",
            "shared_buffers": "64MB",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [place / "postgres", "-D", cluster, *options], user=user, stdout=log, stderr=log, cwd="/"
            )
        try:
            _wait(port, server, directory / "log")
            yield Server(port, server.pid)
        finally:
            server.send_signal(2)  # SIGINT: "fast" shutdown
            server.wait(timeout=20)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def memory() -> Path | None:
    """A directory in memory with room for databases, if there is one; in a container it is often too small."""
    directory = Path("/dev/shm")
    if not os.access(directory, os.W_OK) or shutil.disk_usage(directory).free < _ROOM_BYTES:
        return None
    return directory


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "PostgreSQL did not answer within 30 s"
            time.sleep(0.05)
        else:
            return
