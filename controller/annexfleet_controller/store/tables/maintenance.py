"""Planned work that keeps alerts quiet."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class MaintenanceRow(Base):
    """`maintenance.Maintenance`."""

    __tablename__ = "maintenance"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    area: Mapped[str] = mapped_column(Text)
    """`maintenance.Area` as JSON; its annexes stand in `maintenance_annex` too."""
    province: Mapped[bool]
    """Whether it covers everything, and so is in everybody's sight."""
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    weekly: Mapped[str] = mapped_column(Text, default="")
    """`maintenance.Weekly` as JSON; empty for one that lasts once."""
    time_zone: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(200))
    author: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    cancelled_by: Mapped[str] = mapped_column(String(80), default="")
    skip_from: Mapped[datetime | None]
    skip_until: Mapped[datetime | None]
    last_at: Mapped[datetime] = mapped_column(index=True)
    """From then on it can never last again (`maintenance.last_moment`)."""
    version: Mapped[int]
    """Rises with every change: who read an older one may not change it."""


class MaintenanceAnnex(Base):
    """The annexes that a maintenance has to do with, for whoever may see only some."""

    __tablename__ = "maintenance_annex"

    maintenance_id: Mapped[int] = mapped_column(ForeignKey("maintenance.id", ondelete="CASCADE"), primary_key=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True, index=True)
