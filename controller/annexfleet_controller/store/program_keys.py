"""Keys of programs: what opens for whom, within which bounds.  The key itself is never here, only its SHA-256."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.tables.people import ApiKey, ApiKeyAnnex, User
from annexfleet_controller.store.tables.places import Annex


def add(
    db: Session,
    *,
    digest: str,
    name: str,
    user_id: int,
    expires_at: datetime | None,
    now: datetime,
    role: str = "",
    reads_only: bool = False,
    annex_ids: Collection[str] = (),
) -> None:
    """No annex means all of its person's.  Raises AnnexUnknown."""
    for annex_id in annex_ids:
        if db.get(Annex, annex_id) is None:
            raise AnnexUnknown(f"no annex {annex_id!r}")
    db.add(
        ApiKey(
            digest=digest, name=name, user_id=user_id, created_at=now, expires_at=expires_at, role=role,
            reads_only=reads_only,
        )
    )  # fmt: skip
    db.flush()
    db.add_all(ApiKeyAnnex(digest=digest, annex_id=annex_id) for annex_id in sorted(set(annex_ids)))
    db.flush()


def owner(db: Session, digest: str, now: datetime) -> tuple[ApiKey, User] | None:
    """The person for whom a key acts, while both are good."""
    query = (
        select(ApiKey, User)
        .join(User, User.id == ApiKey.user_id)
        .where(
            ApiKey.digest == digest,
            (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > now),
            User.disabled_at.is_(None),
        )
    )
    return db.execute(query).first()


def annexes_of(db: Session, digest: str) -> frozenset[str]:
    """The annexes a key is confined to; none means all of its person's."""
    return frozenset(db.scalars(select(ApiKeyAnnex.annex_id).where(ApiKeyAnnex.digest == digest)))


def annexes(db: Session, digests: Collection[str]) -> dict[str, list[str]]:
    """Of many keys, by digest; a key without bounds is missing."""
    found: dict[str, list[str]] = {}
    query = select(ApiKeyAnnex).where(ApiKeyAnnex.digest.in_(sorted(digests))).order_by(ApiKeyAnnex.annex_id)
    for row in db.scalars(query):
        found.setdefault(row.digest, []).append(row.annex_id)
    return found


def touch(db: Session, digest: str, now: datetime) -> None:
    db.execute(update(ApiKey).where(ApiKey.digest == digest).values(used_at=now))


def listing(
    db: Session, *, user_id: int | None = None, search: str = "", offset: int = 0, limit: int | None = None
) -> Sequence[tuple[ApiKey, User]]:
    """Keys, the newest first, of one person or of all; the expired too: one sees why a program stands still."""
    query = select(ApiKey, User).join(User, User.id == ApiKey.user_id)
    if user_id is not None:
        query = query.where(ApiKey.user_id == user_id)
    if search:
        pattern = like(search)
        query = query.where(ApiKey.name.ilike(pattern, escape="\\") | User.name.ilike(pattern, escape="\\"))
    query = query.order_by(ApiKey.created_at.desc(), ApiKey.digest).offset(offset).limit(limit)
    return [(key, user) for key, user in db.execute(query)]


def count(db: Session, user_id: int) -> int:
    return db.scalar(select(func.count()).where(ApiKey.user_id == user_id)) or 0


def remove(db: Session, digest: str) -> bool:
    """It opens nothing from now on.  Whether it was there."""
    db.execute(delete(ApiKeyAnnex).where(ApiKeyAnnex.digest == digest))
    gone = db.execute(delete(ApiKey).where(ApiKey.digest == digest))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


def remove_all(db: Session, user_id: int) -> int:
    """All of a person's keys; how many."""
    theirs = select(ApiKey.digest).where(ApiKey.user_id == user_id)
    db.execute(delete(ApiKeyAnnex).where(ApiKeyAnnex.digest.in_(theirs)))
    gone = db.execute(delete(ApiKey).where(ApiKey.user_id == user_id))
    return int(gone.rowcount)  # type: ignore[attr-defined]
