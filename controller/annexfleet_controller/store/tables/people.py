"""People and programs that may look, and their sessions."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class User(Base):
    __tablename__ = "user_account"  # "user" is a reserved word in SQL

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    must_change_password: Mapped[bool] = mapped_column(default=False)
    role: Mapped[str] = mapped_column(String(16))
    """staff, technician, operator or admin"""
    language: Mapped[str] = mapped_column(String(8), default="")
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class UserAnnex(Base):
    """The annexes a person is confined to; no row means the whole province."""

    __tablename__ = "user_annex"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True)


class SessionRow(Base):
    __tablename__ = "web_session"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the cookie, so that a copy of the table opens nothing."""
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]


class SignInFailure(Base):
    """Failed sign-ins, by name and by address, so that guessing is slowed down whichever process is asked."""

    __tablename__ = "sign_in_failure"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(80))
    address: Mapped[str] = mapped_column(String(64))


class ApiKey(Base):
    """A bearer token for a program, acting with a person's rights."""

    __tablename__ = "api_key"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class IdempotentAnswer(Base):
    """What a POST with an Idempotency-Key answered, so that a repeat gets the same and does nothing.

    The answer may hold a secret that is shown once, so it is sealed under the caller's own credential, which is not in
    this database.
    """

    __tablename__ = "idempotent_answer"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the person, the route and the key."""
    request_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(index=True)
