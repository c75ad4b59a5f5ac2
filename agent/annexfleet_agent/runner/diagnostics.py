"""What a technician wants to see of a device that gives trouble, as one .tar.gz of bounded size on standard output.

No command line, user, document or job is in it: processes by their bare name, queues without what waits in them, and
addresses of printers without credentials.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec
import psutil

from annexfleet_agent import settings as settings_
from annexfleet_agent import status

MAX_FILE_BYTES = 400_000
"""Of each file in it, before it is packed; the end is kept, for there stands what was last."""
_PROGRAM_S = 20.0
_COLLECTORS_S = 180.0
_PROCESSES = 40
_CREDENTIALS = re.compile(rb"(://)[^\s\"'<>]+@")
_UNITS = ("--unit=annexfleet-agent", "--unit=annexfleet-runner")
_PROGRAMS: tuple[tuple[str, Sequence[str]], ...] = (
    ("agent-log.txt", ("journalctl", *_UNITS, "--lines=1000", "--no-pager", "--output=short-iso")),
    ("boots.txt", ("journalctl", "--list-boots", "--no-pager")),
    ("failed-units.txt", ("systemctl", "list-units", "--failed", "--no-pager", "--plain")),
    ("printers.txt", ("lpstat", "-r", "-d", "-p", "-v", "-a")),
    ("addresses.txt", ("ip", "address")),
    ("routes.txt", ("ip", "route")),
    ("disks.txt", ("df", "--human-readable", "--print-type")),
    ("memory.txt", ("free", "--mebi")),
    ("uptime.txt", ("uptime", "--pretty")),
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Write the archive; the exit code."""
    parser = argparse.ArgumentParser(prog="annexfleet_agent.runner.diagnostics", description=__doc__)
    parser.add_argument("--settings", type=Path)
    path = settings_.path_from(str(found) if (found := parser.parse_args(argv).settings) else None)
    try:
        settings = settings_.load(path)
    except settings_.BadSettings as error:
        print(error, file=sys.stderr)  # noqa: T201  # the answer's other stream
        return 2
    pack(settings, path, sys.stdout.buffer, now=time.time())
    return 0


def pack(settings: settings_.Settings, path: Path | None, to: IO[bytes], *, now: float) -> None:
    """Write the archive.  What cannot be had is a file that says why."""
    entries: list[tuple[str, Callable[[], bytes]]] = [
        ("status.json", lambda: _status(settings)),
        ("readings.json", lambda: _readings(path)),
        ("processes.txt", _processes),
        *((name, lambda argv=argv: _output(argv, _PROGRAM_S)) for name, argv in _PROGRAMS),
    ]
    with tarfile.open(fileobj=to, mode="w|gz") as archive:
        for name, take in entries:
            try:
                content = take()
            except (OSError, ValueError, subprocess.SubprocessError, psutil.Error) as error:
                content = f"not to be had: {error}\n".encode()
            content = _CREDENTIALS.sub(rb"\1", content)[-MAX_FILE_BYTES:]
            entry = tarfile.TarInfo(f"diagnostics/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(now), 0o600
            archive.addfile(entry, io.BytesIO(content))


def _status(settings: settings_.Settings) -> bytes:
    found = status.read(settings.state_dir)
    return b"the agent never ran\n" if found is None else msgspec.json.format(msgspec.json.encode(found))


def _readings(path: Path | None) -> bytes:
    argv = [sys.executable, "-m", "annexfleet_agent", *(("--settings", str(path)) if path else ()), "check", "--json"]
    return _output(argv, _COLLECTORS_S)


def _output(argv: Sequence[str], seconds: float) -> bytes:
    if shutil.which(argv[0]) is None:
        return f"there is no {argv[0]} here\n".encode()
    done = subprocess.run(  # noqa: S603  # written out above
        list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
    )
    return done.stdout + (done.stderr[-2000:] if done.returncode else b"")


def _processes() -> bytes:
    """Those that hold most memory: its share, and what they have used of a processor."""
    found = []
    for process in psutil.process_iter(["name", "memory_info", "cpu_times", "pid"]):
        memory, cpu = process.info["memory_info"], process.info["cpu_times"]
        if memory is not None and cpu is not None:
            found.append((memory.rss, cpu.user + cpu.system, process.info["pid"], process.info["name"]))
    lines = [f"{'MiB':>8} {'cpu s':>9} {'pid':>8} name"]
    lines += [
        f"{rss / 2**20:8.1f} {cpu:9.1f} {pid:8} {name}" for rss, cpu, pid, name in sorted(found)[: -_PROCESSES - 1 : -1]
    ]
    return ("\n".join(lines) + "\n").encode()


if __name__ == "__main__":
    sys.exit(main())
