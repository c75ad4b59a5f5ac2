"""What printers had left, a row a day, and the cartridges on the shelf."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class SupplyDayRow(Base):
    """`things.SupplyDay`."""

    __tablename__ = "supply_day"
    __table_args__ = (Index("ix_supply_day_annex_id_day", "annex_id", "day"),)

    printer_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    supply: Mapped[str] = mapped_column(String(160), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True, index=True)
    """Such as 2026-11-25, in the annex's own time."""
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"))
    kind: Mapped[str] = mapped_column(String(40))
    colour: Mapped[str] = mapped_column(String(40))
    level_ratio: Mapped[float | None] = mapped_column(Float)
    pages_count: Mapped[float | None] = mapped_column(Float)
    printer_name: Mapped[str] = mapped_column(String(160))
    printer_model: Mapped[str] = mapped_column(String(160))


class SupplyStock(Base):
    """How many of a part are on the province's shelf, as somebody counted."""

    __tablename__ = "supply_stock"

    order_key: Mapped[str] = mapped_column(String(200), primary_key=True)
    quantity: Mapped[int]
    updated_at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(80), default="")
