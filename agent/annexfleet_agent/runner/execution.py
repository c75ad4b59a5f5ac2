"""A program in a session of its own, with limits, whose output goes out as fast as the other side takes it.

The end of the first process is the end of the work: what it left behind in the background (a job that Ansible
polls for, a service) goes on, though it may hold the pipes.  To cancel ends everybody.
"""

import os
import resource
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Literal

from msgspec import Struct

from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol.channel import DATA_BYTES
from annexfleet_agent.runner.cgroup import Group, Groups
from annexfleet_agent.runner.family import Work

Stream = Literal["output", "errors"]

AFTER_EXIT_S = 0.3
"""So long a pipe may stay open after the end of the process that was waited for."""
_AFTER_KILL_S = 5.0
_POLL_S = 0.05
_CPU_GRACE_S = 5
"""Of processor time between the signal that may be caught and the one that may not."""
_PIPE_BYTES = 64 * 1024
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Limits(Struct, frozen=True, kw_only=True):
    seconds: float
    output_bytes: int
    memory_bytes: int
    """Of the whole group where there are control groups, else of each process's address space."""
    cpu_seconds: int
    """Of each process."""
    processes: int = 4096


class Ended(Struct, frozen=True):
    """`error` as in `protocol.envelope.Result`; empty: the program ended by itself, with this code.  A code below 0 is
    the signal that killed it."""

    exit_code: int = 0
    error: str = ""
    detail: str = ""


def environment() -> dict[str, str]:
    """What every program gets, and nothing else."""
    import pwd  # noqa: PLC0415  # there is none on Windows

    try:
        entry = pwd.getpwuid(os.geteuid())
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = str(os.geteuid()), "/"
    return {"PATH": _PATH, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/sh", "LANG": "C.UTF-8"}


class Execution:
    """One program."""

    def __init__(
        self,
        loop: Loop,
        argv: Sequence[str],
        *,
        limits: Limits,
        groups: Groups,
        name: str,
        heard: Callable[[Stream, bytes], object],
        may_hear: Callable[[], bool],
        fed: Callable[[], object],
        ended: Callable[[Ended], object],
        spared: Sequence[int] = (),
        extra_environment: dict[str, str] | None = None,
    ) -> None:
        """Start it.  `heard` gets what it writes, only while `may_hear`; `fed` is called for each `feed` that was
        written to its standard input, or is not wanted any more.

        Raises OSError if the program cannot be started.
        """
        self._loop = loop
        self._limits = limits
        self._groups = groups
        self._heard, self._may_hear, self._fed, self._ended = heard, may_hear, fed, ended
        self._group = groups.make(name)
        self._work = None if self._group else Work(spared)
        self._input: deque[memoryview] = deque()
        self._input_over = False
        self._output_bytes = 0
        self._left: dict[int, int] = {}
        """By pipe, once the process ended: how much may still lie in it of what the process wrote."""
        self._exit_code: int | None = None
        self._fate: Ended | None = None
        self._over = False
        home = environment() | (extra_environment or {})
        try:
            self._process = subprocess.Popen(  # noqa: S603  # to run what was signed is its purpose
                list(argv),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                env=home, cwd=home["HOME"] if os.path.isdir(home["HOME"]) else "/",  # noqa: PTH112
                start_new_session=True, close_fds=True, preexec_fn=self._before_it_starts(),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            if self._group is not None:
                groups.let_go(self._group)
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        if self._work is not None:
            self._work.began(self._process.pid)
        self._pipes: dict[int, tuple[Stream, IO[bytes]]] = {}
        for stream, pipe in (("output", self._process.stdout), ("errors", self._process.stderr)):
            assert pipe is not None
            self._pipes[pipe.fileno()] = (stream, pipe)  # type: ignore[assignment]
        for descriptor in (*self._pipes, self._stdin):
            os.set_blocking(descriptor, False)
        self._timers: list[Timer] = [loop.after(limits.seconds, lambda: self.kill("timed_out"))]
        self._watch_end()
        self.go_on()

    # -- for who asked for it

    @property
    def pid(self) -> int:
        return self._process.pid

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
        wanted = self._may_hear()
        for descriptor in self._pipes:
            if wanted:
                self._loop.watch(descriptor, read=lambda descriptor=descriptor: self._read(descriptor))  # type: ignore[misc]
            else:
                self._loop.unwatch(descriptor)
        if wanted and self._left:
            for descriptor in list(self._pipes):
                self._read(descriptor)

    def kill(self, error: str, detail: str = "") -> None:
        """End everybody that this started; `ended` is told this error."""
        if self._over or self._fate is not None:
            return
        self._fate = Ended(error=error, detail=detail)
        if self._group is not None:
            self._group.kill()
        elif self._work is not None:
            self._work.kill()
        if self._exit_code is None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # A process that the kernel cannot kill (a dead disk) must not hold the runner.
            self._timers.append(self._loop.after(_AFTER_KILL_S, self._finish))
        else:
            self._finish()

    # -- starting

    def _before_it_starts(self) -> Callable[[], None]:
        """What the child does between fork and exec; prepared here, for it should do little."""
        limits, group = self._limits, self._group
        limited = group is not None and group.limit(memory_bytes=limits.memory_bytes, processes=limits.processes)
        entrance = str(group.entrance) if group is not None else ""

        def prepare() -> None:
            if entrance:
                descriptor = os.open(entrance, os.O_WRONLY)
                os.write(descriptor, b"0")
                os.close(descriptor)
            _lower(resource.RLIMIT_CPU, limits.cpu_seconds, grace=_CPU_GRACE_S)
            _lower(resource.RLIMIT_CORE, 0)
            if not limited:
                _lower(resource.RLIMIT_AS, limits.memory_bytes)

        return prepare

    def _watch_end(self) -> None:
        try:
            self._end_seen = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):  # a kernel before 5.3
            self._end_seen = -1
            self._poll()
            return
        self._loop.watch(self._end_seen, read=self._exited)

    def _poll(self) -> None:
        if not self._over and not self._exited():
            self._timers.append(self._loop.after(_POLL_S, self._poll))

    # -- its pipes

    @property
    def _stdin(self) -> int:
        assert self._process.stdin is not None
        return -1 if self._process.stdin.closed else self._process.stdin.fileno()

    def _write(self) -> None:
        while self._input and self._stdin >= 0:
            try:
                written = os.write(self._stdin, self._input[0])
            except BlockingIOError:
                self._loop.watch(self._stdin, write=self._write)
                return
            except OSError:  # it does not want any more
                self._close_input()
                break
            self._input[0] = self._input[0][written:]
            if not self._input[0]:
                self._input.popleft()
                self._fed()
        while self._input and self._stdin < 0:
            self._input.popleft()
            self._fed()
        if self._stdin >= 0:
            self._loop.unwatch(self._stdin)
            if self._input_over:
                self._close_input()

    def _close_input(self) -> None:
        if self._stdin >= 0:
            self._loop.unwatch(self._stdin)
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()

    def _read(self, descriptor: int) -> None:
        """What lies in the pipe, while the other side takes it."""
        stream, _ = self._pipes[descriptor]
        while not self._over and descriptor in self._pipes and self._may_hear():
            try:
                data = os.read(descriptor, min(DATA_BYTES, self._left.get(descriptor, DATA_BYTES)))
            except BlockingIOError:
                if descriptor in self._left:  # after the end: what comes now is not of the process that ended
                    self._close(descriptor)
                return
            except OSError:
                data = b""
            if not data:
                self._close(descriptor)
                return
            self._output_bytes += len(data)
            if self._output_bytes > self._limits.output_bytes:
                self.kill("output_too_big", f"more than {self._limits.output_bytes} bytes")
                return
            if descriptor in self._left:
                self._left[descriptor] -= len(data)
            self._heard(stream, data)
            if descriptor not in self._left:
                return  # the other pipe's turn
            if self._left[descriptor] <= 0:
                self._close(descriptor)
        if not self._over and descriptor in self._pipes:
            self._loop.unwatch(descriptor)

    def _close(self, descriptor: int) -> None:
        _, pipe = self._pipes.pop(descriptor)
        self._loop.unwatch(descriptor)
        pipe.close()
        self._finish_if_done()

    # -- its end

    def _exited(self) -> bool:
        code = self._process.poll()
        if code is None:
            return False
        self._forget_end()
        if self._exit_code is None:
            self._exit_code = code
            self._close_input()
            self._write()
            self._timers.append(self._loop.after(AFTER_EXIT_S, self._empty_pipes))
            self._finish_if_done()
        return True

    def _forget_end(self) -> None:
        if self._end_seen >= 0:
            self._loop.unwatch(self._end_seen)
            os.close(self._end_seen)
            self._end_seen = -1

    def _empty_pipes(self) -> None:
        """Somebody else holds them: take what lies in them now, it may be the process's own."""
        if not self._over:
            self._left = dict.fromkeys(self._pipes, _PIPE_BYTES)
            self.go_on()

    def _finish_if_done(self) -> None:
        if self._exit_code is not None and (not self._pipes or self._fate is not None):
            self._finish()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        for timer in self._timers:
            timer.cancel()
        self._forget_end()
        self._close_input()
        self._write()
        for descriptor, (_, pipe) in self._pipes.items():
            self._loop.unwatch(descriptor)
            pipe.close()
        self._pipes.clear()
        self._ended(self._verdict())
        if self._group is not None:
            self._groups.let_go(self._group)

    def _verdict(self) -> Ended:
        if self._fate is not None:
            return self._fate
        if self._exit_code is None:
            return Ended(error="unknown", detail="it could not be ended")
        if self._group is not None and self._exit_code < 0 and self._group.was_out_of_memory():
            return Ended(self._exit_code, "memory", f"more than {self._limits.memory_bytes} bytes")
        if self._exit_code == -signal.SIGXCPU:
            return Ended(self._exit_code, "timed_out", f"more than {self._limits.cpu_seconds} s of processor time")
        return Ended(self._exit_code)


def _lower(what: int, to: int, *, grace: int = 0) -> None:
    """Set a limit, and the hard one by `grace` above; neither is ever raised: this process may itself be limited."""
    _, hard = resource.getrlimit(what)
    most = to + grace if hard == resource.RLIM_INFINITY else min(to + grace, hard)
    resource.setrlimit(what, (min(to, most), most))
