"""Time that a test turns: a clock, and a loop on it without threads."""

from collections.abc import Callable
from typing import Any

from annexfleet_agent.loop import Loop, Outcome


class TurnedClock:
    """Wall clock and steady clock of a device, both standing still until turned."""

    def __init__(self, now: float = 1_795_400_000.0, mono: float = 1000.0) -> None:
        self._now = now
        self._mono = mono

    def now(self) -> float:
        return self._now

    def mono(self) -> float:
        return self._mono

    def turn(self, seconds: float) -> None:
        """Time passes."""
        self._now += seconds
        self._mono += seconds

    def set_wall(self, by_seconds: float) -> None:
        """Somebody sets the device's clock; no time passes."""
        self._now += by_seconds


class TurnedLoop(Loop):
    """A loop whose jobs are done at its next turn, in its own thread; so nothing depends on real time."""

    def in_worker(
        self,
        work: Callable[[], Any],
        done: Callable[[Outcome], object],
        *,
        deadline_s: float,
        late: Callable[[Outcome], object] | None = None,
    ) -> None:
        def do() -> None:
            try:
                outcome = Outcome(work(), None)
            except Exception as error:
                outcome = Outcome(None, error)
            done(outcome)

        self.soon(do)
