"""What devices shall be like, as people decided it: every version of every layer; and how devices stand to it."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
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


class DesiredDriftRow(Base):
    """How a device stood to what is wanted of it when they were last compared.

    Whoever reads it joins the device: one that was moved, or of which something else was decided since, stands
    `unknown` until it has been compared anew.
    """

    __tablename__ = "desired_drift"
    __table_args__ = (Index("ix_desired_drift_standing", "standing"),)

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    annex_id: Mapped[str] = mapped_column(String(63))
    """Where it stood then, as layers have it; and so its role."""
    role: Mapped[str] = mapped_column(String(16))
    standing: Mapped[str] = mapped_column(String(8))
    """same, differs or unknown"""
    differing: Mapped[int]
    """Entries that differ."""
    revision: Mapped[int]
    """Of the layers that it was compared with."""
    compared_at: Mapped[datetime]
    basis: Mapped[str] = mapped_column(String(200))
    """Which reports, settings and run it rests on; empty where something else was decided since."""
    document: Mapped[str] = mapped_column(Text)
    """JSON: the findings that are not `same`."""
