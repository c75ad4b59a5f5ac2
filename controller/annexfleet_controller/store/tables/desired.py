"""What devices shall be like, as people decided it: every version of every layer."""

from datetime import datetime

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class DesiredVersionRow(Base):
    """One version of one layer.  The newest of a layer counts; none is ever changed or removed."""

    __tablename__ = "desired_version"
    __table_args__ = (UniqueConstraint("kind", "of", "version"),)

    revision: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    """Numbers the versions of all layers, in the order in which they came to count."""
    kind: Mapped[str] = mapped_column(String(16))
    """province, role, annex or device"""
    of: Mapped[str] = mapped_column(String(63))
    """A role, or the id of an annex or of a device; empty for the province."""
    version: Mapped[int]
    """From 1, within its layer."""
    document: Mapped[str] = mapped_column(Text)
    """JSON, as `desired.document.written` gives it."""
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(80))
    reason: Mapped[str] = mapped_column(String(200), default="")
    takes_back_to: Mapped[int | None]
    """The version whose content this one has again."""
