"""The agent's only loop: sockets, timers and one worker for what blocks, in one thread.

Every callback runs in the thread that calls `run`, `run_until` or `step`, so nothing in the agent needs a lock.  An
exception in a callback is logged and spoils nothing else.  Only `soon` and `stop` may be called from other threads or
from a signal handler.  Many agents can share one loop: the simulator does.
"""

import heapq
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from annexfleet_agent.clock import Clock, SystemClock

log = logging.getLogger(__name__)

_WORKER_STACK_BYTES = 256 * 1024
_LONGEST_WAIT_S = 60.0
"""`select` counts by a clock that stands still while the device sleeps; after waking nobody waits longer than this."""


class TimedOut(Exception):
    """A job took longer than its deadline."""


class TurnedAway(TimedOut):
    """A job was not even begun: too many others hang."""


class Outcome(NamedTuple):
    """What became of a job: its value, or the exception that ended it."""

    value: Any
    error: BaseException | None


class Timer:
    """A callback that is due once."""

    __slots__ = ("_callback", "due")

    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Never call back; harmless if it already did."""
        self._callback = None

    @property
    def waiting(self) -> bool:
        return self._callback is not None

    def take(self) -> Callable[[], object] | None:
        callback, self._callback = self._callback, None
        return callback


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: Callable[[Outcome], object]
    deadline_s: float
    late: Callable[[Outcome], object] | None


class _Worker:
    """A thread that does one job after the other, and what it is at now."""

    def __init__(self) -> None:
        self.job: _Job | None = None
        self.deadline: Timer | None = None
        self.given_up = False


class Loop:
    """Sockets, timers and a worker."""

    def __init__(self, clock: Clock | None = None, *, max_stuck_workers: int = 4) -> None:
        """`max_stuck_workers`: so many jobs may hang past their deadlines before new jobs are turned away."""
        self.clock: Clock = clock or SystemClock()
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_number = 0
        self._soon: deque[Callable[[], object]] = deque()
        self._stopping = False
        # A pipe cannot be selected on Windows.
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, (self._drain_wakes, None))
        self._max_stuck = max_stuck_workers
        self._stuck = 0
        self._worker: _Worker | None = None
        self._jobs: deque[_Job] = deque()
        self._work_waits = threading.Condition()
        self._handed: tuple[_Worker, _Job] | None = None
        self._closed = False

    # -- timers

    def after(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call once, this many seconds from now; never before the current callbacks have returned."""
        timer = Timer(self.clock.mono() + max(0.0, delay_s), callback)
        self._timer_number += 1
        heapq.heappush(self._timers, (timer.due, self._timer_number, timer))
        return timer

    def soon(self, callback: Callable[[], object]) -> None:
        """Call in the loop's thread at its next turn.  May be called from any thread."""
        self._soon.append(callback)
        self._wake()

    # -- sockets

    def watch(
        self,
        sock: socket.socket | int,
        *,
        read: Callable[[], object] | None = None,
        write: Callable[[], object] | None = None,
    ) -> None:
        """Call back whenever the socket can be read or written; replaces what was asked for this socket before.

        Where the system can select them, it may be the descriptor of something else (a pipe, a pidfd).
        """
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        if not events:
            self.unwatch(sock)
            return
        try:
            self._selector.modify(sock, events, (read, write))
        except KeyError:
            self._selector.register(sock, events, (read, write))

    def unwatch(self, sock: socket.socket | int) -> None:
        """Forget a socket; harmless if it is unknown.  To be called before the socket is closed."""
        if self._closed:  # paho closes its sockets again when it is thrown away
            return
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):  # unknown, or closed already
            self._forget_closed()

    def _forget_closed(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket) and key.fileobj.fileno() < 0:
                self._selector.unregister(key.fileobj)

    # -- the worker

    def in_worker(
        self,
        work: Callable[[], Any],
        done: Callable[[Outcome], object],
        *,
        deadline_s: float,
        late: Callable[[Outcome], object] | None = None,
    ) -> None:
        """Do what may block in the worker thread, then call `done` in the loop's thread, exactly once.

        Jobs run one after the other.  A job still running `deadline_s` after its start is reported as TimedOut and its
        thread is given up.  If such a job ends after all, `late` hears of it, and can close what it made.
        """
        self._jobs.append(_Job(work, done, deadline_s, late))
        self._hand_out()

    @property
    def jobs_waiting(self) -> int:
        return len(self._jobs)

    def _hand_out(self) -> None:
        if self._closed or (self._worker is not None and self._worker.job is not None):
            return
        while self._jobs and self._worker is None and self._stuck >= self._max_stuck:
            job = self._jobs.popleft()
            self.soon(lambda job=job: job.done(Outcome(None, TurnedAway("too many jobs hang"))))  # type: ignore[misc]
        if not self._jobs:
            return
        worker = self._worker or self._start_worker()
        worker.job = job = self._jobs.popleft()
        worker.deadline = self.after(job.deadline_s, lambda: self._give_up(worker))
        with self._work_waits:
            self._handed = (worker, job)
            self._work_waits.notify_all()

    def _start_worker(self) -> _Worker:
        self._worker = worker = _Worker()
        before = threading.stack_size(_WORKER_STACK_BYTES)
        try:
            threading.Thread(target=self._work, args=(worker,), name="worker", daemon=True).start()
        finally:
            threading.stack_size(before)
        return worker

    def _work(self, worker: _Worker) -> None:
        while True:
            with self._work_waits:
                self._work_waits.wait_for(lambda: self._closed or worker.given_up or self._is_for(worker))
                if self._closed or worker.given_up or self._handed is None:
                    return
                job = self._handed[1]
                self._handed = None
            try:
                outcome = Outcome(job.work(), None)
            except BaseException as error:  # the fence: whatever it was, `done` has to hear of it
                outcome = Outcome(None, error)
            self.soon(lambda outcome=outcome: self._finished(worker, outcome))  # type: ignore[misc]
            del job, outcome  # while it waits it shall hold nothing of the last job

    def _is_for(self, worker: _Worker) -> bool:
        return self._handed is not None and self._handed[0] is worker

    def _finished(self, worker: _Worker, outcome: Outcome) -> None:
        job, worker.job = worker.job, None
        assert job is not None
        if worker.given_up:
            self._stuck -= 1
            if job.late is not None:
                job.late(outcome)
            return
        if worker.deadline is not None:
            worker.deadline.cancel()
        self._hand_out()
        job.done(outcome)

    def _give_up(self, worker: _Worker) -> None:
        job = worker.job
        assert job is not None
        with self._work_waits:  # it may have finished in this very moment and wait for the next job
            worker.given_up = True
            self._work_waits.notify_all()
        self._stuck += 1
        self._worker = None
        log.warning("a job is past its deadline deadline_s=%s stuck=%s", job.deadline_s, self._stuck)
        self._hand_out()
        job.done(Outcome(None, TimedOut(f"not done after {job.deadline_s:g} s")))

    # -- turning

    def step(self, timeout_s: float = 0.0) -> None:
        """One turn: wait at most so long for something to happen, then do all that is due."""
        wait_s = min(timeout_s, _LONGEST_WAIT_S)
        while self._timers and not self._timers[0][2].waiting:
            heapq.heappop(self._timers)  # a deadline that was met is no reason to wake up
        if self._soon:
            wait_s = 0.0
        elif self._timers:
            wait_s = min(wait_s, max(0.0, self._timers[0][0] - self.clock.mono()))
        for key, events in self._selector.select(wait_s):
            self._react(key, events)
        for _ in range(len(self._soon)):
            self._call(self._soon.popleft())
        now = self.clock.mono()
        due: list[Timer] = []
        while self._timers and self._timers[0][0] <= now:
            due.append(heapq.heappop(self._timers)[2])
        for timer in due:
            callback = timer.take()
            if callback is not None:
                self._call(callback)

    def run(self) -> None:
        """Turn until `stop`."""
        while not self._stopping:
            self.step(_LONGEST_WAIT_S)
        self._stopping = False

    def run_until(self, happened: Callable[[], bool], *, timeout_s: float = 10.0) -> bool:
        """Turn until this is so, at most so many seconds of real time; whether it is so.  For tests and tools."""
        end = time.monotonic() + timeout_s
        while not happened():
            left_s = end - time.monotonic()
            if left_s <= 0:
                return False
            self.step(min(left_s, 0.05))
        return True

    def stop(self) -> None:
        """End `run` after the current turn.  May be called from a signal handler or another thread."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Let the worker go and free what the loop holds; the loop cannot be used afterwards."""
        with self._work_waits:
            self._closed = True
            self._work_waits.notify_all()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _react(self, key: selectors.SelectorKey, events: int) -> None:
        read = key.data[0]
        if events & selectors.EVENT_READ and read is not None:
            self._call(read)
        if not events & selectors.EVENT_WRITE:
            return
        try:  # the read callback may have closed the socket, or changed its mind
            write = self._selector.get_key(key.fileobj).data[1]
        except (KeyError, ValueError):
            return
        if write is not None:
            self._call(write)

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:  # the fence: one thing that goes wrong must not stop all others
            log.exception("a callback failed")

    def _wake(self) -> None:
        with suppress(OSError):  # full: it will wake anyway; closed: nobody is left to wake
            self._wake_in.send(b"\0")

    def _drain_wakes(self) -> None:
        with suppress(BlockingIOError):
            while len(self._wake_out.recv(4096)) == 4096:
                pass
