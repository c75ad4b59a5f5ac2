"""What happened to printers, in few words and for long."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class PrinterEvent(Base):
    """A cause of trouble began at a printer: how often it jams is told by nothing else."""

    __tablename__ = "printer_event"
    __table_args__ = (Index("ix_printer_event_at", "at"), Index("ix_printer_event_printer_id_at", "printer_id", "at"))

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    printer_id: Mapped[str] = mapped_column(String(24))
    annex_id: Mapped[str] = mapped_column(String(63))
    cause: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
