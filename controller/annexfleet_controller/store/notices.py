"""Notices: the queue of those to be sent, and the record of the others.

A notice is claimed by a conditional update with a lease, sent outside of any transaction, and recorded by whoever still
holds the claim.  So no two senders hold one at once; and one whose sender died between sending and recording is sent
again, which its receiver can tell by the notice's id.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session, aliased

from annexfleet_controller.errors import NoticeOvertaken, NoticeUnknown
from annexfleet_controller.store.tables.alerts import IncidentRow
from annexfleet_controller.store.tables.notices import Contact, NoticeItem, NoticeRow

GIVE_UP_AFTER = timedelta(hours=24)
_PLANNING_LOCK = 0x616E_6E65_786E
"""Of PostgreSQL's advisory locks, the one for planning notices."""


class NewItem(Struct, frozen=True, kw_only=True):
    incident_id: int
    what: str
    severity: str
    level: int = 0


class NewNotice(Struct, frozen=True, kw_only=True):
    contact_id: int
    kind: str
    items: tuple[NewItem, ...] = ()
    due_at: datetime
    dedupe_key: str


class Said(Struct, frozen=True, kw_only=True):
    """That one contact is, or will be, told of an incident."""

    contact: str
    channel: str
    """A contact's kind."""
    what: str
    state: str
    at: datetime
    """When it ended in that state, else when it is due."""
    reason: str


class Claimed(Struct, frozen=True):
    """A notice that is ours to send, with what it is about and whom it goes to."""

    row: NoticeRow
    items: Sequence[NoticeItem]
    contact: Contact


# -- planning


def one_planner_at_a_time(db: Session) -> None:
    """Let others wait until this transaction ends.  On SQLite a writing transaction is alone anyway."""
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_PLANNING_LOCK)))


def queue(db: Session, notices: Iterable[NewNotice], *, now: datetime) -> list[int]:
    """Store notices to be sent; the ids of those that were not there yet."""
    insert = postgresql_insert if db.get_bind().dialect.name == "postgresql" else sqlite_insert
    stored = []
    for notice in notices:
        made = db.execute(
            insert(NoticeRow)
            .values(
                contact_id=notice.contact_id, kind=notice.kind, dedupe_key=notice.dedupe_key, created_at=now,
                due_at=notice.due_at, give_up_at=notice.due_at + GIVE_UP_AFTER,
                state="queued", claimed_by="", attempts=0, reason="", detail="",
            )
            .on_conflict_do_nothing(index_elements=["dedupe_key"])
            .returning(NoticeRow.id)
        ).scalar()  # fmt: skip
        if made is None:
            continue
        stored.append(made)
        db.add_all(
            NoticeItem(
                notice_id=made, incident_id=item.incident_id, what=item.what, severity=item.severity, level=item.level
            )
            for item in notice.items
        )
    db.flush()
    return stored


def history(db: Session, incident_ids: Collection[int], *, since: datetime) -> list[tuple[NoticeRow, list[NoticeItem]]]:
    """Every notice about these incidents, and all that were queued or sent since then, oldest first.

    Each comes with all its items about these incidents.
    """
    about = select(NoticeItem.notice_id).where(NoticeItem.incident_id.in_(incident_ids))
    recent = and_(
        NoticeRow.state.in_(("queued", "sent")), or_(NoticeRow.ended_at.is_(None), NoticeRow.ended_at > since)
    )
    rows = db.scalars(
        select(NoticeRow).where(or_(NoticeRow.id.in_(about), recent)).order_by(NoticeRow.created_at, NoticeRow.id)
    ).all()
    items = _items(db, [row.id for row in rows])
    return [(row, items.get(row.id, [])) for row in rows]


def ends_perhaps_owed(db: Session, *, since: datetime) -> list[int]:
    """Incidents resolved since then of which somebody was told, and of whose end not everybody was."""
    other = aliased(NoticeRow)
    end = aliased(NoticeItem)
    told_the_end = exists().where(
        end.notice_id == other.id, end.incident_id == NoticeItem.incident_id, end.what == "resolved",
        end.left_out.is_(False), other.contact_id == NoticeRow.contact_id, other.state == "sent",
        other.created_at > NoticeRow.created_at,
    )  # fmt: skip
    query = (
        select(NoticeItem.incident_id)
        .join(NoticeRow, NoticeRow.id == NoticeItem.notice_id)
        .join(IncidentRow, IncidentRow.id == NoticeItem.incident_id)
        .where(
            IncidentRow.state == "resolved", IncidentRow.resolved_at > since, NoticeRow.state == "sent",
            NoticeItem.what != "resolved", NoticeItem.left_out.is_(False), ~told_the_end,
        )
        .distinct()
    )  # fmt: skip
    return list(db.scalars(query))


# -- sending


def claim(db: Session, owner: str, *, now: datetime, lease: timedelta, at_most: int) -> list[int]:
    """Take notices that are due and that nobody holds; their ids.  Each gets one attempt counted."""
    free = and_(
        NoticeRow.state == "queued", NoticeRow.due_at <= now,
        or_(NoticeRow.claimed_until.is_(None), NoticeRow.claimed_until < now),
    )  # fmt: skip
    candidates = db.scalars(select(NoticeRow.id).where(free).order_by(NoticeRow.due_at, NoticeRow.id).limit(at_most))
    taken = []
    for notice_id in candidates.all():
        claimed = db.execute(
            update(NoticeRow)
            .where(NoticeRow.id == notice_id, free)
            .values(claimed_by=owner, claimed_until=now + lease, attempts=NoticeRow.attempts + 1)
            .execution_options(synchronize_session=False)
        )
        if claimed.rowcount == 1:  # type: ignore[attr-defined]
            taken.append(notice_id)
    return taken


def is_any_due(db: Session, *, now: datetime) -> bool:
    """Whether `claim` is worth trying; costs no write."""
    due = select(NoticeRow.id).where(
        NoticeRow.state == "queued", NoticeRow.due_at <= now,
        or_(NoticeRow.claimed_until.is_(None), NoticeRow.claimed_until < now),
    )  # fmt: skip
    return db.scalar(due.limit(1)) is not None


def claimed(db: Session, notice_id: int, owner: str) -> Claimed | None:
    """What was claimed; None if it is ours no more."""
    row = db.get(NoticeRow, notice_id)
    if row is None or row.claimed_by != owner or row.state != "queued":
        return None
    contact = db.get(Contact, row.contact_id)
    assert contact is not None, "a notice goes with its contact"
    return Claimed(row, _items(db, [notice_id]).get(notice_id, []), contact)


def end(
    db: Session, notice_id: int, owner: str, state: str, *, now: datetime, reason: str = "", detail: str = "",
    left_out: Collection[int] = (),
) -> bool:  # fmt: skip
    """Record what became of a notice that is ours; False if it is ours no more, and then nothing is changed.

    `left_out` are the incidents that it did not speak of after all.
    """
    values = {
        "state": state, "ended_at": now, "claimed_by": "", "claimed_until": None, "reason": reason[:40],
        "detail": detail[:120],
    }  # fmt: skip
    if not _change_ours(db, notice_id, owner, values):
        return False
    if left_out:
        db.execute(
            update(NoticeItem)
            .where(NoticeItem.notice_id == notice_id, NoticeItem.incident_id.in_(left_out))
            .values(left_out=True)
        )
    return True


def put_off(
    db: Session, notice_id: int, owner: str, *, due_at: datetime, reason: str, detail: str
) -> bool:  # fmt: skip
    """Let a notice that is ours be tried again then; False if it is ours no more."""
    values = {
        "due_at": due_at, "claimed_by": "", "claimed_until": None, "reason": reason[:40], "detail": detail[:120],
    }  # fmt: skip
    return _change_ours(db, notice_id, owner, values)


# -- for people


def find(db: Session, notice_id: int) -> NoticeRow:
    """Raises NoticeUnknown."""
    row = db.get(NoticeRow, notice_id)
    if row is None:
        raise NoticeUnknown(f"no notice {notice_id}")
    return row


def items_of(db: Session, notice_id: int) -> list[NoticeItem]:
    return _items(db, [notice_id]).get(notice_id, [])


def listing(
    db: Session, *, state: str = "", contact_id: int | None = None, before: int | None = None, limit: int
) -> list[tuple[NoticeRow, str, list[NoticeItem]]]:
    """Notices, newest first, with their contact's name and what they are about."""
    query = (
        select(NoticeRow, Contact.name).join(Contact, Contact.id == NoticeRow.contact_id).order_by(NoticeRow.id.desc())
    )
    if state:
        query = query.where(NoticeRow.state == state)
    if contact_id is not None:
        query = query.where(NoticeRow.contact_id == contact_id)
    if before is not None:
        query = query.where(NoticeRow.id < before)
    rows = db.execute(query.limit(limit)).all()
    items = _items(db, [row.id for row, _ in rows])
    return [(row, name, items.get(row.id, [])) for row, name in rows]


def of_contacts(
    db: Session, contact_ids: Collection[int], *, skip: int, limit: int
) -> list[tuple[NoticeRow, list[NoticeItem]]]:  # fmt: skip
    """What these were told, will be or could not be, newest first, with what each was about when it went out."""
    rows = db.scalars(
        select(NoticeRow)
        .where(NoticeRow.contact_id.in_(sorted(contact_ids)))
        .order_by(NoticeRow.created_at.desc(), NoticeRow.id.desc())
        .offset(skip)
        .limit(limit)
    ).all()
    items = _items(db, [row.id for row in rows])
    return [(row, [item for item in items.get(row.id, []) if not item.left_out]) for row in rows]


def about(db: Session, incident_id: int, *, limit: int = 200) -> list[Said]:
    """Who was told of an incident, will be, or could not be, oldest first."""
    query = (
        select(NoticeRow, NoticeItem, Contact)
        .join(NoticeItem, NoticeItem.notice_id == NoticeRow.id)
        .join(Contact, Contact.id == NoticeRow.contact_id)
        .where(NoticeItem.incident_id == incident_id, NoticeItem.left_out.is_(False))
    )
    return [
        Said(
            contact=contact.name, channel=contact.kind, what=item.what, state=row.state,
            at=row.ended_at or row.due_at, reason=row.reason,
        )
        for row, item, contact in db.execute(query.order_by(NoticeRow.created_at, NoticeRow.id).limit(limit))
    ]  # fmt: skip


def called_for_help(db: Session, incident_id: int, *, since: datetime) -> int:
    """How many people were told since then that somebody asks for help with an incident, or are about to be.

    Who is reached in several ways is one person; a system that is told is nobody.  What failed for good, what was never
    sent, and what cannot be delivered at present do not count.
    """
    query = (
        select(Contact.id, Contact.user_id)
        .join(NoticeRow, NoticeRow.contact_id == Contact.id)
        .join(NoticeItem, NoticeItem.notice_id == NoticeRow.id)
        .where(
            NoticeItem.incident_id == incident_id, NoticeItem.what == "help", NoticeItem.left_out.is_(False),
            NoticeRow.created_at >= since, Contact.kind != "webhook",
            or_(NoticeRow.state == "sent", and_(NoticeRow.state == "queued", NoticeRow.reason == "")),
        )
    )  # fmt: skip
    return len({("user", user) if user is not None else ("contact", one) for one, user in db.execute(query)})


def retry(db: Session, notice_id: int, *, now: datetime) -> NoticeRow:
    """Send one that failed for good once more, or one that waits at once, for a day from now.

    Raises NoticeUnknown; NoticeOvertaken where it cannot be: it was sent or dropped, or its contact has heard, or will
    hear, something newer of the same incident.
    """
    row = find(db, notice_id)
    newer = (
        select(NoticeItem.notice_id)
        .join(NoticeRow, NoticeRow.id == NoticeItem.notice_id)
        .where(
            NoticeRow.contact_id == row.contact_id, NoticeRow.id > notice_id, NoticeRow.state.in_(("queued", "sent")),
            NoticeItem.incident_id.in_(select(NoticeItem.incident_id).where(NoticeItem.notice_id == notice_id)),
        )
    )  # fmt: skip
    if row.state not in {"failed", "queued"} or db.scalar(newer.limit(1)) is not None:
        raise NoticeOvertaken(f"notice {notice_id} was overtaken")
    row.state, row.ended_at, row.due_at, row.give_up_at = "queued", None, now, now + GIVE_UP_AFTER
    db.flush()
    return row


def failing(db: Session) -> Mapping[int, tuple[str, str, datetime]]:
    """By contact the reason, its detail and the moment of its last notice, where that failed for good or may yet."""
    newest = select(func.max(NoticeRow.id)).where(NoticeRow.attempts > 0, NoticeRow.state != "dropped")
    query = select(NoticeRow).where(NoticeRow.id.in_(newest.group_by(NoticeRow.contact_id)), NoticeRow.reason != "")
    return {
        row.contact_id: (row.reason, row.detail, row.ended_at or row.created_at)
        for row in db.scalars(query) if row.state in {"failed", "queued"}
    }  # fmt: skip


def count(db: Session) -> dict[str, int]:
    """How many there are, by state."""
    rows = db.execute(select(NoticeRow.state, func.count()).group_by(NoticeRow.state))
    return {row[0]: row[1] for row in rows}


def prune(db: Session, *, before: datetime, at_most: int) -> int:
    """Forget notices that ended before then, of incidents that are over; how many went."""
    of_open = (
        select(NoticeItem.notice_id)
        .join(IncidentRow, IncidentRow.id == NoticeItem.incident_id)
        .where(IncidentRow.state != "resolved")
    )
    old = select(NoticeRow.id).where(NoticeRow.ended_at < before, NoticeRow.id.not_in(of_open)).limit(at_most)
    gone = db.scalars(old).all()
    db.execute(delete(NoticeItem).where(NoticeItem.notice_id.in_(gone)))
    db.execute(delete(NoticeRow).where(NoticeRow.id.in_(gone)))
    return len(gone)


def _items(db: Session, notice_ids: Sequence[int]) -> dict[int, list[NoticeItem]]:
    found: dict[int, list[NoticeItem]] = {}
    for start in range(0, len(notice_ids), 500):
        some = notice_ids[start : start + 500]
        query = select(NoticeItem).where(NoticeItem.notice_id.in_(some)).order_by(NoticeItem.incident_id)
        for item in db.scalars(query):
            found.setdefault(item.notice_id, []).append(item)
    return found


def _change_ours(db: Session, notice_id: int, owner: str, values: Mapping[str, object]) -> bool:
    changed = db.execute(
        update(NoticeRow)
        .where(NoticeRow.id == notice_id, NoticeRow.claimed_by == owner, NoticeRow.state == "queued")
        .values(values)
        .execution_options(synchronize_session=False)
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]
