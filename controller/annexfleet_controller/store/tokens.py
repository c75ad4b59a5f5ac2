"""Tokens that let new devices in."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store import closing
from annexfleet_controller.store.tables.devices import Token

MAX_FAILED_PROOFS = 20
"""Then a token is locked: its secret has 256 bits, so somebody tries to break something."""


def insert(db: Session, token: Token) -> None:
    """Raises IntegrityError, at the flush, for an annex that does not exist."""
    db.add(token)
    db.flush()


def find(db: Session, token_id: str) -> Token | None:
    return db.get(Token, token_id)


def listing(db: Session, *, annex_ids: Sequence[str] | None = None) -> Sequence[Token]:
    """Tokens, newest first; of these annexes, or all."""
    query = select(Token).order_by(Token.created_at.desc(), Token.id)
    if annex_ids is not None:
        query = query.where(Token.annex_id.in_(annex_ids))
    return db.scalars(query).all()


def claim(db: Session, token_id: str, now: datetime) -> bool:
    """Take one of the token's places; False if it has none left or is no longer good.

    A conditional update: of several devices at once no more get one than there are.
    """
    claimed = (
        update(Token)
        .where(
            Token.id == token_id,
            Token.used < Token.max_devices,
            Token.failed_proofs < MAX_FAILED_PROOFS,
            Token.expires_at > now,
            Token.revoked_at.is_(None),
        )
        .values(used=Token.used + 1)
        .execution_options(synchronize_session=False)
    )
    return db.execute(claimed).rowcount == 1  # type: ignore[attr-defined, no-any-return]


def count_failed_proof(db: Session, token_id: str) -> None:
    db.execute(
        update(Token)
        .where(Token.id == token_id)
        .values(failed_proofs=Token.failed_proofs + 1)
        .execution_options(synchronize_session=False)
    )


def revoke(db: Session, token_id: str, now: datetime) -> bool:
    """Whether the token was there and nobody had revoked it.  Devices that came in by it stay."""
    revoked = (
        update(Token)
        .where(Token.id == token_id, closing.may_be_revoked(Token))
        .values(revoked_at=now)
        .execution_options(synchronize_session=False)
    )
    return db.execute(revoked).rowcount == 1  # type: ignore[attr-defined, no-any-return]
