"""The socket on which the resident agent is heard, and what waits to be said to it."""

import fcntl
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from annexfleet_agent.loop import Loop
from annexfleet_agent.runner.framing import MAX_BYTES, SOCKET_BYTES

log = logging.getLogger(__name__)

_FIRST_INHERITED = 3
_MOST_WAITING_BYTES = 4 * 1024 * 1024
"""More is dropped: who sends numbers its packets and sends again what is not acknowledged."""
_AT_ONCE = 64


class AlreadyRuns(Exception):
    """Another runner listens on this socket."""


def inherited() -> socket.socket | None:
    """The socket that systemd listens on for us; None if it does not."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    os.set_inheritable(_FIRST_INHERITED, False)
    return socket.socket(fileno=_FIRST_INHERITED)


def listen(path: Path) -> socket.socket:
    """A socket of our own, for this user alone.  Raises AlreadyRuns, OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise AlreadyRuns(str(path)) from None
    path.unlink(missing_ok=True)  # a runner that was killed left it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(4)
    return listener  # the lock stays with this process until it ends, however it does


class Link:
    """Speaks with one agent at a time; a new one takes the place of the one before."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        *,
        heard: Callable[[bytes], object],
        came: Callable[[], object],
        went: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._heard, self._came, self._went = heard, came, went
        self._agent: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        listener.setblocking(False)
        loop.watch(listener, read=self._accept)

    @property
    def is_there(self) -> bool:
        return self._agent is not None

    def say(self, message: bytes) -> None:
        """In order; dropped if nobody is there, or if far too much waits."""
        if self._agent is None or self._waiting_bytes + len(message) > _MOST_WAITING_BYTES:
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self._write()

    def close(self, *, path: Path | None = None) -> None:
        """`path`: the socket's, if it is ours to remove."""
        self._loop.unwatch(self._listener)
        self._listener.close()
        if path is not None:
            path.unlink(missing_ok=True)
        self._drop()

    def something_waits(self) -> bool:
        """Whether somebody speaks, or wants to, in this very moment."""
        if self._agent is None:
            return False
        with suppress(OSError):
            return bool(self._agent.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def _accept(self) -> None:
        try:
            agent, _ = self._listener.accept()
        except OSError:  # it changed its mind
            return
        self._drop()
        agent.setblocking(False)
        with suppress(OSError):
            agent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._agent = agent
        self._loop.watch(agent, read=self._read)
        self._came()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if self._agent is None:
                return
            try:
                message = self._agent.recv(MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._drop()
                return
            self._heard(message)

    def _write(self) -> None:
        while self._waiting and self._agent is not None:
            try:
                self._agent.send(self._waiting[0])
            except BlockingIOError:
                self._loop.watch(self._agent, read=self._read, write=self._write)
                return
            except OSError:
                self._drop()
                return
            self._waiting_bytes -= len(self._waiting.popleft())
        if self._agent is not None:
            self._loop.watch(self._agent, read=self._read)

    def _drop(self) -> None:
        if self._agent is None:
            return
        self._loop.unwatch(self._agent)
        self._agent.close()
        self._agent = None
        self._waiting.clear()
        self._waiting_bytes = 0
        self._went()
