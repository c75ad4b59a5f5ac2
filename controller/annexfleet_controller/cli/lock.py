"""One controller a home: a lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annexfleet_controller.cli.exits import HomeInUse


@contextmanager
def held(home: Path, name: str) -> Iterator[None]:
    """Hold the lock `run/<name>.lock` of a home.  Raises HomeInUse, naming the process that has it."""
    file = home / "run" / f"{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUse(
                f"annexfleet {name} is already running on {home} (process {_holder(file)}). "
                "Stop it first, or choose another home with --home or ANNEXFLEET_HOME."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def _holder(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() or "unknown"
