"""Leases, so that of several workers one does a periodic job."""

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import bulk
from annexfleet_controller.store.tables.work import Job

_DUE_WITHIN = timedelta(hours=2)
_LEASED_FOR = timedelta(minutes=10)
"""No job is put off, or leased, for longer.  What says so was written by a clock that was ahead, and counts as over."""


def is_free(db: Session, name: str, *, now: datetime) -> bool:
    """Whether `claim` is worth trying; costs no write."""
    row = db.execute(select(Job.due_at, Job.leased_until).where(Job.name == name)).one_or_none()
    if row is None:
        return True
    is_due = row.due_at <= now or row.due_at > now + _DUE_WITHIN
    until = row.leased_until
    return is_due and (until is None or until < now or until > now + _LEASED_FOR)


def claim(db: Session, name: str, owner: str, *, now: datetime, lease: timedelta) -> bool:
    """Take a job that is due and that nobody holds; whether it is ours now."""
    columns = ("name", "due_at", "owner", "failed")
    bulk.insert_missing(db, Job, columns[:1], columns, [(name, bulk.micros(now.timestamp()), "", "")])
    free = or_(Job.leased_until.is_(None), Job.leased_until < now, Job.leased_until > now + _LEASED_FOR)
    is_due = or_(Job.due_at <= now, Job.due_at > now + _DUE_WITHIN)
    taken = db.execute(update(Job).where(Job.name == name, is_due, free).values(owner=owner, leased_until=now + lease))
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def keep(db: Session, name: str, owner: str, *, now: datetime, lease: timedelta) -> bool:
    """Hold a job for longer; False if it was lost to another worker meanwhile."""
    kept = db.execute(update(Job).where(Job.name == name, Job.owner == owner).values(leased_until=now + lease))
    return bool(kept.rowcount)  # type: ignore[attr-defined]


def release(db: Session, name: str, owner: str, *, now: datetime, due_at: datetime, failed: str = "") -> None:
    """Give a job back until it is due again."""
    values = {"owner": "", "leased_until": None, "ended_at": now, "due_at": due_at, "failed": failed[:200]}
    db.execute(update(Job).where(Job.name == name, Job.owner == owner).values(values))


def tell(db: Session, name: str, owner: str, *, failed: str) -> None:
    """Say how a job that is held goes: the error it failed with last, empty if it did not."""
    db.execute(update(Job).where(Job.name == name, Job.owner == owner).values(failed=failed[:200]))


def failed(db: Session, name: str) -> str:
    """The error with which a job failed last; empty if it did not."""
    return db.scalar(select(Job.failed).where(Job.name == name)) or ""


def leased_until(db: Session, name: str) -> datetime | None:
    """Until when somebody holds a job; None if nobody does."""
    return db.scalar(select(Job.leased_until).where(Job.name == name))
