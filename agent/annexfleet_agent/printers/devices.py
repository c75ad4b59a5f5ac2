"""Keeps what the printers themselves said: asks those that are due, a few at a time, and never waits for long.

Questions go out from short-lived threads, because name resolution knows no timeout and a switched-off printer costs
the whole of one.  What is not answered within a pass is picked up by the next.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from annexfleet_agent.clock import Clock
from annexfleet_agent.printers.address import Where
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import Seen, Supply

_AT_ONCE = 8
_HURRIED_S = 30.0
"""Printers with old firmware suffer from being asked more often than this."""
_KEPT_PERIODS = 3
"""An answer older than this many periods is no longer shown."""
_BELIEVED_FAILURES = 2
"""A printer that has answered before may miss one question (Wi-Fi, waking up): it is asked again at the next pass."""


class _Record(Struct):
    seen: Seen | None = None
    seen_at: float = 0.0
    failed: Failed | None = None
    failures: int = 0
    asked_at: float | None = None
    asking: bool = False


class Devices:
    """The printers' own answers, by their whereabouts.  `ask` runs in threads; it returns or raises Failed."""

    def __init__(self, ask: Callable[[Where], Seen], clock: Clock, *, period_s: float) -> None:
        self._ask = ask
        self._clock = clock
        self._period_s = period_s
        self._records: dict[Where, _Record] = {}
        self._due: deque[Where] = deque()
        self._threads = 0
        self._changed = threading.Condition()

    def refresh(
        self,
        wheres: Iterable[Where],
        *,
        printing: frozenset[Where],
        hurried: frozenset[Where] = frozenset(),
        wait_s: float,
    ) -> None:
        """Ask those that are due, and wait for the answers for at most so long.  Forgets the printers not named.

        `printing`: old firmware among these is left alone.  `hurried`: somebody waits for these to be well again.
        """
        with self._changed:
            self._records = {where: self._records.get(where) or _Record() for where in wheres}
            for where, record in self._records.items():
                period_s = min(self._period_s, _HURRIED_S) if where in hurried else self._period_s
                if self._is_due(record, period_s, printing=where in printing):
                    record.asking = True
                    record.asked_at = self._clock.mono()
                    self._due.append(where)
            for _ in range(min(_AT_ONCE - self._threads, len(self._due))):
                self._threads += 1
                threading.Thread(target=self._work, name="printer", daemon=True).start()
            self._changed.wait_for(lambda: not any(r.asking for r in self._records.values()), timeout=wait_s)

    def answer(self, where: Where) -> Seen | Failed | None:
        """The last answer, or why there is none; None while the first question is still under way."""
        with self._changed:
            record = self._records.get(where)
            if record is None:
                return None
            fresh = self._clock.mono() - record.seen_at <= _KEPT_PERIODS * self._period_s
            if record.seen is not None and fresh and record.failures < _BELIEVED_FAILURES:
                return record.seen
            if record.failed is None and record.seen is not None:
                return Failed("stale", "the last answer is too old")
            return record.failed

    def answered_at(self, where: Where) -> float:
        """When the last good answer came, on the steady clock; minus infinity if there is none."""
        with self._changed:
            record = self._records.get(where)
            return float("-inf") if record is None or record.seen is None else record.seen_at

    def known(self, where: Where) -> Seen | None:
        """The last good answer, however old: who a printer is does not go stale."""
        with self._changed:
            record = self._records.get(where)
            return record.seen if record else None

    def _is_due(self, record: _Record, period_s: float, *, printing: bool) -> bool:
        if record.asking:
            return False
        if printing and record.seen is not None and record.seen.old_firmware:
            return False
        if record.asked_at is None or 0 < record.failures < _BELIEVED_FAILURES:
            return True
        # A little early rather than a whole pass late: passes come at a multiple of their own period.
        return self._clock.mono() - record.asked_at >= period_s * 0.95

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    self._threads -= 1
                    return
                where = self._due.popleft()
            try:
                outcome: Seen | Failed = self._ask(where)
            except Failed as failed:
                outcome = failed
            except Exception as error:  # the fence around one printer: its oddities are its own
                outcome = Failed("failed", f"{type(error).__name__}: {error}")
            with self._changed:
                self._keep(where, outcome)
                self._changed.notify_all()

    def _keep(self, where: Where, outcome: Seen | Failed) -> None:
        record = self._records.get(where)
        if record is None:  # it was taken out of the settings meanwhile
            return
        record.asking = False
        if isinstance(outcome, Failed):
            record.failed = outcome
            # One that never answered has nothing to fall back on: its failure is believed at once.
            record.failures = _BELIEVED_FAILURES if record.seen is None else record.failures + 1
            return
        record.seen = with_kept_levels(outcome, record.seen)
        record.seen_at = self._clock.mono()
        record.failed, record.failures = None, 0


def with_kept_levels(new: Seen, old: Seen | None) -> Seen:
    """A sleeping printer forgets its levels; then the last ones known stand."""
    if old is None or "sleep_or_warmup" not in {*new.causes, *new.alert_causes}:
        return new
    known = {supply.name: supply.level for supply in old.supplies}
    return replace(new, supplies=[_kept(supply, known.get(supply.name)) for supply in new.supplies])


def _kept(supply: Supply, level: float | None) -> Supply:
    return supply if supply.level is not None else replace(supply, level=level)
