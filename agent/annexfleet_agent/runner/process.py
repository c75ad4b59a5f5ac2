"""A program as a process of its own: in its own session, with little of an environment, limits, and no way out of
being ended whole."""

import math
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from annexfleet_agent.runner.cgroup import Groups
from annexfleet_agent.runner.family import Work

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROCESSES = 4096
_CPU_GRACE_S = 5
"""Of processor time, between the signal that may be caught and the one that may not."""
_LEAST_RATIO = 0.1
_NICER_BY = 5
"""Where no control group keeps it from the people at the counter."""


class Limits(Struct, frozen=True, kw_only=True):
    seconds: float
    output_bytes: int
    memory_bytes: int
    """Of all together where there are control groups, else of each process's address space."""
    cpu_ratio: float = 1.0
    """Of one processor, for all together.  Where there are no control groups it bounds what each process may use up in
    its time."""


def environment() -> dict[str, str]:
    """What every program gets, and nothing else."""
    import pwd  # noqa: PLC0415  # there is none on Windows

    try:
        entry = pwd.getpwuid(os.geteuid())
        name, home = entry.pw_name, entry.pw_dir
    except KeyError:
        name, home = str(os.geteuid()), "/"
    return {"PATH": _PATH, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/sh", "LANG": "C.UTF-8"}


class Fence:
    """What keeps a piece of work within its limits, and finds all of it: a control group, or what /proc tells."""

    def __init__(self, limits: Limits, groups: Groups, name: str, kept: Callable[[], Iterable[int]]) -> None:
        """`name` is that of the control group; `kept` are children of this process that none of it is."""
        self._groups = groups
        self._group = groups.make(name)
        self._work = None if self._group is not None else Work(kept)
        limited = self._group is not None and self._group.limit(
            memory_bytes=limits.memory_bytes, cpu_ratio=limits.cpu_ratio, processes=_PROCESSES
        )
        cpu_seconds = math.ceil(limits.seconds * max(limits.cpu_ratio, _LEAST_RATIO)) + 1
        self.resources = [(resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_CORE, 0)]
        """Limits of each process, which the first one has to set for itself."""
        if not limited:
            self.resources.append((resource.RLIMIT_AS, limits.memory_bytes))

    @property
    def entrance(self) -> Path | None:
        """Where the first process has to write 0 before it does anything."""
        return self._group.entrance if self._group is not None else None

    def began(self, pid: int) -> None:
        """The first process, which leads a session of its own."""
        if self._work is not None:
            self._work.began(pid)

    def kill(self) -> None:
        """End everybody."""
        if self._group is not None:
            self._group.kill()
        elif self._work is not None:
            self._work.kill()

    def was_out_of_memory(self) -> bool:
        return self._group is not None and self._group.was_out_of_memory()

    def close(self) -> None:
        """What was left in the background goes on."""
        if self._group is not None:
            self._groups.let_go(self._group)


class Process:
    """A program that runs; `execution.Started`."""

    def __init__(
        self, argv: Sequence[str], output: int, errors: int, *, fence: Fence, extra: Mapping[str, str] | None = None
    ) -> None:
        """Start it, with these descriptors as its output.  `extra` goes into its environment.

        The fence is its own from now on.  Raises OSError if it cannot be started.
        """
        self._fence = fence
        self._end = -1
        variables = environment() | dict(extra or {})
        home = variables["HOME"]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # to run what was signed is its purpose
                list(argv),
                stdin=subprocess.PIPE, stdout=output, stderr=errors, bufsize=0,
                env=variables, cwd=home if os.path.isdir(home) else "/",  # noqa: PTH112
                start_new_session=True, close_fds=True, preexec_fn=_prepare(fence),  # noqa: PLW1509  # the runner has one thread
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            fence.close()
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        fence.began(self._process.pid)
        assert self._process.stdin is not None
        self.stdin = self._process.stdin.fileno()
        with suppress(AttributeError, OSError):  # a kernel before 5.3 has none
            self._end = os.pidfd_open(self._process.pid)

    @property
    def pids(self) -> list[int]:
        return [self._process.pid]

    def fileno(self) -> int:
        """Readable when it has ended; -1 where the kernel cannot tell so."""
        return self._end

    def exit_code(self) -> int | None:
        """None while it runs; below 0 the signal that ended it."""
        return self._process.poll()

    def kill(self) -> None:
        """End it, and everybody whom it started."""
        self._fence.kill()
        if self._process.poll() is None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close_stdin(self) -> None:
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self.stdin = -1

    def error(self) -> str:
        """Which limit it died of, as in `protocol.envelope.Result`; empty if of none."""
        if self._fence.was_out_of_memory():
            return "memory"
        return "timed_out" if self.exit_code() == -signal.SIGXCPU else ""

    def close(self) -> None:
        """Let go of what belongs to it; what it left in the background goes on."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
        self._fence.close()


def _prepare(fence: Fence) -> Callable[[], None]:
    """What the child does between fork and exec; looked up here, for it should do little."""
    entrance = str(fence.entrance) if fence.entrance is not None else ""
    resources = fence.resources

    def prepare() -> None:
        if entrance:
            descriptor = os.open(entrance, os.O_WRONLY)
            os.write(descriptor, b"0")
            os.close(descriptor)
        else:
            os.nice(_NICER_BY)
        for what, to in resources:
            _lower(what, to, grace=_CPU_GRACE_S if what == resource.RLIMIT_CPU else 0)

    return prepare


def _lower(what: int, to: int, *, grace: int = 0) -> None:
    """Set a limit, and the hard one by `grace` above; neither is ever raised: this process may itself be limited."""
    _, hard = resource.getrlimit(what)
    most = to + grace if hard == resource.RLIM_INFINITY else min(to + grace, hard)
    resource.setrlimit(what, (min(to, most), most))
