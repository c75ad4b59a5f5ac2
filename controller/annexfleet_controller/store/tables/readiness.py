"""Services and what they need, as people wrote it; how each service stands, and how it stood."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class ServiceRow(Base):
    """A service that the province described itself; the others are in the code."""

    __tablename__ = "service_definition"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    """JSON, as `readiness.document.written_service` gives it."""
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(80))


class AnnexServiceRow(Base):
    """What one annex says of one service."""

    __tablename__ = "annex_service"

    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True)
    service: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    """JSON, as `readiness.document.written_override` gives it."""
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(80))


class ReadinessSpan(Base):
    """From when to when a service stood so; `until` is null while it does."""

    __tablename__ = "readiness_span"
    __table_args__ = (
        Index("ix_readiness_span_open", "annex_id", "service", unique=True, sqlite_where=text("until IS NULL"),
              postgresql_where=text("until IS NULL")),
        Index("ix_readiness_span_annex_id_since", "annex_id", "since"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"))
    service: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
    until: Mapped[datetime | None] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: capabilities that are short, each with the causes of what fails."""


class ReadinessNow(Base):
    """How an annex stands, as the watch found it."""

    __tablename__ = "readiness_now"

    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True)
    at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16), index=True)
    payload: Mapped[str] = mapped_column(Text)
    """`readiness.model.AnnexReadiness` as JSON."""


class ReadinessWatch(Base):
    """One row: when the watch looked last.  What lies after it is not known, whatever the open spans say."""

    __tablename__ = "readiness_watch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
