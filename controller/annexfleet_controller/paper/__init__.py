"""HTML to PDF, in a process of its own: one document at a time, bounded in time and memory."""

import ctypes.util
import importlib.util
import logging
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

from annexfleet_controller.paper.errors import PaperBusy, PaperFailed, PaperUnavailable

log = logging.getLogger(__name__)

LONGEST_S = 180.0
"""Of making one document, on the clock: a busy machine may take long for what is bounded to a minute of processor."""
LONGEST_WAIT_S = 20.0
"""Of waiting for the one before it."""
MOST_WAITING = 2
MOST_HTML_BYTES = 8_000_000

_LIBRARIES = {
    "pango-1.0": "libpango-1.0-0",
    "pangoft2-1.0": "libpangoft2-1.0-0",
    "harfbuzz-subset": "libharfbuzz-subset0",
}
"""What WeasyPrint loads, and the Debian package that has it."""
_turn = threading.Lock()
_waiting = threading.Semaphore(MOST_WAITING + 1)


@cache
def missing() -> tuple[str, ...]:
    """Packages without which no PDF can be made; empty where all are there.  Imports none of them."""
    found = [package for library, package in _LIBRARIES.items() if ctypes.util.find_library(library) is None]
    return tuple(found if importlib.util.find_spec("weasyprint") is not None else ["weasyprint", *found])


def make(html: str, static: Path) -> bytes:
    """The document as PDF.  `static` is the directory that its addresses `static:...` are found in.

    Raises PaperUnavailable where something is not installed, PaperBusy when others wait already, PaperFailed when it
    took too long or could not be laid out.
    """
    if missing():
        raise PaperUnavailable(f"no PDF without {', '.join(missing())}", packages=" ".join(missing()))
    body = html.encode()
    if len(body) > MOST_HTML_BYTES:
        raise PaperFailed(f"a document of {len(body)} bytes")
    if not _waiting.acquire(blocking=False):
        raise PaperBusy("others wait for theirs already")
    try:
        if not _turn.acquire(timeout=LONGEST_WAIT_S):
            raise PaperBusy("the one before takes long")
        try:
            return _made(body, static)
        finally:
            _turn.release()
    finally:
        _waiting.release()


def _made(body: bytes, static: Path) -> bytes:
    command = [sys.executable, "-m", __name__, str(static)]
    # Nothing of ours that is secret is told to it: it needs to find Python's packages and a place for fonts' caches.
    told = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in os.environ}
    try:
        done = subprocess.run(command, input=body, capture_output=True, timeout=LONGEST_S, env=told, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise PaperFailed(f"not laid out within {LONGEST_S:.0f} s") from error
    if done.returncode or not done.stdout.startswith(b"%PDF-"):
        log.error("PDF not made code=%s said=%s", done.returncode, done.stderr.decode(errors="replace")[-500:])
        raise PaperFailed("the document could not be laid out")
    return done.stdout
