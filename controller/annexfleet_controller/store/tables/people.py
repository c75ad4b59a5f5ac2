"""People and programs that may look, and their sessions."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, false
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
    full_name: Mapped[str] = mapped_column(String(120), default="", server_default="")
    email: Mapped[str] = mapped_column(String(254), default="", server_default="")
    totp_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The secret of the second factor, sealed under a key of the home: a copy of the database makes no codes."""
    totp_confirmed_at: Mapped[datetime | None]
    """None while a secret was shown and no code of it was typed yet: it is not asked for."""
    totp_last_step: Mapped[int] = mapped_column(default=0, server_default="0")
    """The newest 30 s step whose code was accepted; a code opens once."""
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    """Rises with each change of role, annexes or names, so that of two who edit at once the second is told."""


class RecoveryCode(Base):
    """For who lost the device that makes the codes; each opens once."""

    __tablename__ = "recovery_code"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256: a code has 80 bits of chance, so nothing slower is needed."""
    used_at: Mapped[datetime | None]


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
    address: Mapped[str] = mapped_column(String(64), default="", server_default="")
    client: Mapped[str] = mapped_column(String(200), default="", server_default="")
    """What the browser calls itself, for its owner to recognise it by; a stranger's word."""
    awaits_code: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The password was right and the second factor is still owed: it opens that one form and nothing else."""


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
    role: Mapped[str] = mapped_column(String(16), default="", server_default="")
    """At most this role; empty: its person's.  Never more than its person's."""
    reads_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    used_at: Mapped[datetime | None]
    """Written at most once an hour."""


class ApiKeyAnnex(Base):
    """The annexes a key is confined to, within those of its person; no row means all of those."""

    __tablename__ = "api_key_annex"

    digest: Mapped[str] = mapped_column(ForeignKey("api_key.digest", ondelete="CASCADE"), primary_key=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True)


class SavedFilter(Base):
    """A list as somebody wants to see it again: the query of its address, under a name."""

    __tablename__ = "saved_filter"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id"), primary_key=True)
    page: Mapped[str] = mapped_column(String(40), primary_key=True)
    """The path of the list, such as `/alerts`."""
    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    query: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime]


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
