"""The relay's Unix socket, for its own user alone."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annexfleet_controller.identity.unix_streams import address

_WAITING = 256
"""Workers of a run may all come in one moment."""


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listener of mode 0600 that does not block; the file goes with it.

    Whoever calls this knows that no other relay has this path: what lies there is of one that was killed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            with address(path) as where:
                listener.bind(where)
        finally:
            os.umask(before)
        listener.listen(_WAITING)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)
