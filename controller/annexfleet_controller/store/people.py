"""People, their sessions and their failed sign-ins."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.errors import AnnexUnknown, UserExists, UserUnknown
from annexfleet_controller.store.scope import Scope
from annexfleet_controller.store.tables.people import (
    IdempotentAnswer,
    SessionRow,
    SignInFailure,
    User,
    UserAnnex,
)
from annexfleet_controller.store.tables.places import Annex

_SIGN_IN_LOCK = 0x616E_6E65_7866
"""Of PostgreSQL's advisory locks, the one for counting sign-ins."""


def by_name(db: Session, name: str) -> User | None:
    return db.scalar(select(User).where(User.name == name))


def get(db: Session, name: str) -> User:
    """Raises UserUnknown."""
    user = by_name(db, name)
    if user is None:
        raise UserUnknown(f"no user {name!r}")
    return user


def everybody(db: Session) -> Sequence[User]:
    return db.scalars(select(User).order_by(User.name)).all()


def create(
    db: Session,
    *,
    name: str,
    password_hash: str,
    role: str,
    annex_ids: Collection[str],
    now: datetime,
    language: str = "",
    full_name: str = "",
    email: str = "",
) -> User:
    """A person with a one-time password.  Raises UserExists or AnnexUnknown."""
    if by_name(db, name) is not None:
        raise UserExists(f"user {name!r} exists", name=name)
    for annex_id in annex_ids:
        if db.get(Annex, annex_id) is None:
            raise AnnexUnknown(f"no annex {annex_id!r}")
    user = User(
        name=name, password_hash=password_hash, must_change_password=True, role=role, language=language,
        created_at=now, full_name=full_name, email=email,
    )  # fmt: skip
    db.add(user)
    db.flush()
    db.add_all(UserAnnex(user_id=user.id, annex_id=annex_id) for annex_id in sorted(set(annex_ids)))
    db.flush()
    return user


def scopes(db: Session, names: Collection[str]) -> dict[str, Scope]:
    """The scopes of people by name; who is not known is missing."""
    rows = db.execute(select(User.name, User.id).where(User.name.in_(sorted(names)))).all()
    return {name: scope_of(db, user_id) for name, user_id in rows}


def scope_of(db: Session, user_id: int) -> Scope:
    annexes = frozenset(db.scalars(select(UserAnnex.annex_id).where(UserAnnex.user_id == user_id)))
    return Scope(annexes or None)


def set_password(db: Session, user_id: int, password_hash: str, *, must_change: bool) -> None:
    db.execute(
        update(User).where(User.id == user_id).values(password_hash=password_hash, must_change_password=must_change)
    )


def set_language(db: Session, user_id: int, language: str) -> None:
    db.execute(update(User).where(User.id == user_id).values(language=language))


# -- sessions


def open_session(
    db: Session,
    *,
    digest: str,
    user_id: int,
    csrf_token: str,
    now: datetime,
    address: str = "",
    client: str = "",
    awaits_code: bool = False,
) -> None:
    db.add(
        SessionRow(
            digest=digest, user_id=user_id, csrf_token=csrf_token, created_at=now, used_at=now, address=address,
            client=client, awaits_code=awaits_code,
        )
    )  # fmt: skip
    db.flush()


def half_session(db: Session, digest: str, *, created_after: datetime) -> tuple[SessionRow, User] | None:
    """A session whose second factor is still owed, of a person who may come in."""
    query = (
        select(SessionRow, User)
        .join(User, User.id == SessionRow.user_id)
        .where(
            SessionRow.digest == digest,
            SessionRow.awaits_code,
            SessionRow.created_at > created_after,
            User.disabled_at.is_(None),
        )
    )
    return db.execute(query).first()


def session(
    db: Session, digest: str, *, created_after: datetime, used_after: datetime
) -> tuple[SessionRow, User] | None:
    """A session within its limits, of a person who may come in.  One that still owes a code is none."""
    query = (
        select(SessionRow, User)
        .join(User, User.id == SessionRow.user_id)
        .where(
            SessionRow.digest == digest,
            SessionRow.awaits_code.is_(False),
            SessionRow.created_at > created_after,
            SessionRow.used_at > used_after,
            User.disabled_at.is_(None),
        )
    )
    return db.execute(query).first()


def alive(
    db: Session, digests: Collection[str], *, created_after: datetime, used_after: datetime
) -> list[tuple[SessionRow, User]]:
    """Those of these sessions that still open something, with whose they are."""
    query = (
        select(SessionRow, User)
        .join(User, User.id == SessionRow.user_id)
        .where(
            SessionRow.digest.in_(digests),
            SessionRow.awaits_code.is_(False),
            SessionRow.created_at > created_after,
            SessionRow.used_at > used_after,
            User.disabled_at.is_(None),
        )
    )
    return [(row, user) for row, user in db.execute(query)]


def sessions_of(db: Session, user_id: int, *, created_after: datetime, used_after: datetime) -> Sequence[SessionRow]:
    """What is open of this person, the last used first; half sessions are not among them."""
    query = (
        select(SessionRow)
        .where(
            SessionRow.user_id == user_id,
            SessionRow.awaits_code.is_(False),
            SessionRow.created_at > created_after,
            SessionRow.used_at > used_after,
        )
        .order_by(SessionRow.used_at.desc(), SessionRow.digest)
    )
    return db.scalars(query).all()


def touch_session(db: Session, digest: str, now: datetime) -> None:
    db.execute(update(SessionRow).where(SessionRow.digest == digest).values(used_at=now))


def close_session(db: Session, digest: str) -> bool:
    """Whether there was one to close."""
    gone = db.execute(delete(SessionRow).where(SessionRow.digest == digest))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


def close_sessions(db: Session, user_id: int, *, but: str = "") -> int:
    """End all sessions of this person, but perhaps the one of this digest; how many."""
    gone = db.execute(delete(SessionRow).where(SessionRow.user_id == user_id, SessionRow.digest != but))
    return int(gone.rowcount)  # type: ignore[attr-defined]


def prune(db: Session, *, sessions_before: datetime, failures_before: datetime, answers_before: datetime) -> None:
    """Forget sessions, failures and repeated answers that count no more."""
    db.execute(delete(SessionRow).where(SessionRow.created_at < sessions_before))
    db.execute(delete(SignInFailure).where(SignInFailure.at < failures_before))
    db.execute(delete(IdempotentAnswer).where(IdempotentAnswer.created_at < answers_before))


# -- guessing


def one_sign_in_at_a_time(db: Session) -> None:
    """Let others wait until this transaction ends, so that what it counts cannot grow meanwhile.

    On SQLite a writing transaction is alone anyway.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(select(func.pg_advisory_xact_lock(_SIGN_IN_LOCK)))


def failures(
    db: Session, *, since: datetime, name: str | None = None, address: str | None = None
) -> tuple[int, datetime | None]:
    """How many sign-ins failed since then, under this name, from this address or both, and when the last one did."""
    query = select(func.count(), func.max(SignInFailure.at)).where(SignInFailure.at > since)
    if name is not None:
        query = query.where(SignInFailure.name == name)
    if address is not None:
        query = query.where(SignInFailure.address == address)
    count, last = db.execute(query).one()
    return count, last


def add_failure(db: Session, *, name: str, address: str, now: datetime) -> int:
    """Its number, by which it can be taken back."""
    failure = SignInFailure(at=now, name=name, address=address)
    db.add(failure)
    db.flush()
    return failure.id


def take_back_failure(db: Session, number: int) -> None:
    """It was none after all."""
    db.execute(delete(SignInFailure).where(SignInFailure.id == number))


def forget_failures(db: Session, name: str, *, address: str | None = None) -> None:
    """After a success: from that address alone, for who guesses elsewhere goes on counting.  Without one, all."""
    forgotten = delete(SignInFailure).where(SignInFailure.name == name)
    db.execute(forgotten.where(SignInFailure.address == address) if address is not None else forgotten)


# -- answers that are given again


def answer(db: Session, digest: str) -> IdempotentAnswer | None:
    return db.get(IdempotentAnswer, digest)


def drop_answer(db: Session, digest: str) -> None:
    db.execute(delete(IdempotentAnswer).where(IdempotentAnswer.digest == digest))


def keep_answer(db: Session, *, digest: str, request_digest: str, status: int, sealed: bytes, now: datetime) -> None:
    """Raises IntegrityError where a request with the same key was faster."""
    db.add(IdempotentAnswer(digest=digest, request_digest=request_digest, status=status, sealed=sealed, created_at=now))
    db.flush()
