"""A module in a warm Python, as `execution` wants to see what runs."""

from pathlib import Path

from annexfleet_agent.protocol.envelope import Module
from annexfleet_agent.runner.process import Fence
from annexfleet_agent.runner.warmth import Lost, NeverStarted, Warm

NEVER_STARTED = "never_started"
"""The error of a module of which nothing was done: it may be run by `warmth.plain`."""


class WarmRun:
    """One module; `execution.Started`."""

    stdin = -1

    def __init__(self, warm: Warm, module: Module, archive: Path, output: int, errors: int, *, fence: Fence) -> None:
        """The fence is its own from now on.  Raises warmth.Cold; the fence is closed then."""
        self._fence = fence
        self._fault = ""
        try:
            self._started = warm.start(module, archive, output, errors, entrance=fence.entrance, limits=fence.resources)
        except BaseException:
            fence.close()
            raise
        self._session = 0

    @property
    def pids(self) -> list[int]:
        """None: its processes are the warm Python's children."""
        return []

    def fileno(self) -> int:
        return self._started.fileno()

    def exit_code(self) -> int | None:
        self._notice()
        try:
            return self._started.exit_code()
        except NeverStarted:
            self._fault = NEVER_STARTED
        except Lost:
            self._fault = "unknown"
        return -1

    def kill(self) -> None:
        self._notice()
        self._fence.kill()
        self._started.cancel()

    def close_stdin(self) -> None:
        """It has none."""

    def error(self) -> str:
        return "memory" if self._fence.was_out_of_memory() else self._fault

    def close(self) -> None:
        self._started.close()
        self._fence.close()

    def _notice(self) -> None:
        if not self._session and self._started.pid:
            self._session = self._started.pid
            self._fence.began(self._session)
