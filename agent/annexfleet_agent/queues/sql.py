"""Queue figures from a database, read-only: SQLite by path, PostgreSQL by URL with the extra `postgresql`.

The query stands in agent.toml and gives a row a queue, its columns named like the fields of the canonical row.  SQLite
is opened with `mode=ro` and stopped by a progress handler; PostgreSQL runs in a read-only transaction with a statement
timeout.  The driver is psycopg2, not psycopg 3, which would bring asyncio and 16 MiB into the resident agent (6.6 MiB).
"""

import contextlib
import math
import sqlite3
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from annexfleet_agent.http1 import Timeout
from annexfleet_agent.queues.source import MAX_ANSWER_BYTES, MAX_ROWS, Fetched, SourceFailed
from annexfleet_agent.settings import QueueSource

_OPERATIONS_BETWEEN_LOOKS = 10_000
"""Of SQLite's virtual machine: about a millisecond."""
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


class _Cursor(Protocol):
    """What both drivers' cursors have of DB-API 2."""

    @property
    def description(self) -> Any: ...
    def fetchmany(self, size: int, /) -> list[Any]: ...


def fetch(source: QueueSource) -> Fetched:
    """The rows as a list of objects.  Raises SourceFailed, Timeout, PermissionError."""
    rows = _from_postgresql(source) if source.url else _from_sqlite(source)
    if not rows:
        raise SourceFailed("malformed", "the query gave no row")
    return Fetched(rows)


def _objects(cursor: _Cursor) -> list[dict[str, Any]]:
    if cursor.description is None:
        raise SourceFailed("malformed", "the query is no SELECT")
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise SourceFailed("too_big", f"the query gave over {MAX_ROWS} rows")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _from_sqlite(source: QueueSource) -> list[dict[str, Any]]:
    path = Path(source.path)
    if not path.exists():
        raise SourceFailed("unreachable", f"there is no file {path}")
    ends_at = time.monotonic() + source.timeout_s
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=source.timeout_s)) as database:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ANSWER_BYTES)
            # Reading only: an ATTACH could otherwise make a file, a PRAGMA change the database's mode.
            database.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY)
            database.set_progress_handler(lambda: time.monotonic() > ends_at, _OPERATIONS_BETWEEN_LOOKS)
            return _objects(database.execute(source.query))
    except sqlite3.Error as error:
        raise _explained(error, path) from None


def _explained(error: sqlite3.Error, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the extended codes keep their kind in the low byte
    if code in {sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Timeout("the query takes too long" if code == sqlite3.SQLITE_INTERRUPT else "the database is locked")
    if code == sqlite3.SQLITE_CANTOPEN:
        # Also a database in WAL mode whose -wal and -shm are gone while its directory is closed to us.
        return PermissionError(f"cannot open {path}")
    if code in {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY}:
        return SourceFailed("denied", f"the query may only read: {error}")
    if code == sqlite3.SQLITE_NOTADB:
        return SourceFailed("malformed", f"{path} is no SQLite database")
    if code == sqlite3.SQLITE_TOOBIG:
        return SourceFailed("too_big", f"a value has over {MAX_ANSWER_BYTES} bytes")
    return SourceFailed("failed", str(error))


def _from_postgresql(source: QueueSource) -> list[dict[str, Any]]:
    try:
        import psycopg2.extensions  # noqa: PLC0415  # an extra, and 6.6 MiB
    except ImportError:
        raise SourceFailed("unsupported", "PostgreSQL needs annexfleet-agent[postgresql]") from None
    milliseconds = math.ceil(source.timeout_s * 1000)
    try:
        connection = psycopg2.connect(
            source.url,
            connect_timeout=max(2, math.ceil(source.timeout_s)),  # libpq takes 1 for 2
            options=f"-c statement_timeout={milliseconds} -c default_transaction_read_only=on",
            application_name="annexfleet-agent",
            tcp_user_timeout=milliseconds,
        )
        try:
            connection.set_session(readonly=True)
            # Numbers of a database (`sum` gives such) as Python's own; the rest of the agent has no use for decimals.
            numeric = psycopg2.extensions.DECIMAL.values
            as_float = psycopg2.extensions.new_type(
                numeric, "FLOAT", lambda text, _: None if text is None else float(text)
            )
            psycopg2.extensions.register_type(as_float, connection)
            with connection.cursor() as cursor:
                cursor.execute(source.query)
                return _objects(cursor)
        finally:
            connection.close()  # rolls back
    except psycopg2.Error as error:
        raise _explained_postgresql(error, source.url) from None


def _explained_postgresql(error: Any, url: str) -> Exception:
    # The driver's text may repeat the address with its password.
    said = (str(error).strip().partition("\n")[0] or type(error).__name__).replace(url, "the address")
    state = error.pgcode or ""
    if state == "57014" or "timeout expired" in said:  # query_canceled
        return Timeout("the query takes too long" if state else "no connection in time")
    if state in {"25006", "42501"} or state.startswith("28") or "authentication failed" in said:
        return SourceFailed("denied", said)
    if not state:
        return SourceFailed("unreachable", said)
    return SourceFailed("failed", said)
