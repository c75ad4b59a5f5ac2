"""Who did what: a chain of entries, each sealed with the digest of the one before it.

An entry is written in the transaction of the act itself: both are there, or neither.  Writers take turns, so that the
numbers have no hole: on SQLite a writing transaction is alone anyway, on PostgreSQL they wait for one lock.  Call `add`
late in a transaction, as others wait from then on until it ends.

What the chain proves: whoever changes, deletes, inserts or reorders entries has to compute every later digest anew.
`work` keeps the newest number and digest outside of the database now and then (`Checkpoint`); against that, such a
forgery, and a tail that was cut off, are found too.  Who can write both the database and the home can forge both.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.audit import AuditRow

FIRST_BEFORE = "0" * 64
_LOCK = 0x61756469
"""Any number of our own: `audi`."""
_AT_ONCE = 1000

Fact = str | int | float | bool | list[str] | None


class Entry(Struct, frozen=True):
    """One act."""

    id: int
    at: datetime
    actor: str
    via: str
    """session, key, console or worker"""
    act: str
    subject: str
    annex_id: str
    facts: dict[str, Fact]
    digest: str


class Checkpoint(Struct, frozen=True):
    """The newest entry as it was once."""

    id: int
    digest: str


class Bad(Struct, frozen=True):
    """The first entry that is not as it was written.

    `reason`: `changed` (it does not fit its digest), `missing` (there is a hole before it, or it is gone), `unlinked`
    (it does not follow the one before it), `forged` (the chain fits, but not to the checkpoint).
    """

    id: int
    reason: str


def add(
    db: Session,
    *,
    now: datetime,
    actor: str,
    via: str,
    act: str,
    subject: str,
    annex_id: str = "",
    facts: Mapping[str, Fact] | None = None,
) -> None:
    """Write an entry in the caller's transaction.  `facts` hold no secrets."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    db.flush()
    last = tail(db)
    row = AuditRow(
        id=1 if last is None else last.id + 1,
        at=now,
        actor=actor[:80],
        via=via,
        act=act,
        subject=subject[:120],
        annex_id=annex_id,
        facts=json.dumps(facts or {}, sort_keys=True),
        before=FIRST_BEFORE if last is None else last.digest,
    )
    row.digest = _digest(row)
    db.add(row)
    db.flush()


def tail(db: Session) -> Checkpoint | None:
    """The newest entry; None where there is none."""
    row = db.execute(select(AuditRow.id, AuditRow.digest).order_by(AuditRow.id.desc()).limit(1)).one_or_none()
    return None if row is None else Checkpoint(row.id, row.digest)


def verify(db: Session, *, checkpoint: Checkpoint | None = None) -> Bad | None:
    """The first entry that is not as it was written; None where all are.

    Reads every entry, a thousand at a time.  With a checkpoint it also finds what was cut off at the end since, and a
    chain that was computed anew.
    """
    before, last = FIRST_BEFORE, 0
    while rows := _after(db, last):
        for row in rows:
            if row.id != last + 1:
                return Bad(last + 1, "missing")
            if row.before != before:
                return Bad(row.id, "unlinked")
            if _digest(row) != row.digest:
                return Bad(row.id, "changed")
            if checkpoint is not None and row.id == checkpoint.id and row.digest != checkpoint.digest:
                return Bad(row.id, "forged")
            before, last = row.digest, row.id
    if checkpoint is not None and checkpoint.id > last:
        return Bad(last + 1, "missing")
    return None


def entries(
    db: Session,
    scope: Scope,
    *,
    actor: str = "",
    act: str = "",
    subject: str = "",
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Acts in sight, the newest first, from before that number; those of the province only for who sees all of it.

    `act` may be the first half of one, such as `run`; `actor` and `subject` are parts of them.
    """
    query: Select[AuditRow] = select(AuditRow).where(scope.limit(AuditRow.annex_id))
    if actor:
        query = query.where(AuditRow.actor.ilike(like(actor), escape="\\"))
    if act:
        whole = "." in act
        query = query.where(AuditRow.act == act if whole else AuditRow.act.startswith(act + ".", autoescape=True))
    if subject:
        query = query.where(AuditRow.subject.ilike(like(subject), escape="\\"))
    if before is not None:
        query = query.where(AuditRow.id < before)
    return [_entry(row) for row in db.scalars(query.order_by(AuditRow.id.desc()).limit(limit))]


def is_from_console(db: Session, subject: str, acts: Collection[str]) -> bool:
    """Whether one of these acts upon it was done at the console."""
    query = select(AuditRow.id).where(
        AuditRow.subject == subject, AuditRow.act.in_(acts), AuditRow.via == "console"
    )  # fmt: skip
    return db.scalar(query.limit(1)) is not None


def acts(db: Session, scope: Scope) -> list[str]:
    """Every kind of act that there is in sight."""
    query = select(AuditRow.act).where(scope.limit(AuditRow.annex_id)).distinct().order_by(AuditRow.act)
    return list(db.scalars(query))


def count(db: Session) -> int:
    """How many entries there are."""
    return db.scalar(select(func.count()).select_from(AuditRow)) or 0


def _after(db: Session, last: int) -> Sequence[Any]:
    columns = (
        AuditRow.id, AuditRow.at, AuditRow.actor, AuditRow.via, AuditRow.act, AuditRow.subject, AuditRow.annex_id,
        AuditRow.facts, AuditRow.before, AuditRow.digest,
    )  # fmt: skip
    return db.execute(select(*columns).where(AuditRow.id > last).order_by(AuditRow.id).limit(_AT_ONCE)).all()


def _digest(row: Any) -> str:
    """SHA-256 over an entry's canonical bytes: a JSON list, ASCII, without spaces, moments in microseconds."""
    moment = bulk.micros(row.at.timestamp())
    parts = [row.before, row.id, moment, row.actor, row.via, row.act, row.subject, row.annex_id, row.facts]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).hexdigest()


def _entry(row: AuditRow) -> Entry:
    return Entry(
        row.id, row.at, row.actor, row.via, row.act, row.subject, row.annex_id, _facts(row.facts), row.digest
    )  # fmt: skip


def _facts(text: str) -> dict[str, Fact]:
    """Also of an entry that somebody spoiled: the page that shows it must stand."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
