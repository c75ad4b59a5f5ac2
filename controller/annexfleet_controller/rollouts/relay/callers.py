"""Connections of Ansible's plugin: who they are, what they say, and whether they still live.

Ansible's workers are sessions of their own and outlive a killed ansible-playbook, so a socket that stays open proves
nothing: a worker whose parent has gone is gone as well.
"""

import os
import socket
import struct
from collections import deque
from collections.abc import Callable

from annexfleet_controller.rollouts.relay import framing
from annexfleet_controller.rollouts.relay.errand import INPUT_KEPT_BYTES, Errand
from annexfleet_controller.rollouts.relay.framing import Asked, Gatherer, PluginWrong, Verdict

_PEER = struct.Struct("3i")
_READ_BYTES = 256 * 1024
_KIND = {"output": b"O", "errors": b"E"}


class Caller:
    """One connection; an `errand.Outlet`.  Never blocks."""

    def __init__(
        self, connection: socket.socket, *, asks: Callable[["Caller", Asked], object], fed: Callable[[], object]
    ) -> None:
        """`asks` is told each request, `fed` that more input came.  Raises PermissionError for another user."""
        connection.setblocking(False)
        self.socket = connection
        self.pid, self.uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if self.uid not in (0, os.geteuid()):
            raise PermissionError(f"uid {self.uid} may not use this relay")
        self.parent = parent_of(self.pid)
        self.errand: Errand | None = None
        self._asks, self._fed = asks, fed
        self._gatherer = Gatherer()
        self._early: deque[framing.Piece] = deque()
        """Input that came before the errand was made."""
        self._early_bytes = 0
        self._drops_input = False
        self._asking = False
        self._out: deque[tuple[memoryview, Callable[[], None] | None]] = deque()
        self.is_closed = False

    @property
    def wants_read(self) -> bool:
        if self._asking and self.errand is None:
            return self._early_bytes < INPUT_KEPT_BYTES
        return self.errand is None or self.errand.is_over or self.errand.wants_input

    @property
    def wants_write(self) -> bool:
        return bool(self._out)

    @property
    def is_alive(self) -> bool:
        """Whether the process, and the one that started it, are still there."""
        return parent_of(self.pid) == self.parent

    # -- what the plugin says

    def read(self) -> bool:
        """Read once; False if it has gone.  Raises PluginWrong."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for piece in self._gatherer.add(data):
            self._take(piece)
        return bool(data)

    def begin(self, errand: Errand) -> None:
        """This is what was asked for; it gets what input came already."""
        self.errand = errand
        while self._early:
            early = self._early.popleft()
            errand.feed(early.data, last=early.last)

    def _take(self, piece: framing.Piece) -> None:
        if piece.kind == b"R":
            if self._asking:
                raise PluginWrong("a request before the one before it ended")
            self._asking, self._drops_input, self._early_bytes = True, False, 0
            self.errand = None
            self._asks(self, framing.asked(piece.data))
        elif self._drops_input or not self._asking:
            pass  # of a request that ended before it was sent whole
        elif self.errand is None:
            self._early.append(piece)
            self._early_bytes += len(piece.data)
        else:
            self.errand.feed(piece.data, last=piece.last)
            self._fed()

    # -- what the device says

    def give(self, kind: str, data: bytes, consumed: Callable[[], None]) -> None:
        if self.is_closed or not data:
            consumed()
        else:
            self._out.append((memoryview(framing.piece(_KIND[kind], data, last=False)), consumed))
            self.write()

    def ended(self, verdict: Verdict) -> None:
        self._asking, self._drops_input = False, True
        self._early.clear()
        if not self.is_closed:
            self._out.append((memoryview(framing.verdict(verdict)), None))
            self.write()

    def write(self) -> None:
        """As much as the plugin takes."""
        while self._out:
            view, consumed = self._out[0]
            try:
                sent = self.socket.send(view)
            except BlockingIOError:
                return
            except OSError:
                sent = len(view)  # it has gone; reading will say so
            if sent < len(view):
                self._out[0] = (view[sent:], consumed)
                return
            self._out.popleft()
            if consumed is not None:
                consumed()

    def close(self) -> None:
        """What waits to be passed on is not wanted any more."""
        self.is_closed = True
        self.socket.close()
        while self._out:
            _, consumed = self._out.popleft()
            if consumed is not None:
                consumed()


def parent_of(pid: int) -> int:
    """The process that started it; 0 if it has ended (a zombie counts as ended)."""
    try:
        state, parent = _told_of(pid, "stat").rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state in b"ZX" else int(parent)


def started_at(pid: int) -> str:
    """Tells two processes that had one number apart; empty if there is none."""
    try:
        return _told_of(pid, "stat").rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def command_line(pid: int) -> list[str]:
    """Empty if the process has gone."""
    try:
        words = _told_of(pid, "cmdline").split(b"\0")
    except OSError:
        return []
    return [word.decode("utf-8", errors="replace") for word in words[:-1]]


def program_of(pid: int) -> int:
    """The process that a worker was forked from: the topmost with the very same command line."""
    words = command_line(pid)
    while words and (parent := parent_of(pid)) > 1 and command_line(parent) == words:
        pid = parent
    return pid


def _told_of(pid: int, name: str) -> bytes:
    """What the kernel tells of a process.  Raises OSError.

    Half a dozen of these are read for each task; pathlib would take three times as long.
    """
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()
