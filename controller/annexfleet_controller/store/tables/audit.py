"""Who did what: a chain of entries in which none can be changed, left out or put in unnoticed."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class AuditRow(Base):
    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=False)
    """1, 2, 3 … without a hole."""
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(String(80))
    via: Mapped[str] = mapped_column(String(16))
    """session, key, console or worker"""
    act: Mapped[str] = mapped_column(String(64), index=True)
    """A code that has words: `run.create`, `run.cancel`, `command.send` …"""
    subject: Mapped[str] = mapped_column(String(120), index=True)
    """What it was done to: `run:12`, `device:d-…`."""
    annex_id: Mapped[str] = mapped_column(String(64), default="")
    """Where, for those who see some annexes only; empty: the province."""
    facts: Mapped[str] = mapped_column(Text, default="{}")
    """JSON; no secrets"""
    before: Mapped[str] = mapped_column(String(64))
    """The digest of the entry before it; 64 zeros for the first."""
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 over `before` and everything above, as `store.audit` writes it."""
