"""Runs the few programs that collectors need: never through a shell, always with a time limit and an output limit.

Collectors that use this are `blocking`.  Where the system has posix_spawn, subprocess is not loaded: half a MiB that
would stay for good after the first program.
"""

import contextlib
import importlib
import os
import selectors
import signal
import time
from typing import Any, NamedTuple

from annexfleet_agent.protocol.messages import ProblemCode

_MOST_BYTES = 4 * 1024 * 1024


class ProgramFailed(Exception):
    """A program ended with an error."""

    problem_code: ProblemCode = "failed"


def find(name: str) -> str | None:
    """Where a program is on the PATH; None if it is not installed."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)  # noqa: PTH118  # pathlib would cost more than the look-up
        if os.access(path, os.X_OK):
            return path
    return None


def output_of(argv: list[str], *, timeout_s: float, gently: bool = False) -> str:
    """What a program prints, in the language C.

    `gently` runs it at the lowest priority for processor and disk.  Raises TimeoutError, OSError if it cannot be
    started, or ProgramFailed if its exit status is not 0.
    """
    if gently:
        argv = [*_prefix("ionice", "-c", "3"), *_prefix("nice", "-n", "19"), *argv]
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
    run = _run if hasattr(os, "posix_spawn") else _run_elsewhere
    done = run(argv, environment, timeout_s)
    if done.status != 0:
        last = done.complaint.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise ProgramFailed(f"exit status {done.status}: {last[:120]}")
    return done.output.decode("utf-8", "replace")


class _Done(NamedTuple):
    status: int
    output: bytes
    complaint: bytes


def _run(argv: list[str], environment: dict[str, str], timeout_s: float) -> _Done:
    """In a process group of its own, which is killed whole when the time is over."""
    ends_at = time.monotonic() + timeout_s
    (output, output_in), (complaint, complaint_in) = os.pipe(), os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output_in, 1),
        (os.POSIX_SPAWN_DUP2, complaint_in, 2),
    ]
    try:
        try:
            # Nothing else is handed down: Python opens its descriptors so that they close on exec.
            pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions, setpgroup=0)
        finally:
            os.close(output_in)
            os.close(complaint_in)
        try:
            said = _read_all(output, complaint, ends_at)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from None
    finally:
        os.close(output)
        os.close(complaint)
    return _Done(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), *said)


def _read_all(output: int, complaint: int, ends_at: float) -> tuple[bytes, bytes]:
    """What comes from both until they end; what is too much is read and dropped.  Raises TimeoutError."""
    said = {output: bytearray(), complaint: bytearray()}
    with selectors.DefaultSelector() as selector:
        for descriptor in said:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
                piece = os.read(key.fd, 65536)
                if not piece:
                    selector.unregister(key.fd)
                said[key.fd] += piece[: _MOST_BYTES - len(said[key.fd])]
    return bytes(said[output]), bytes(said[complaint])


def _run_elsewhere(argv: list[str], environment: dict[str, str], timeout_s: float) -> _Done:
    subprocess: Any = importlib.import_module("subprocess")
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from None
    return _Done(done.returncode, done.stdout[:_MOST_BYTES], done.stderr)


def _prefix(name: str, *arguments: str) -> list[str]:
    path = find(name)
    return [path, *arguments] if path else []
