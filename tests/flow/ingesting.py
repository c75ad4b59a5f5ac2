"""The ingest process of a home, for tests that kill it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annexfleet_controller.settings import Home

_PROGRAM = """
import logging, signal, sys, threading
from pathlib import Path
from annexfleet_controller import settings
from annexfleet_controller.ingest import subscriber

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
subscriber.run(settings.load(Path(sys.argv[1])), stop)
"""


class Ingest:
    """A process that listens to the broker of a home."""

    def __init__(self, home: Home, **environment: str) -> None:
        self._home = home
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log = home.path / "ingest.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, self._home.path],
                stdout=log,
                stderr=log,
                env={**os.environ, "ANNEXFLEET_DATABASE_URL": self._home.database_url, **self._environment},
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9"""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """An orderly end; harmless if it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None


@contextmanager
def running_ingest(home: Home, **environment: str) -> Iterator[Ingest]:
    """An ingest process for this home; ends with the block.  The tables must be there."""
    ingest = Ingest(home, **environment)
    ingest.start()
    try:
        yield ingest
    finally:
        ingest.stop()


def root() -> Path:
    """The directory from which `python -m tests...` works."""
    return Path(__file__).parents[2]
