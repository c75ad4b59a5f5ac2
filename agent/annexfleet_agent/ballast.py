"""A file that holds room on the disk, to be given back when the disk is full.

SQLite needs room for its log even to delete; a full disk would stop an outbox from draining for ever.
"""

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_BYTES = 256 * 1024


def take(path: Path) -> None:
    """Hold the room again; harmless if it is held, or if there is none."""
    if path.exists():
        return
    try:
        path.write_bytes(os.urandom(4096) * (_BYTES // 4096))  # zeros might be stored as a hole
    except OSError:
        path.unlink(missing_ok=True)


def give_back(path: Path) -> bool:
    """Whether there was room to give back."""
    try:
        path.unlink()
    except OSError:
        return False
    log.warning("the disk is full, the outbox goes on in its ballast")
    return True
