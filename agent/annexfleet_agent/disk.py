"""What a disk does to the outbox: it is full, or it damages the file.

SQLite needs room for its log even to delete, so a full disk would stop an outbox from draining for ever.  The ballast
is a file that holds room for this moment.
"""

import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)

PAGE_BYTES = 4096
_BYTES = 256 * 1024


def connected(path: Path, *, most_pages: int) -> sqlite3.Connection:
    """Open or create the outbox's file for this process alone.

    Raises sqlite3.DatabaseError: it is locked by another, damaged, or there is no room.
    """
    db = sqlite3.connect(path, isolation_level=None, timeout=0.5)
    try:
        # Exclusive: a second agent is refused, and the log needs no shared memory file.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -128")
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA wal_autocheckpoint = 32")
        db.execute(f"PRAGMA max_page_count = {most_pages}")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")  # noqa: TRY301  # as SQLite itself would say it
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


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
