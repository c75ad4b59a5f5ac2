"""When the inventory is taken: soon after the start, once a day, and after a run or a command was at work here.

It is sent only when it changed; but whoever had something changed here waits to hear how the device is now, and must
learn that nothing changed, too.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from annexfleet_agent.loop import Loop, Outcome, Timer
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages

if TYPE_CHECKING:
    from annexfleet_agent.collectors.inventory import Taken

log = logging.getLogger(__name__)

AFTER_START_S = 20.0
PERIOD_S = 86_400.0
AFTER_WORK_S = 20.0
"""Of quiet, after the last that a run or a command said."""
_DEADLINE_S = 120.0
_NOTED = "inventory"

Printers = Sequence[dict[str, messages.Value]]


class Stocktaking:
    """One device's.  Belongs to the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        outbox: Outbox,
        take: "Callable[[Printers], Taken] | None",
        *,
        printers: Callable[[], Printers],
        put: Callable[[messages.Inventory], object],
    ) -> None:
        """`take` is given the printers and blocks: it runs in the worker.  None: there is no inventory to tell."""
        self._loop = loop
        self._outbox = outbox
        self._take = take
        self._printers = printers
        self._put = put
        self._next: Timer | None = None
        self._quiet: Timer | None = None
        self._worked_at = 0.0

    def start(self, *, jitter: float) -> None:
        """`jitter`: about 1, so that devices that come back with the mains do not all speak at once."""
        if self._take is not None:
            self._next = self._loop.after(AFTER_START_S * jitter, self._look)

    def stop(self) -> None:
        for timer in (self._next, self._quiet):
            if timer is not None:
                timer.cancel()

    def worked(self) -> None:
        """A run or a command is at work here, or was."""
        self._worked_at = self._loop.clock.mono()
        if self._quiet is None and self._take is not None:
            self._quiet = self._loop.after(AFTER_WORK_S, self._look_after_work)

    def _look_after_work(self) -> None:
        left_s = AFTER_WORK_S - (self._loop.clock.mono() - self._worked_at)
        if left_s > 0:
            self._quiet = self._loop.after(left_s, self._look_after_work)
            return
        self._quiet = None
        self._outbox.note(_NOTED, "")
        self._look()

    def _look(self) -> None:
        assert self._take is not None
        if self._next is not None:
            self._next.cancel()
        self._next = self._loop.after(PERIOD_S, self._look)
        take, printers = self._take, self._printers()
        self._loop.in_worker(lambda: take(printers), self._took, deadline_s=_DEADLINE_S)

    def _took(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("the inventory could not be taken error=%r", outcome.error)
            return
        taken: Taken = outcome.value
        if taken.digest == self._outbox.noted(_NOTED):
            return
        self._put(
            messages.Inventory(
                seq=UNNUMBERED, at=round(self._loop.clock.now()), digest=taken.digest, hardware=taken.hardware,
                os=taken.os, packages_digest=taken.packages_digest, packages=taken.packages, printers=taken.printers,
            )
        )  # fmt: skip
        self._outbox.note(_NOTED, taken.digest)
