"""Background processes of a home: started with a file that tells who they are, found again, and stopped for good."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

STOP_WITHIN_S = 20.0


def start(run_dir: Path, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str]) -> psutil.Process:
    """Start a process that outlives this one, unless it runs already; what it prints goes to the log."""
    running = find(run_dir, name)
    if running is not None:
        return running
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        started = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), start_new_session=True
        )
    process = psutil.Process(started.pid)
    # A number alone may belong to somebody else after a restart of the machine; the moment of its start tells.
    note = json.dumps({"pid": process.pid, "started": process.create_time()})
    _file(run_dir, name).write_text(note, encoding="ascii")
    return process


def find(run_dir: Path, name: str) -> psutil.Process | None:
    """The process of that name if it still runs."""
    try:
        note = json.loads(_file(run_dir, name).read_text(encoding="ascii"))
        process = psutil.Process(note["pid"])
        if abs(process.create_time() - note["started"]) > 1 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    return process


def stop(run_dir: Path, *names: str) -> list[str]:
    """Stop these together, with everything they started; the names of those that ran."""
    running = {name: process for name in names if (process := find(run_dir, name)) is not None}
    family = [member for process in running.values() for member in (process, *process.children(recursive=True))]
    for process in running.values():
        process.terminate()
    _, left = psutil.wait_procs(family, timeout=STOP_WITHIN_S)
    for stubborn in left:
        stubborn.kill()
    psutil.wait_procs(left, timeout=STOP_WITHIN_S)
    for name in names:
        _file(run_dir, name).unlink(missing_ok=True)
    return list(running)


def _file(run_dir: Path, name: str) -> Path:
    return run_dir / f"{name}.json"
