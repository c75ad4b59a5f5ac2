"""Who said that something is mended, and what the devices said to it."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class FixClaim(Base):
    """`fixes.Claim`.  Of each incident at most one is being verified."""

    __tablename__ = "fix_claim"
    __table_args__ = (
        Index("ix_fix_claim_open", "incident_id", unique=True, sqlite_where=text("outcome = 'checking'"),
              postgresql_where=text("outcome = 'checking'")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    alerts: Mapped[str] = mapped_column(Text)
    """JSON: ids of alerts."""
    thing_kind: Mapped[str] = mapped_column(String(16))
    thing_id: Mapped[str] = mapped_column(String(200))
    cause: Mapped[str] = mapped_column(String(64), default="")
    numbers: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: numbers of the devices that can tell."""
    claimed_at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(80))
    deadline: Mapped[datetime]
    reads_within_s: Mapped[float] = mapped_column(Float)
    outcome: Mapped[str] = mapped_column(String(16))
    """checking, confirmed, not_confirmed or unknown"""
    settled_at: Mapped[datetime | None]
    still: Mapped[str] = mapped_column(String(64), default="")
