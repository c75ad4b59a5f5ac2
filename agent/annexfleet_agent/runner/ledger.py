"""What the runner must not forget: the highest sequence number it acted upon, what became of each command, and which
envelopes were refused.

`begin` is on disk before anything is done, with a mark that says "acting".  A runner that finds the mark when it starts
cannot know how far the one before it came: that command's outcome is `unknown` for ever, and it is not done again.
"""

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from annexfleet_agent.protocol import receipts
from annexfleet_agent.protocol.envelope import HARMLESS

log = logging.getLogger(__name__)

Outcome = Literal["done", "refused", "failed", "unknown"]

_MOST_RECEIPTS = 1000
_HOURS_KEPT = 24
_SCHEMA = """
CREATE TABLE IF NOT EXISTS mark (key TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipt (
    command_id TEXT PRIMARY KEY, outcome TEXT NOT NULL, detail TEXT NOT NULL, at REAL NOT NULL, told INTEGER NOT NULL,
    proof TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS acting (
    command_id TEXT PRIMARY KEY, at REAL NOT NULL, receipt_key BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
    hour INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (hour, reason)
) WITHOUT ROWID;
"""
_ALL_TIME = -1
"""The hour under which everything is summed up."""


class LedgerUnusable(Exception):
    """It cannot be written: nothing may be done until it can."""


class Kept(Struct, frozen=True, kw_only=True):
    """What became of a command."""

    command_id: str
    outcome: Outcome
    detail: str
    at: float
    proof: str = ""
    """As `protocol.receipts` makes it."""


class Ledger:
    """One runner's.  Belongs to one process."""

    def __init__(self, path: Path, *, now: float) -> None:
        """Open, or begin.  Raises LedgerUnusable.

        A damaged file is moved aside: what it protects against, a replay, is also refused for want of its challenge.
        """
        self._path = path
        try:
            self._db = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                raise LedgerUnusable(f"{path}: {error}") from error
            log.error("the ledger is damaged and begins anew path=%s reason=%s", path, error)  # noqa: TRY400
            self._move_aside()
            self._db = self._open()
        self._sequence = int(self._mark("sequence"))
        self._newest_issued_at = self._mark("newest_issued_at")
        self._settle_unknown(now)

    def close(self) -> None:
        self._db.close()

    # -- what was acted upon

    @property
    def sequence(self) -> int:
        """The highest that was acted upon; 0 if none was."""
        return self._sequence

    @property
    def newest_issued_at(self) -> float:
        """The latest moment at which an accepted envelope was signed, by the controller's clock."""
        return self._newest_issued_at

    def begin(self, *, sequence: int, issued_at: float, command_id: str, now: float, receipt_key: bytes = b"") -> None:
        """About to act; on disk when this returns.  `command_id` is empty for a run, whose parts have no receipts.

        With `receipt_key` the command's receipt is proven, also if this process does not live to write it.

        Raises LedgerUnusable: then nothing may be done.
        """
        newest = max(issued_at, self._newest_issued_at)
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO mark VALUES ('sequence', ?)", (sequence,))
            self._db.execute("INSERT OR REPLACE INTO mark VALUES ('newest_issued_at', ?)", (newest,))
            if command_id:
                self._db.execute("INSERT OR REPLACE INTO acting VALUES (?, ?, ?)", (command_id, now, receipt_key))
        self._sequence, self._newest_issued_at = sequence, newest

    def end(self, command_id: str, outcome: Outcome, detail: str, *, now: float) -> Kept:
        """What became of it; on disk when this returns.  Raises LedgerUnusable."""
        with self._writing():
            kept = self._keep(command_id, outcome, detail, now)
            self._db.execute("DELETE FROM acting WHERE command_id = ?", (command_id,))
            self._db.execute(
                "DELETE FROM receipt WHERE told AND rowid <= (SELECT max(rowid) FROM receipt) - ?", (_MOST_RECEIPTS,)
            )
        return kept

    def receipt(self, command_id: str) -> Kept | None:
        """What became of a command before; None if it was never begun, or long ago."""
        row = self._db.execute(
            "SELECT command_id, outcome, detail, at, proof FROM receipt WHERE command_id = ?", (command_id,)
        ).fetchone()
        return None if row is None else _kept(row)

    def untold(self) -> list[Kept]:
        """Receipts of which the resident agent has not said that it keeps them."""
        return [
            _kept(row)
            for row in self._db.execute(
                "SELECT command_id, outcome, detail, at, proof FROM receipt WHERE NOT told ORDER BY rowid"
            )
        ]

    def told(self, command_id: str) -> None:
        with suppress(LedgerUnusable), self._writing():
            self._db.execute("UPDATE receipt SET told = 1 WHERE command_id = ?", (command_id,))

    # -- what was refused

    def count_refusals(self, reasons: dict[str, int], *, now: float) -> None:
        """Add to the counts; harmless reasons are not counted."""
        hour = int(now // 3600)
        with suppress(LedgerUnusable), self._writing():
            for reason, count in reasons.items():
                for under in (hour, _ALL_TIME):
                    self._db.execute(
                        "INSERT INTO refused VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                        (under, reason, count),
                    )
            self._db.execute("DELETE FROM refused WHERE hour >= 0 AND hour < ?", (hour - _HOURS_KEPT,))

    def refused_by_reason(self) -> dict[str, int]:
        """Since the runner was installed."""
        return dict(self._db.execute("SELECT reason, count FROM refused WHERE hour = ?", (_ALL_TIME,)))

    def refused_by_hour(self) -> dict[int, int]:
        """As if forged, of the last day; hour is Unix time divided by 3600."""
        harmless = ",".join("?" * len(HARMLESS))
        return dict(
            self._db.execute(
                f"SELECT hour, sum(count) FROM refused WHERE hour >= 0 AND reason NOT IN ({harmless}) GROUP BY hour",  # noqa: S608  # question marks
                sorted(HARMLESS),
            )
        )

    # -- within

    def _open(self) -> sqlite3.Connection:
        with suppress(OSError):  # SQLite says better what is wrong
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # its journal takes over the mode
        db = sqlite3.connect(self._path, isolation_level=None, timeout=5)
        try:
            db.execute("PRAGMA journal_mode = DELETE")  # its commit is on disk, with the directory, when it returns
            db.execute("PRAGMA synchronous = EXTRA")
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(f"malformed: {verdict}")  # noqa: TRY301  # as SQLite itself would say it
            db.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def _move_aside(self) -> None:
        with suppress(OSError):
            self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))

    def _mark(self, key: str) -> float:
        row = self._db.execute("SELECT value FROM mark WHERE key = ?", (key,)).fetchone()
        return row[0] if row else 0.0

    def _keep(self, command_id: str, outcome: Outcome, detail: str, at: float) -> Kept:
        """The key of its receipt goes with the mark that it was begun; the proof stays."""
        row = self._db.execute("SELECT receipt_key FROM acting WHERE command_id = ?", (command_id,)).fetchone()
        proof = receipts.proof(row[0] if row else b"", command_id, outcome, detail)
        self._db.execute(
            "INSERT OR REPLACE INTO receipt VALUES (?, ?, ?, ?, 0, ?)", (command_id, outcome, detail, at, proof)
        )
        return Kept(command_id=command_id, outcome=outcome, detail=detail, at=at, proof=proof)

    def _settle_unknown(self, now: float) -> None:
        """The runner before this one ended in the middle of these."""
        left = [command_id for (command_id,) in self._db.execute("SELECT command_id FROM acting")]
        if not left:
            return
        with self._writing():
            for command_id in left:
                log.warning("a command was begun and its end is unknown command=%s", command_id)
                self._keep(command_id, "unknown", "interrupted", now)
            self._db.execute("DELETE FROM acting")

    def _writing(self) -> "_Writing":
        return _Writing(self._db)


class _Writing:
    """A transaction.  Raises LedgerUnusable if it cannot be committed."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            raise LedgerUnusable(str(error)) from error

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as refused:
                self._undo()
                raise LedgerUnusable(str(refused)) from refused
            return
        self._undo()
        if isinstance(error, sqlite3.DatabaseError):
            raise LedgerUnusable(str(error)) from error

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _kept(row: tuple[str, Outcome, str, float, str]) -> Kept:
    return Kept(command_id=row[0], outcome=row[1], detail=row[2], at=row[3], proof=row[4])
