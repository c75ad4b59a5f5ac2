"""Runs the few programs that collectors need: never through a shell, always with a time limit and an output limit.

Collectors that use this are `blocking`.  subprocess costs 2.4 MiB, so it is loaded when the first program runs.
"""

import importlib
import os
from typing import Any

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
    subprocess: Any = importlib.import_module("subprocess")
    if gently:
        argv = [*_prefix("ionice", "-c", "3"), *_prefix("nice", "-n", "19"), *argv]
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from None
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
        raise ProgramFailed(f"exit status {done.returncode}: {last[:120]}")
    text: str = done.stdout[:_MOST_BYTES].decode("utf-8", "replace")
    return text


def _prefix(name: str, *arguments: str) -> list[str]:
    path = find(name)
    return [path, *arguments] if path else []
