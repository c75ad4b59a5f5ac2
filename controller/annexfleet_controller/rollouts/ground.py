"""The directory of a run, `runs/<id>` in the home: its lock, its secrets, and what its process works with.

    lock                held by the run's process while it lives; the kernel drops it when that dies, however it dies
    secrets.json        values of secret variables, from when the run is asked for until it has ended
    bundle/             the run's own copy of the library
    attempt/            what one attempt works with: hosts, variables, Ansible's own places; new for each attempt
    relay.sock          where the connection plugin finds this run's relay

All of it is for the owner's eyes alone, and all of it goes when the run has ended.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from annexfleet_controller.identity import files
from annexfleet_controller.settings import Home

_TRIES = 20
_PAUSE_S = 0.05


class Held(Exception):
    """Another process carries this run out."""


class Ground:
    def __init__(self, home: Home, run_id: int) -> None:
        self.run_id = run_id
        self.home = home.path
        self.directory = home.path / "runs" / str(run_id)

    @property
    def bundle(self) -> Path:
        return self.directory / "bundle"

    @property
    def attempt(self) -> Path:
        return self.directory / "attempt"

    @property
    def relay_socket(self) -> Path:
        return self.directory / "relay.sock"

    @property
    def _lock(self) -> Path:
        return self.directory / "lock"

    @property
    def _secrets(self) -> Path:
        return self.directory / "secrets.json"

    def prepare(self) -> None:
        """Make the directory."""
        files.private_directory(self.directory.parent)
        files.private_directory(self.directory)

    def is_held(self) -> bool:
        """Whether a process of this machine carries the run out."""
        try:
            with self._lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.  Raises Held."""
        self.prepare()
        number = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(number, "rb") as lock:  # noqa: PTH123  # it is open already
            if not any(_locked(lock) for _ in range(_TRIES)):
                raise Held(f"run {self.run_id}")
            yield

    def keep_secrets(self, secrets: Mapping[str, Any]) -> None:
        """Before the run is queued, so that whoever takes it finds them."""
        self.prepare()
        files.write(self._secrets, msgspec.json.encode(secrets))

    def secrets(self) -> dict[str, Any] | None:
        """None where there are none: never given, or lost with the machine that had them."""
        try:
            return msgspec.json.decode(self._secrets.read_bytes(), type=dict[str, Any])
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def clear_attempt(self) -> None:
        """Make place for a new attempt."""
        if self.attempt.exists():
            shutil.rmtree(self.attempt)
        files.private_directory(self.attempt)
        self.relay_socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """When the run has ended.  What cannot be removed now, the supervisor removes later."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _locked(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Perhaps somebody only looks whether it is held.
        time.sleep(_PAUSE_S)
        return False
    return True


def grounds(home: Home) -> list[Ground]:
    """The directories that there are."""
    try:
        names = sorted(place.name for place in (home.path / "runs").iterdir())
    except FileNotFoundError:
        return []
    return [Ground(home, int(name)) for name in names if name.isdecimal()]
