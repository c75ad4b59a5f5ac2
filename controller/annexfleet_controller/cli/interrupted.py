"""Ctrl-C while something is followed: noted by a handler, so that none is lost or ends the command half-way."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Interruptions:
    """Presses of Ctrl-C that nobody has answered yet, as bytes in a pipe: a handler may write, but take no lock."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)  # more than a pipe holds mean nothing else

    def press(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """As signal handler."""
        with suppress(BlockingIOError):
            os.write(self._write, b"x")

    def within(self, timeout_s: float) -> bool:
        """Wait that long, or until somebody presses; each press is told once."""
        readable, _, _ = select.select([self._read], [], [], timeout_s)
        return bool(readable and os.read(self._read, 1))

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


@contextmanager
def noted() -> Iterator[Interruptions]:
    """Take Ctrl-C as long as this lasts.  A command begun deaf to it (in the background of a script) stays so."""
    interruptions = Interruptions()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interruptions.press)
    try:
        yield interruptions
    finally:
        signal.signal(signal.SIGINT, before)
        interruptions.close()
