"""Where things are, and the links by which people come to a place without a password."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class Annex(Base):
    __tablename__ = "annex"

    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    """A short name for addresses, such as `berkane-1`."""
    name_fr: Mapped[str] = mapped_column(String(200))
    name_ar: Mapped[str] = mapped_column(String(200))
    time_zone: Mapped[str] = mapped_column(String(64), default="Africa/Casablanca")
    created_at: Mapped[datetime]
    district_id: Mapped[str] = mapped_column(String(63), default="", server_default="")
    """The group it is listed under; empty: none."""
    note: Mapped[str] = mapped_column(String(500), default="", server_default="")
    """Address, telephone, who has the key: what a technician on the road wants to know."""
    retired_at: Mapped[datetime | None]
    """Closed for good: shown nowhere but in the past."""
    version: Mapped[int] = mapped_column(default=1, server_default="1")


class District(Base):
    """Annexes that are looked after together: a commune, a cercle, a city."""

    __tablename__ = "district"

    id: Mapped[str] = mapped_column(String(63), primary_key=True)
    name_fr: Mapped[str] = mapped_column(String(200))
    name_ar: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]


class BoardLink(Base):
    """Leave for whoever has the link: to see one annex's board and press its buttons, or to see a wall screen."""

    __tablename__ = "board_link"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    annex_id: Mapped[str | None] = mapped_column(ForeignKey("annex.id"), index=True)
    """Whose board it is; null: it is a wall's."""
    district_id: Mapped[str] = mapped_column(String(63), default="", server_default="")
    """Of a wall, what it shows; empty: the province."""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the link's secret, which is shown once."""
    label: Mapped[str] = mapped_column(String(80))
    """Where it hangs: `counter 2`, `hall`."""
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(80))
    used_at: Mapped[datetime | None]
    """Written at most once an hour."""
    revoked_at: Mapped[datetime | None]


class PrinterLabel(Base):
    """What people stuck on a printer and where it stands.  The code opens its state and instructions, nothing else."""

    __tablename__ = "printer_label"
    __table_args__ = (Index("ix_printer_label_annex_id", "annex_id"),)

    printer_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    annex_id: Mapped[str] = mapped_column(String(63))
    code: Mapped[str] = mapped_column(String(16), unique=True)
    """Kept as it is, so that a torn label can be printed again; a new one makes the old one open nothing."""
    place: Mapped[str] = mapped_column(String(80), default="", server_default="")
    """Room or counter; empty: nobody said."""
    created_at: Mapped[datetime]
