"""What a disk does to the outbox: it is full, or it damages the file.

SQLite needs room for its log even to delete, so a full disk would stop an outbox from draining for ever.  The ballast
is a file that holds room for this moment.
"""

import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)

_BYTES = 256 * 1024


def take_ballast(path: Path) -> bool:
    """Hold the room, if it is not held already; whether it was taken now."""
    if path.exists():
        return False
    try:
        path.write_bytes(os.urandom(4096) * (_BYTES // 4096))  # zeros might be stored as a hole
    except OSError:
        path.unlink(missing_ok=True)
        return False
    return True


def give_back_ballast(path: Path) -> bool:
    """Whether there was room to give back."""
    try:
        path.unlink()
    except OSError:
        return False
    log.warning("the disk is full, the outbox goes on in its ballast")
    return True


def is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database any more."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return "malformed" in str(error)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: sqlite3.DatabaseError) -> bool:
    """Whether room may be what is missing."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
