"""Runs Ansible's modules in a Python that is kept warm (`warm`), and tells how to run them in one that is not.

Everything here returns at once: the answer comes as a descriptor that becomes readable.  A warm Python that fell is
replaced; after two falls on end, or where a fresh Python would behave otherwise than a warm one, `start` raises Cold,
and the caller runs the very same module by `plain`.
"""

import json
import logging
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from annexfleet_agent.protocol.envelope import Module
from annexfleet_agent.runner import warm

log = logging.getLogger(__name__)

MOST_MODULES = 1000
MOST_BYTES = 128 * 1024 * 1024
"""A warm Python that has run so many, or has grown so far, is replaced by a fresh one."""
MOST_WARM = 2
"""Side by side, for two versions of ansible-core."""
MOST_FALLS = 2
_CLOSING_S = 2.0

_INTERPRETER = re.compile(r"/usr/bin/python3(\.[0-9]{1,2})?")
_READ_AT_START = re.compile(r"PYTHON.*|LD_.*|GLIBC_.*|MALLOC_.*|LANG|LC_ALL|LC_CTYPE|HOME|OPENSSL_.*")
"""Variables that Python, or the C library below it, reads once when it starts."""
_MESSAGE = struct.Struct(">ci")
_PROGRAM = Path(__file__).with_name("warm.py")


class Cold(Exception):
    """This module cannot run warm; `plain` tells how it can.  The message is for the log."""


class NeverStarted(Exception):
    """The warm Python fell before it began with the module: nothing happened, and it may be run by `plain`."""


class Lost(Exception):
    """The warm Python fell while the module ran.  What was left of it has been killed; nobody knows how far it got."""


class Started:
    """A module that runs warm."""

    def __init__(self, control: socket.socket, owner: "_Interpreter") -> None:
        self._control = control
        self._owner = owner
        self._pid: int | None = None
        self._exit_code: int | None = None
        self._is_over = False
        self._cancels = 0

    def fileno(self) -> int:
        """Readable when there is news: call `exit_code` then."""
        return self._control.fileno()

    @property
    def pid(self) -> int | None:
        """Its first process, which leads a session of its own; None if it is not known to have begun."""
        self._hear()
        return self._pid

    def exit_code(self) -> int | None:
        """None while it runs; below 0: the signal that ended it.

        It ends with its first process.  What that left in the background may hold its output open.
        Raises NeverStarted or Lost if the warm Python fell.
        """
        self._hear()
        if self._exit_code is not None:
            return self._exit_code
        if not self._is_over:
            return None
        raise NeverStarted if self._pid is None else Lost

    def cancel(self) -> None:
        """Kill its session whole; `exit_code` tells when that is done.  Asked a second time, the warm Python goes too:
        it does not answer."""
        self._hear()
        self._cancels += 1
        if self._cancels == 1:
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
            return
        if self._pid is not None:
            warm.kill_session(self._pid)
        self._owner.kill()

    def close(self) -> None:
        """Let go of it; what still runs is killed."""
        self._hear()
        self._end()
        self._control.close()

    def _hear(self) -> None:
        while not self._is_over:
            try:
                message = self._control.recv(16)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if len(message) != _MESSAGE.size:
                self._end()
                if self._pid is not None:  # it fell, so nobody else does it
                    warm.kill_session(self._pid)
                return
            kind, value = _MESSAGE.unpack(message)
            if kind == b"P":
                self._pid = value
            else:
                self._exit_code = value
                self._end()

    def _end(self) -> None:
        self._is_over = True
        self._owner.ended(self)


class _Interpreter:
    """One warm Python."""

    def __init__(self, path: str, directory: Path, codes: Path, environment: Mapping[str, str], module: Module) -> None:
        """Raises OSError if it cannot be started."""
        self.path = path
        self._real_path = os.path.realpath(path)
        self.running: Started | None = None
        self.is_tired = False
        self.has_answered = False
        self._first = {file.name: file.sha256 for file in module.files}
        self._base: dict[str, str] | None = None
        self._watched: dict[str, int | None] = {}
        self._directory = directory
        directory.mkdir(mode=0o700)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        try:
            self.process = subprocess.Popen(  # noqa: S603  # the system's Python, and a file of ours
                [path, str(_PROGRAM), str(theirs.fileno()), str(self._archive), str(codes), str(MOST_MODULES),
                 str(MOST_BYTES)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                env=dict(environment), cwd="/", start_new_session=True,
            )  # fmt: skip
        except OSError:
            self._socket.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise
        finally:
            theirs.close()

    @property
    def _archive(self) -> Path:
        return self._directory / "module.zip"

    def serves(self, path: str, module: Module) -> bool:
        """Whether what it has imported, or will, has the same content in this module's payload."""
        files = {file.name: file.sha256 for file in module.files}
        if path != self.path:
            return False
        if self._base is not None:
            return all(files.get(name) == digest for name, digest in self._base.items())
        return all(files.get(name, digest) == digest for name, digest in self._first.items())

    def is_stale(self) -> bool:
        """Whether a fresh one would be another: Python, or what is installed for it, has changed."""
        return os.path.realpath(self.path) != self._real_path or any(
            warm.changed_ns(path) != changed for path, changed in self._watched.items()
        )

    def hear(self) -> bool:
        """What it has said; whether it still lives."""
        while True:
            try:
                message = self._socket.recv(64 * 1024)
                if not message:
                    return False
                self._heard(json.loads(message))
            except BlockingIOError:
                return self.process.poll() is None
            except (OSError, ValueError):
                return False

    def _heard(self, said: dict[str, Any]) -> None:
        self._watched = said.get("watch", self._watched)
        self.is_tired = self.is_tired or said.get("tired", False)
        if "base" in said:
            self._base = {name: self._first[name] for name in said["base"] if name in self._first}

    def start(self, module: Module, archive: Path, order: Mapping[str, object], stdout: int, stderr: int) -> Started:
        """Raises OSError if it does not take it."""
        self._place(archive)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # In memory: there may be secrets among the parameters, and they may be long.
        memory = os.memfd_create("order")
        try:
            with open(memory, "wb", closefd=False) as file:
                file.write(json.dumps({**order, "name": archive.name}).encode())
            os.lseek(memory, 0, os.SEEK_SET)
            socket.send_fds(self._socket, [b"M"], [memory, stdout, stderr, theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(memory)
            theirs.close()
        self.running = Started(ours, self)
        return self.running

    def _place(self, archive: Path) -> None:
        """A link, so that it stays while the module runs, whatever becomes of the cache."""
        beside = self._directory / "next.zip"
        beside.unlink(missing_ok=True)
        try:
            os.link(archive, beside)
        except OSError:
            shutil.copyfile(archive, beside)
        beside.replace(self._archive)

    def ended(self, started: Started) -> None:
        if self.running is started:
            self.running = None
            self.has_answered = self.has_answered or started._exit_code is not None

    def retire(self) -> None:
        """It ends when its module has."""
        self._socket.close()

    def kill(self) -> None:
        self.process.kill()

    def is_gone(self) -> bool:
        if self.process.poll() is None:
            return False
        shutil.rmtree(self._directory, ignore_errors=True)
        return True


class Warm:
    """The warm Pythons of one runner; one module at a time in each.  Belongs to the thread that made it."""

    def __init__(self, directory: Path, *, environment: Mapping[str, str]) -> None:
        """`environment`: what every program of the runner gets; its HOME is where modules start.  `directory` is
        emptied, and best lies on the file system of the module cache; compiled code stays beside it, from one runner
        to the next.  Raises OSError if it cannot be used."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        self._directory = directory
        self._codes = directory.with_name(f"{directory.name}-code")
        self._codes.mkdir(mode=0o700, exist_ok=True)
        self._environment = dict(environment)
        self._numbers = count(1)
        self._ready: list[_Interpreter] = []
        """The one that was used last is the last."""
        self._retired: list[_Interpreter] = []
        self.falls = 0
        """How many fell since the last that did its work."""

    @property
    def pids(self) -> list[int]:
        """Of the processes that stay, so that nobody takes them for a module's."""
        return [one.process.pid for one in (*self._ready, *self._retired)]

    def start(
        self,
        module: Module,
        archive: Path,
        stdout_fd: int,
        stderr_fd: int,
        *,
        entrance: Path | None = None,
        limits: Sequence[tuple[int, int]] = (),
        nicer_by: int = 0,
    ) -> Started:
        """Run a module whose archive `ModuleCache.archive` made.  The descriptors stay the caller's, to be closed.

        `entrance`: the `cgroup.procs` of the control group that it enters first.  `limits`: resource limits (as
        `resource.RLIMIT_CPU`) to be lowered.  `nicer_by`: how much less urgent it is than the runner.
        Raises Cold if it must be run by `plain`.
        """
        self.tidy()
        why = self._why_cold(module)
        if why:
            raise Cold(why)
        try:
            order = _order_of(module) | {
                "environment": self._environment | module.environment, "home": self._environment.get("HOME", "/"),
                "entrance": str(entrance or ""), "limits": list(limits), "nicer_by": nicer_by,
            }  # fmt: skip
            interpreter = self._interpreter(module)
            return interpreter.start(module, archive, order, stdout_fd, stderr_fd)
        except OSError as error:
            self.falls += 1
            raise Cold(f"no warm Python: {error.strerror}") from error

    def tidy(self) -> None:
        """Let go of those that ended; now and then, or before a module."""
        for one in list(self._ready):
            lives = one.hear()
            if one.has_answered:
                self.falls = 0
            if not lives:
                self.falls += 1
                log.warning("a warm Python fell falls=%s exit_code=%s", self.falls, one.process.poll())
            if not lives or (one.running is None and (one.is_tired or one.is_stale())):
                self._retire(one)
        self._retired = [one for one in self._retired if not one.is_gone()]

    def close(self) -> None:
        """End them all, and what runs in them."""
        for one in (*self._ready, *self._retired):
            if one.running is not None:
                one.running.cancel()
        for one in list(self._ready):
            self._retire(one)
        for one in self._retired:
            try:
                one.process.wait(_CLOSING_S)
            except subprocess.TimeoutExpired:
                one.kill()
                one.process.wait()
            one.is_gone()
        self._retired.clear()

    def _why_cold(self, module: Module) -> str:
        if module.as_root and os.geteuid() != 0:
            return "it asks for root"
        if not _INTERPRETER.fullmatch(module.interpreter):
            return f"another Python: {module.interpreter}"
        if any(_READ_AT_START.fullmatch(name) for name in module.environment):
            return "its environment is read when Python starts"
        if self.falls >= MOST_FALLS:
            return "warm Pythons fall"
        return ""

    def _interpreter(self, module: Module) -> _Interpreter:
        """One that fits and does nothing now.  Raises Cold, OSError."""
        for one in self._ready:
            if one.serves(module.interpreter, module):
                if one.running is not None:
                    raise Cold("a module runs")
                self._ready.remove(one)
                self._ready.append(one)
                return one
        if len(self._ready) >= MOST_WARM:
            idle = next((one for one in self._ready if one.running is None), None)
            if idle is None:
                raise Cold("modules run")
            self._retire(idle)
        directory = self._directory / str(next(self._numbers))
        self._ready.append(_Interpreter(module.interpreter, directory, self._codes, self._environment, module))
        return self._ready[-1]

    def _retire(self, one: _Interpreter) -> None:
        self._ready.remove(one)
        self._retired.append(one)
        one.retire()


def plain(module: Module, archive: Path) -> tuple[list[str], bytes]:
    """Program with arguments, and standard input, that run the module in a Python of its own.

    The module's environment is to be added to the program's.
    """
    import inspect  # noqa: PLC0415  # seldom wanted

    # Without the notes of types, which would need imports.
    function = inspect.getsource(warm.run_as_ansible_does).replace("order: dict[str, Any]", "order")
    text = f"{function}\n\n{warm.run_as_ansible_does.__name__}({str(archive)!r}, {_order_of(module)!r})\n"
    argv = [module.interpreter]
    if module.as_root and os.geteuid() != 0:
        # Like Ansible's own; sudo gives a fresh environment.
        variables = [f"{name}={value}" for name, value in module.environment.items()]
        argv = ["sudo", "-H", "-S", "-n", "-u", "root", "env", *variables, module.interpreter]
    return argv, text.encode("utf-8", "surrogateescape")


def _order_of(module: Module) -> dict[str, Any]:
    """What `warm.run_as_ansible_does` wants to know."""
    return {
        "fqn": module.fqn, "params": module.params, "profile": module.profile,
        "extensions": json.loads(module.extensions), "rlimit_nofile": module.rlimit_nofile,
    }  # fmt: skip
