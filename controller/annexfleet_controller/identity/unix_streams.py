"""Short talks over a Unix socket: paths of any length, reading with an end to it, and who is on the other side."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PEER = struct.Struct("3i")
_PLAIN_BYTES = 100
"""sun_path has 108, and the socket's own name must still fit behind a descriptor's."""


_WAITING = 256
"""All relays may come in one moment, and all workers of a run."""


class BrokenOff(ValueError):
    """The other side sent more than it may, or not all of it in time."""


@contextmanager
def address(path: Path) -> Iterator[str]:
    """By which to bind or connect to this path; a long one is reached through its open directory."""
    if len(os.fsencode(path)) <= _PLAIN_BYTES:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listener of mode 0600; the file goes with it.  Whether it blocks, and for how long, its user says.

    Whoever calls this knows that nobody else has this path: what lies there is of one that was killed.
    """
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            with address(path) as where:
                listener.bind(where)
        finally:
            os.umask(before)
        listener.listen(_WAITING)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def all_of(line: socket.socket, most_bytes: int, within_s: float) -> bytes:
    """Everything up to the end of the stream.  Raises BrokenOff, and OSError of the line itself."""
    deadline = time.monotonic() + within_s
    heard = bytearray()
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise BrokenOff("too slow")
        line.settimeout(left_s)
        try:
            piece = line.recv(65_536)
        except TimeoutError:
            raise BrokenOff("too slow") from None
        if not piece:
            return bytes(heard)
        heard += piece
        if len(heard) > most_bytes:
            raise BrokenOff(f"more than {most_bytes} bytes")


def peer(line: socket.socket) -> tuple[int, int]:
    """Process and user on the other side, as the kernel says (SO_PEERCRED)."""
    process, user, _ = _PEER.unpack(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return process, user
