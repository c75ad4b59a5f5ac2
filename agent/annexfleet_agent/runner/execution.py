"""One piece of work whose output goes out as fast as the other side takes it, and no longer than it may take.

The end of its first process is the end of the work: what it left behind in the background (a job that Ansible will ask
for, a service) goes on, though it may hold the pipes.  To cancel ends everybody.
"""

import os
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol.channel import DATA_BYTES
from annexfleet_agent.runner.process import Limits

Stream = Literal["output", "errors"]

AFTER_EXIT_S = 0.3
"""So long a pipe may stay open after the end of the process that was waited for."""
_AFTER_KILL_S = 5.0
_POLL_S = 0.05
_PIPE_BYTES = 64 * 1024


class Started(Protocol):
    """What runs."""

    @property
    def stdin(self) -> int:
        """Its standard input, not to block; -1 if it is closed or it has none."""

    @property
    def pids(self) -> list[int]:
        """Of children of this process for whom it waits itself."""

    def fileno(self) -> int:
        """Readable when there is news of it; -1 if it has to be asked."""

    def exit_code(self) -> int | None: ...
    def kill(self) -> None: ...
    def close_stdin(self) -> None: ...
    def error(self) -> str:
        """Which limit it died of; empty if of none."""

    def close(self) -> None: ...


class Ended(Struct, frozen=True):
    """`error` as in `protocol.envelope.Result`; empty: it ended by itself, with this code.  A code below 0 is the
    signal that killed it."""

    exit_code: int = 0
    error: str = ""
    detail: str = ""


class Execution:
    """Something that runs."""

    def __init__(
        self,
        loop: Loop,
        start: Callable[[int, int], Started],
        *,
        limits: Limits,
        heard: Callable[[Stream, bytes], object],
        may_hear: Callable[[], bool],
        fed: Callable[[], object],
        ended: Callable[[Ended], object],
    ) -> None:
        """`start` is given the descriptors for output and errors.  `heard` gets what is written to them, only while
        `may_hear`; `fed` is called for each `feed` that was written to its standard input, or is not wanted any more.
        `ended` is called once, last, and from the loop.

        Raises what `start` raises.
        """
        self._loop = loop
        self._limits = limits
        self._heard, self._may_hear, self._fed, self._ended = heard, may_hear, fed, ended
        self._input: deque[memoryview] = deque()
        self._input_over = False
        self._output_bytes = 0
        self._left: dict[int, int] = {}
        """By pipe, once the process ended: how much may still lie in it of what the process wrote."""
        self._exit_code: int | None = None
        self._fate: Ended | None = None
        self._over = False
        self._pipes: dict[int, Stream] = {}
        self._started = self._start(start)
        self._timers: list[Timer] = [loop.after(limits.seconds, lambda: self.kill("timed_out"))]
        self._end_seen = self._started.fileno()
        if self._end_seen >= 0:
            loop.watch(self._end_seen, read=self._look)
        else:
            self._poll()
        self.go_on()

    def _start(self, start: Callable[[int, int], Started]) -> Started:
        read_output, write_output = os.pipe()
        read_errors, write_errors = os.pipe()
        try:
            started = start(write_output, write_errors)
            if started.stdin >= 0:
                os.set_blocking(started.stdin, False)
        except BaseException:
            os.close(read_output)
            os.close(read_errors)
            raise
        finally:
            os.close(write_output)
            os.close(write_errors)
        self._pipes = {read_output: "output", read_errors: "errors"}
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)
        return started

    # -- for who asked for it

    @property
    def pids(self) -> list[int]:
        """Of children of this process for whom it waits itself."""
        return self._started.pids

    def feed(self, data: bytes, *, last: bool) -> None:
        """More for its standard input; `last` closes it."""
        if data:
            self._input.append(memoryview(data))
        else:
            self._fed()
        self._input_over = self._input_over or last
        self._write()

    def go_on(self) -> None:
        """There may be room for output again."""
        if self._over:
            return
        if not self._may_hear():
            for descriptor in self._pipes:
                self._loop.unwatch(descriptor)
            return
        for descriptor in list(self._pipes):
            if self._left:
                self._read(descriptor)
            else:
                self._loop.watch(descriptor, read=lambda descriptor=descriptor: self._read(descriptor))  # type: ignore[misc]

    def kill(self, error: str, detail: str = "") -> None:
        """End everybody that this started; `ended` is told this error."""
        if self._over or self._fate is not None:
            return
        self._fate = Ended(error=error, detail=detail)
        self._started.kill()
        if self._exit_code is not None:
            self._finish()
        else:
            # What the kernel cannot end (it waits for a dead disk) must not hold the runner.
            self._timers.append(self._loop.after(_AFTER_KILL_S, self._finish))

    # -- its pipes

    def _write(self) -> None:
        descriptor = self._started.stdin
        while self._input and descriptor >= 0:
            try:
                written = os.write(descriptor, self._input[0])
            except BlockingIOError:
                self._loop.watch(descriptor, write=self._write)
                return
            except OSError:  # it does not want any more
                self._close_stdin()
                break
            self._input[0] = self._input[0][written:]
            if not self._input[0]:
                self._input.popleft()
                self._fed()
        if self._input_over and not self._input:
            self._close_stdin()
        elif self._started.stdin >= 0:
            self._loop.unwatch(descriptor)
        while self._input and self._started.stdin < 0:
            self._input.popleft()
            self._fed()

    def _close_stdin(self) -> None:
        if self._started.stdin >= 0:
            self._loop.unwatch(self._started.stdin)
            self._started.close_stdin()

    def _read(self, descriptor: int) -> None:
        """What lies in the pipe, while the other side takes it."""
        while not self._over and descriptor in self._pipes and self._may_hear():
            try:
                data = os.read(descriptor, min(DATA_BYTES, self._left.get(descriptor, DATA_BYTES)))
            except BlockingIOError:
                if descriptor in self._left:  # what may come now is not of the process that ended
                    self._close(descriptor)
                return
            if not data:
                self._close(descriptor)
                return
            self._output_bytes += len(data)
            if self._output_bytes > self._limits.output_bytes:
                self.kill("output_too_big", f"more than {self._limits.output_bytes} bytes")
                return
            self._heard(self._pipes[descriptor], data)
            if descriptor not in self._left:
                return  # the other pipe's turn
            self._left[descriptor] -= len(data)
            if self._left[descriptor] <= 0:
                self._close(descriptor)
        if not self._over and descriptor in self._pipes:
            self._loop.unwatch(descriptor)

    def _close(self, descriptor: int) -> None:
        self._loop.unwatch(descriptor)
        del self._pipes[descriptor]
        os.close(descriptor)
        self._finish_if_done()

    # -- its end

    def _poll(self) -> None:
        if not self._over:
            self._look()
            if self._exit_code is None:
                self._timers.append(self._loop.after(_POLL_S, self._poll))

    def _look(self) -> None:
        code = self._started.exit_code()
        if code is None or self._exit_code is not None:
            return
        self._exit_code = code
        self._forget_end()
        self._close_stdin()
        self._write()
        self._timers.append(self._loop.after(AFTER_EXIT_S, self._empty_pipes))
        self._finish_if_done()

    def _empty_pipes(self) -> None:
        """Somebody else holds them: take what lies in them now, it may be the process's own."""
        if not self._over:
            self._left = dict.fromkeys(self._pipes, _PIPE_BYTES)
            self.go_on()

    def _finish_if_done(self) -> None:
        if self._exit_code is not None and (not self._pipes or self._fate is not None):
            self._loop.soon(self._finish)

    def _forget_end(self) -> None:
        if self._end_seen >= 0:
            self._loop.unwatch(self._end_seen)
            self._end_seen = -1

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        for timer in self._timers:
            timer.cancel()
        self._forget_end()
        self._close_stdin()
        self._write()
        for descriptor in self._pipes:
            self._loop.unwatch(descriptor)
            os.close(descriptor)
        self._pipes.clear()
        verdict = self._verdict()
        self._started.close()
        self._ended(verdict)

    def _verdict(self) -> Ended:
        if self._fate is not None:
            return self._fate
        assert self._exit_code is not None
        return Ended(self._exit_code, self._started.error())
