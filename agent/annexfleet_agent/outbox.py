"""What waits on disk until the controller has acknowledged it.

Promises: `put` returns after the item is safe from a kill or a power cut; numbers rise and are never used twice for
two items that were both sent; what is lost for want of room is told by a Gap; a full disk cannot stop the draining.
Not thread-safe: everything happens in the loop's thread.
"""

import errno
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from annexfleet_agent import disk
from annexfleet_agent.chance import new_id
from annexfleet_agent.pending import ROW_OVERHEAD_BYTES, Pending, gaps_of, row_of, size_of
from annexfleet_agent.protocol import messages

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_WHOLE_PAGES_BYTES = 16 * disk.PAGE_BYTES
"""Let go at once on a full disk: only whole pages can be used for something else."""
_DELETE_AT_ONCE = 100
"""Rows a transaction, so that its log fits into the ballast."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS item (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, boot TEXT NOT NULL,
    body BLOB NOT NULL
);
"""


class OutboxBusy(Exception):
    """Another agent has this outbox open."""


class Outbox:
    """A durable queue of items, bounded in bytes."""

    def __init__(self, path: Path, *, max_bytes: int, boot_id: str, owner: str = "") -> None:
        """Open or create.  A file that is no outbox any more is moved aside and a new installation begins.

        `owner`: the device's id; an outbox of another device is not sent in this one's name but begun anew.
        Raises OutboxBusy, and OSError where nothing can be written at all.
        """
        self.path = path
        self.max_bytes = max_bytes
        self.trouble = ""
        """A code for what is wrong with the outbox: empty, `began_anew` or `disk_full`."""
        self._most_pages = max_bytes * 5 // 4 // disk.PAGE_BYTES + 64
        self._boot_id = boot_id
        self._ballast = path.with_suffix(".ballast")
        self._owner = owner
        self._db: sqlite3.Connection
        self._open_or_begin_anew()

    # -- what is known without asking the disk

    @property
    def install_id(self) -> str:
        return self._install_id

    @property
    def next_seq(self) -> int:
        return self._next_seq

    @property
    def count(self) -> int:
        return self._count

    @property
    def used_ratio(self) -> float:
        """How full it is, 0 to 1."""
        return min(1.0, self._used / self.max_bytes)

    @property
    def gaps(self) -> Sequence[int]:
        """The numbers of the Gaps that wait; lowest first."""
        return self._gaps

    # -- items

    def put(self, *items: messages.Item) -> list[int]:
        """Store items in one transaction and give each its number.

        If even eviction makes no room (the disk is full and nothing can be reused), the items are lost and their
        numbers go into the next Gap.
        """
        rows = [row_of(number, item) for number, item in enumerate(items, self._next_seq)]
        room = sum(map(size_of, rows))
        self._next_seq += len(rows)
        if self._used + room > self.max_bytes:
            # A little more than needed, so that the next items find room without another eviction.
            self._attempt(lambda: self._evict(room + self.max_bytes // 64, at=rows[-1].at))
        stored = self._attempt(lambda: self._insert(rows))
        if stored is None and self._attempt(lambda: self._evict(room + _WHOLE_PAGES_BYTES, at=rows[-1].at)):
            stored = self._attempt(lambda: self._insert(rows))
        if stored is None:
            self._lost.extend(row._replace(body=b"") for row in rows)
            self._recover()
        return [row.seq for row in rows]

    def first(self, limit: int, *, after: int = 0) -> list[Pending]:
        """The oldest items whose number is above `after`."""
        return self._select("WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)

    def get(self, seq: int) -> Pending | None:
        found = self._select("WHERE seq = ?", seq)
        return found[0] if found else None

    def newest_changes(self) -> list[int]:
        """For each collector, the number of the newest change that waits; lowest number first."""
        return sorted(self._newest.values())

    def oldest_seq(self) -> int:
        """The number of the oldest item, or the next new one's if nothing waits."""
        oldest = self.first(1)
        return oldest[0].seq if oldest else self._next_seq

    def oldest_at(self) -> float | None:
        """The moment of the oldest item, by the device's clock; None if nothing waits."""
        oldest = self.first(1)
        return oldest[0].at if oldest else None

    def ack(self, upto: int, install_id: str = "") -> int:
        """Forget everything up to this number; how many items that were.

        An acknowledgement of another installation is ignored.  One of numbers not given yet means that this file was
        put back from an older copy: the controller would take all that is new for repeats, so a new installation
        begins and what waits is numbered afresh.
        """
        if install_id and install_id != self._install_id:
            log.warning("acknowledgement of another installation ignored upto=%s install=%s", upto, install_id)
            return 0
        if upto >= self._next_seq:
            log.error("the controller knows more items than were numbered, a new installation begins upto=%s", upto)
            self.begin_anew()
            return 0
        before = self._count
        while self._attempt(lambda: self._delete_some(upto)):
            pass
        if self._count < before:
            self._recover()
        return before - self._count

    def begin_anew(self) -> None:
        """Begin a new installation: what waits is kept and numbered afresh."""
        self._attempt(self._renumber)

    def give_up(self, seq: int, at: float) -> None:
        """Replace an item that the controller cannot take by a Gap."""
        item = self.get(seq)
        if item is not None and item.kind != "gap":
            self._attempt(lambda: self._drop([item], at))

    def shift(self, delta_s: float) -> None:
        """The device's clock was set forward by so many seconds: correct the items since this boot."""
        self._attempt(
            lambda: self._db.execute("UPDATE item SET at = max(0, at + ?) WHERE boot = ?", (delta_s, self._boot_id))
        )

    # -- small things that shall live and die with the installation

    def note(self, key: str, value: str) -> None:
        """Remember a word, such as the digest of the last inventory."""
        self._attempt(lambda: self._set("note:" + key, value))

    def noted(self, key: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", ("note:" + key,)).fetchone()
        return str(row[0]) if row else ""

    def close(self) -> None:
        self._db.close()

    # -- opening

    def _open_or_begin_anew(self) -> None:
        for last in (False, True):
            try:
                self._open()
            except sqlite3.DatabaseError as error:
                if hasattr(self, "_db"):
                    self._db.close()
                text = str(error)
                if "locked" in text:
                    raise OutboxBusy(f"{self.path} is in use by another agent") from None
                if last:
                    raise OSError(errno.EIO, f"no outbox can be made: {text}", str(self.path)) from error
                if disk.is_full(error) and disk.give_back_ballast(self._ballast):
                    continue
                if not disk.is_corrupt(error):
                    raise OSError(errno.EIO, f"the outbox cannot be opened: {text}", str(self.path)) from error
                self._move_aside(text)
            else:
                return

    def _move_aside(self, why: str) -> None:
        aside = self.path.with_suffix(".corrupt")
        log.error("the outbox is damaged, it is moved aside and a new one begins reason=%s to=%s", why, aside)
        self.path.replace(aside)  # only the last damaged one is kept, so that they cannot fill the disk
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.trouble = "began_anew"

    def _open(self) -> None:
        self._db = disk.connected(self.path, most_pages=self._most_pages)
        self._db.executescript(_SCHEMA)
        self._remember()
        self._recover()

    def _remember(self) -> None:
        """Read what is kept in memory, and make it for a new file."""
        meta = dict(self._db.execute("SELECT key, value FROM meta"))
        if self._owner and meta.get("owner", self._owner) != self._owner:
            log.warning("the outbox was another device's, it begins anew owner=%s", meta["owner"])
            self._db.executescript("DELETE FROM item; DELETE FROM meta;")
            meta = {}
        self._install_id = meta.get("install_id") or new_id(5)
        self._next_seq = int(meta.get("next_seq", "1"))
        self._lost: list[Pending] = []
        self._recount()
        self._set("install_id", self._install_id)
        self._set("owner", self._owner or meta.get("owner", ""))

    def _recount(self) -> None:
        self._count: int
        self._count, bytes_, last = self._db.execute(
            "SELECT count(*), ifnull(sum(length(body)), 0), ifnull(max(seq), 0) FROM item"
        ).fetchone()
        self._used: int = bytes_ + self._count * ROW_OVERHEAD_BYTES
        self._next_seq = max(self._next_seq, last + 1)
        self._newest: dict[str, int] = dict(
            self._db.execute("SELECT subject, max(seq) FROM item WHERE kind = 'change' GROUP BY subject")
        )
        self._gaps: list[int] = [
            seq for (seq,) in self._db.execute("SELECT seq FROM item WHERE kind = 'gap' ORDER BY seq")
        ]

    # -- writing

    def _attempt(self, write: Callable[[], _T]) -> _T | None:
        """Do this in a transaction; on a full disk once more without the ballast; None if it cannot be done."""
        for last in (False, True):
            before = self._next_seq, list(self._lost)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                result = write()
                self._db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._next_seq, self._lost = before
                if disk.is_corrupt(error):
                    self._db.close()
                    self._move_aside(str(error))
                    self._open_or_begin_anew()
                    return None
                self._undo()
                if last or not self._make_do():
                    log.error("the outbox cannot write reason=%s", error)  # noqa: TRY400  # a trace tells nothing here
                    self.trouble = "disk_full"
                    return None
            else:
                if self.trouble == "disk_full":
                    self.trouble = ""
                return result
        return None

    def _make_do(self) -> bool:
        """The disk is full: go on in the ballast, without growing; False if that was done already."""
        if not disk.give_back_ballast(self._ballast):
            return False
        with suppress(sqlite3.DatabaseError):
            # What the log holds beyond the file's end needs room in the file, now or never.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute("PRAGMA max_page_count = 1")  # as many as there are: from here on only pages let go are used
        return True

    def _recover(self) -> None:
        """Hold the ballast again if there is room for it, and grow as before."""
        if disk.take_ballast(self._ballast):
            self._db.execute(f"PRAGMA max_page_count = {self._most_pages}")

    def _undo(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._recount()

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _insert(self, rows: Sequence[Pending]) -> bool:
        if self._lost:  # what found no room on a full disk before
            self._tell_gap(self._lost, at=self._lost[-1].at)
            self._lost = []
        self._store(rows)
        self._set("next_seq", str(self._next_seq))
        return True

    def _store(self, rows: Sequence[Pending]) -> None:
        self._db.executemany(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)",
            [(row.seq, row.kind, row.subject, row.at, self._boot_id, row.body) for row in rows],
        )
        self._count += len(rows)
        self._used += sum(map(size_of, rows))
        self._newest.update((row.subject, row.seq) for row in rows if row.kind == "change")
        self._gaps += [row.seq for row in rows if row.kind == "gap"]

    def _delete_some(self, upto: int) -> int:
        rows = self._select("WHERE seq <= ? ORDER BY seq LIMIT ?", upto, _DELETE_AT_ONCE)
        if rows:
            self._db.execute("DELETE FROM item WHERE seq <= ?", (rows[-1].seq,))
            self._forget(rows)
        return len(rows)

    def _forget(self, rows: Sequence[Pending]) -> None:
        self._count -= len(rows)
        self._used -= sum(map(size_of, rows))
        for row in rows:
            if self._newest.get(row.subject) == row.seq:
                del self._newest[row.subject]
            if row.kind == "gap":
                self._gaps.remove(row.seq)

    def _evict(self, need: int, *, at: float) -> bool:
        """Let go of so many bytes, what is missed least first; whether anything went."""
        freed = 0
        gone: list[Pending] = []
        for row in self._least_missed_first():
            gone.append(row)
            freed += size_of(row)
            if freed >= need:
                break
        if gone:
            self._drop(gone, at)
            log.warning("the outbox is full, items are let go count=%s bytes=%s", len(gone), freed)
        return bool(gone)

    def _least_missed_first(self) -> Iterator[Pending]:
        """Beats; then changes that a newer one supersedes; then the rest; receipts last; never a Gap."""
        newest = set(self._newest.values())
        yield from self._each("WHERE kind = 'beat' ORDER BY seq")
        yield from (row for row in self._each("WHERE kind = 'change' ORDER BY seq") if row.seq not in newest)
        for row in self._each("WHERE kind IN ('change', 'inventory') ORDER BY seq"):
            if row.kind != "change" or row.seq in newest:
                yield row
        yield from self._each("WHERE kind = 'receipt' ORDER BY seq")

    def _drop(self, rows: Sequence[Pending], at: float) -> None:
        self._db.executemany("DELETE FROM item WHERE seq = ?", [(row.seq,) for row in rows])
        self._forget(rows)
        self._tell_gap(rows, at=at)
        self._set("next_seq", str(self._next_seq))

    def _tell_gap(self, gone: Sequence[Pending], *, at: float) -> None:
        """Store Gaps for these items.  They take in the newest Gap that waits, or all if that one is full.

        They get new numbers even then: an old one may have been received already, and is never read again.
        """
        earlier: list[Pending] = []
        rows: list[Pending] = []
        for taken in (self._gaps[-1:], self._gaps):
            earlier = [gap for gap in map(self.get, taken) if gap is not None]
            rows = gaps_of(self._next_seq, gone, earlier, at=at)
            if len(rows) == 1:
                break
        self._db.executemany("DELETE FROM item WHERE seq = ?", [(gap.seq,) for gap in earlier])
        self._forget(earlier)
        self._next_seq += len(rows)
        self._store(rows)

    def _renumber(self) -> None:
        """Begin a new installation with what waits.  Gaps go: they speak of numbers of the old one."""
        self._db.execute("DELETE FROM item WHERE kind = 'gap'")
        waiting = [seq for (seq,) in self._db.execute("SELECT seq FROM item ORDER BY seq")]
        self._db.executemany(
            "UPDATE item SET seq = ? WHERE seq = ?", [(new, old) for new, old in enumerate(waiting, 1)]
        )
        self._install_id = new_id(5)
        self._set("install_id", self._install_id)
        self._next_seq = len(waiting) + 1
        self._set("next_seq", str(self._next_seq))
        self._lost = []
        self._recount()

    # -- reading

    def _select(self, where: str, *values: object) -> list[Pending]:
        return list(self._each(where, *values))

    def _each(self, where: str, *values: object) -> Iterator[Pending]:
        sql = f"SELECT seq, kind, subject, at, body, boot <> ? FROM item {where}"  # noqa: S608  # written in this file
        return (Pending(*row) for row in self._db.execute(sql, (self._boot_id, *values)))
