"""What a reading alone does not tell: whether a queue moves, whether a printer's pages do.

A track remembers the last half hour of one queue or printer.  It is kept in memory by the watch loop and begins anew
when that is started: until enough was seen, what it would tell is unknown.
"""

from collections import deque
from datetime import datetime, timedelta

_QUEUE_SPAN = timedelta(minutes=30)
_PRINTER_SPAN = timedelta(minutes=12)
_GROWS_BY = 3
"""So many more people than half an hour ago count as growth; one or two are chance."""
_REPORTS_SHIFT_S = 30.0
"""By so much the moments of two reports may be off, against the figures in them."""
_ENOUGH = 0.8
"""Share of the span that must have been seen before anything is said."""


class QueueTrack:
    """One queue of people."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, float]] = deque()
        self._served: float | None = None
        self._longest_s: float | None = None
        self._waiting: float | None = None
        self._called_at: datetime | None = None
        self._began_at: datetime | None = None

    def see(self, at: datetime, *, waiting: float | None, longest_wait_s: float | None, served: float | None) -> None:
        """Take in a newer report; an older one, or a repeat, changes nothing."""
        if waiting is None or (self._seen and at <= self._seen[-1][0]):
            return
        if self._began_at is None:
            self._began_at = at
        elapsed_s = (at - self._seen[-1][0]).total_seconds() if self._seen else 0.0
        if waiting == 0 or self._was_called(waiting, longest_wait_s, served, elapsed_s):
            self._called_at = at
        self._waiting, self._longest_s, self._served = waiting, longest_wait_s, served
        self._seen.append((at, waiting))
        while self._seen[-1][0] - self._seen[0][0] > _QUEUE_SPAN and len(self._seen) > 2:
            self._seen.popleft()

    def _was_called(self, waiting: float, longest_wait_s: float | None, served: float | None, elapsed_s: float) -> bool:
        """Somebody left the queue: more were served, fewer wait, or whoever waited longest is no longer there.

        Who stood first and still does has waited longer by as much as has passed; that tells most where few wait and
        each report finds somebody else, and where as many drop out of the last hour's count as come into it.
        """
        if served is not None and self._served is not None and served > self._served:
            return True
        if self._waiting is not None and waiting < self._waiting:
            return True
        if longest_wait_s is None or self._longest_s is None:
            return False
        return longest_wait_s < self._longest_s + max(0.0, elapsed_s - _REPORTS_SHIFT_S)

    def seen_after(self, moment: datetime) -> bool:
        return bool(self._seen) and self._seen[-1][0] > moment

    def no_call_s(self, now: datetime) -> float | None:
        """For how long people wait and nobody was called; 0 if nobody waits, None if that is not known yet."""
        if self._waiting is None:
            return None
        if self._waiting == 0:
            return 0.0
        since = self._called_at or self._began_at
        return None if since is None else max(0.0, (now - since).total_seconds())

    def grows(self) -> bool | None:
        """Whether clearly more people wait than half an hour ago; None until half an hour was seen."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < _ENOUGH * _QUEUE_SPAN:
            return None
        return self._seen[-1][1] >= self._seen[0][1] + _GROWS_BY


class PrinterTrack:
    """One printer's documents and pages."""

    def __init__(self) -> None:
        self._seen: deque[tuple[datetime, float | None, float | None]] = deque()
        self._moved_at: datetime | None = None
        self._processes = False

    def see(self, at: datetime, *, jobs: float | None, pages: float | None, processing: bool = True) -> None:
        """Take in a newer report; an older one, or a repeat, changes nothing."""
        if self._seen and at <= self._seen[-1][0]:
            return
        before = self._seen[-1][2] if self._seen else None
        begins = processing and not self._processes  # before, it was idle or blocked, and owed no pages
        self._processes = processing
        if self._moved_at is None or pages is None or pages != before or begins:
            self._moved_at = at
        self._seen.append((at, jobs, pages))
        while self._seen[-1][0] - self._seen[0][0] > _PRINTER_SPAN and len(self._seen) > 2:
            self._seen.popleft()

    def seen_after(self, moment: datetime) -> bool:
        return bool(self._seen) and self._seen[-1][0] > moment

    def jobs_grow(self) -> bool | None:
        """Whether more documents wait than ten minutes ago; None until that was seen."""
        known = [(at, jobs) for at, jobs, _ in self._seen if jobs is not None]
        if len(known) < 2 or known[-1][0] - known[0][0] < _ENOUGH * timedelta(minutes=10):
            return None
        return known[-1][1] > known[0][1]

    def still_s(self, now: datetime) -> float | None:
        """For how long it has printed without the page counter moving; None if the printer tells none."""
        if self._moved_at is None or not self._seen or self._seen[-1][2] is None:
            return None
        return max(0.0, (now - self._moved_at).total_seconds())
