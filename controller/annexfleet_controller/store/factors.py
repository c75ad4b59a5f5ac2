"""Second factors: sealed secrets, the step of the newest code that opened, and recovery codes."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.people import RecoveryCode, User


def begin(db: Session, user_id: int, sealed: bytes) -> bool:
    """Keep a secret of which no code was typed yet.  False where a confirmed one is there already."""
    kept = db.execute(
        update(User)
        .where(User.id == user_id, User.totp_confirmed_at.is_(None))
        .values(totp_sealed=sealed, totp_last_step=0)
    )
    return bool(kept.rowcount)  # type: ignore[attr-defined]


def confirm(db: Session, user_id: int, *, sealed: bytes, step: int, now: datetime) -> bool:
    """From now on codes of this secret are asked for.  False where it is not the one that waits to be confirmed."""
    kept = db.execute(
        update(User)
        .where(User.id == user_id, User.totp_confirmed_at.is_(None), User.totp_sealed == sealed)
        .values(totp_confirmed_at=now, totp_last_step=step)
    )
    return bool(kept.rowcount)  # type: ignore[attr-defined]


def spend_step(db: Session, user_id: int, *, sealed: bytes, step: int) -> bool:
    """Whether the code of this step opens: once, and only if no newer one did."""
    spent = db.execute(
        update(User)
        .where(User.id == user_id, User.totp_sealed == sealed, User.totp_last_step < step)
        .values(totp_last_step=step)
    )
    return bool(spent.rowcount)  # type: ignore[attr-defined]


def remove(db: Session, user_id: int) -> bool:
    """Secret and recovery codes.  Whether a confirmed one was there."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    was_on = db.scalar(select(User.totp_confirmed_at).where(User.id == user_id)) is not None
    db.execute(
        update(User).where(User.id == user_id).values(totp_sealed=None, totp_confirmed_at=None, totp_last_step=0)
    )
    return was_on


def replace_codes(db: Session, user_id: int, digests: Collection[str]) -> None:
    """New recovery codes; the old ones open no more."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    db.add_all(RecoveryCode(user_id=user_id, digest=digest) for digest in digests)
    db.flush()


def spend_code(db: Session, user_id: int, digest: str, now: datetime) -> bool:
    """Whether this recovery code opens: once."""
    spent = db.execute(
        update(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest, RecoveryCode.used_at.is_(None))
        .values(used_at=now)
    )
    return bool(spent.rowcount)  # type: ignore[attr-defined]


def codes_left(db: Session, user_id: int) -> int:
    left = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return db.scalar(left) or 0
