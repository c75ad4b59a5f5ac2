"""Accounts as those who manage people see and change them."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, UserUnknown
from annexfleet_controller.store import program_keys
from annexfleet_controller.store.annexes import like
from annexfleet_controller.store.errors import PersonChanged
from annexfleet_controller.store.tables.notices import Contact
from annexfleet_controller.store.tables.people import ApiKey, SessionRow, User, UserAnnex
from annexfleet_controller.store.tables.places import Annex

_LOCK = 0x70656F706C65
"""Of PostgreSQL's advisory locks, the one for changing people: `people`."""


class Holdings(Struct, frozen=True):
    """What hangs on an account."""

    sessions: int
    keys: int
    contacts: int


def one_change_at_a_time(db: Session) -> None:
    """Let others who change people wait, so that two do not take the last administrators from one another.

    On SQLite a writing transaction is alone anyway.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def by_id(db: Session, user_id: int) -> User:
    """Raises UserUnknown."""
    user = db.get(User, user_id)
    if user is None:
        raise UserUnknown(f"no user number {user_id}")
    return user


def listing(
    db: Session, *, search: str = "", role: str = "", disabled: bool | None = None, after: str = "",
    limit: int | None = None,
) -> Sequence[User]:  # fmt: skip
    """People by name, from after that one; searched by name, full name, mail address and annex."""
    query = select(User).order_by(User.name)
    if search:
        pattern = like(search)
        confined = select(UserAnnex.user_id).where(UserAnnex.annex_id.ilike(pattern, escape="\\"))
        query = query.where(
            or_(
                User.name.ilike(pattern, escape="\\"),
                User.full_name.ilike(pattern, escape="\\"),
                User.email.ilike(pattern, escape="\\"),
                User.id.in_(confined),
            )
        )
    if role:
        query = query.where(User.role == role)
    if disabled is not None:
        query = query.where(User.disabled_at.is_not(None) if disabled else User.disabled_at.is_(None))
    if after:
        query = query.where(User.name > after)
    return db.scalars(query.limit(limit)).all()


def annexes(db: Session, user_ids: Collection[int]) -> dict[int, list[str]]:
    """The annexes of many people, by person; who sees the whole province is missing."""
    found: dict[int, list[str]] = {}
    query = select(UserAnnex).where(UserAnnex.user_id.in_(sorted(user_ids))).order_by(UserAnnex.annex_id)
    for row in db.scalars(query):
        found.setdefault(row.user_id, []).append(row.annex_id)
    return found


def last_seen(db: Session, user_ids: Collection[int], *, used_after: datetime) -> dict[int, datetime]:
    """When each was last there, of those who have a session that is not forgotten yet."""
    query = (
        select(SessionRow.user_id, func.max(SessionRow.used_at))
        .where(SessionRow.user_id.in_(sorted(user_ids)), SessionRow.used_at > used_after)
        .group_by(SessionRow.user_id)
    )
    return {row[0]: row[1] for row in db.execute(query)}


def holdings(db: Session, user_id: int) -> Holdings:
    def count(table: type[SessionRow] | type[ApiKey] | type[Contact]) -> int:
        return db.scalar(select(func.count()).select_from(table).where(table.user_id == user_id)) or 0

    return Holdings(sessions=count(SessionRow), keys=count(ApiKey), contacts=count(Contact))


def other_admins(db: Session, user_id: int) -> int:
    """How many besides this one may manage people: enabled administrators of the whole province."""
    confined = select(UserAnnex.user_id)
    query = select(func.count()).where(
        User.id != user_id, User.role == "admin", User.disabled_at.is_(None), User.id.not_in(confined)
    )
    return db.scalar(query) or 0


def change(
    db: Session,
    user_id: int,
    *,
    version: int,
    role: str,
    annex_ids: Collection[str],
    full_name: str,
    email: str,
    language: str,
) -> None:
    """Raises PersonChanged where somebody else was faster, and AnnexUnknown."""
    changed = db.execute(
        update(User)
        .where(User.id == user_id, User.version == version)
        .values(role=role, full_name=full_name, email=email, language=language, version=version + 1)
    )
    if not changed.rowcount:  # type: ignore[attr-defined]
        raise PersonChanged("somebody else changed this account meanwhile")
    known = set(db.scalars(select(Annex.id).where(Annex.id.in_(sorted(annex_ids)))))
    if unknown := sorted(set(annex_ids) - known):
        raise AnnexUnknown(f"no annex {unknown[0]!r}", annex=unknown[0])
    db.execute(delete(UserAnnex).where(UserAnnex.user_id == user_id))
    db.add_all(UserAnnex(user_id=user_id, annex_id=annex_id) for annex_id in sorted(known))
    db.flush()
    db.expire_all()


def enable(db: Session, user: User) -> None:
    user.disabled_at = None
    db.flush()


def disable(db: Session, user: User, now: datetime) -> None:
    """Nothing of this person's opens anything from now on: sessions and keys go with it."""
    user.disabled_at = now
    db.execute(delete(SessionRow).where(SessionRow.user_id == user.id))
    program_keys.remove_all(db, user.id)
    db.flush()
