"""What ends with an annex that is closed, and begins again if that is taken back: tokens, links to its board."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from annexfleet_controller.store.tables.devices import Token
from annexfleet_controller.store.tables.places import Annex, BoardLink


def open_tokens(db: Session, annex_id: str, *, now: datetime) -> list[str]:
    """Tokens that could still let a device in."""
    query = select(Token.id).where(Token.annex_id == annex_id, Token.revoked_at.is_(None), Token.expires_at > now)
    return list(db.scalars(query.order_by(Token.id)))


def open_links(db: Session, annex_id: str) -> list[int]:
    """Links that open the annex's board."""
    query = select(BoardLink.id).where(BoardLink.annex_id == annex_id, BoardLink.revoked_at.is_(None))
    return list(db.scalars(query.order_by(BoardLink.id)))


def may_be_revoked(table: type[Token] | type[BoardLink]) -> ColumnElement[bool]:
    """Those that are good, and those that only the closing of their annex ended: it may be taken back, and what
    somebody revoked meanwhile shall not begin again with it."""
    closed_at = select(Annex.retired_at).where(Annex.id == table.annex_id).scalar_subquery()
    return or_(table.revoked_at.is_(None), table.revoked_at == closed_at)


def end(db: Session, tokens: Collection[str], links: Collection[int], now: datetime) -> None:
    for table, ids in ((Token, tokens), (BoardLink, links)):
        db.execute(
            update(table)
            .where(table.id.in_(list(ids)), table.revoked_at.is_(None))
            .values(revoked_at=now)
            .execution_options(synchronize_session=False)
        )


def begin_again(db: Session, tokens: Collection[str], links: Collection[int], *, ended_at: datetime) -> None:
    """Those that ended at this moment, and were not ended again by somebody."""
    for table, ids in ((Token, tokens), (BoardLink, links)):
        db.execute(
            update(table)
            .where(table.id.in_(list(ids)), table.revoked_at == ended_at)
            .values(revoked_at=None)
            .execution_options(synchronize_session=False)
        )
