"""What a change of settings replaced, for as long as it may be taken back."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class UndoStep(Base):
    """One act of a person upon settings, with what stood there before."""

    __tablename__ = "undo_step"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[int]
    act: Mapped[str] = mapped_column(String(64))
    """The act's code in the audit: `device.move`, `annex.change` ..."""
    subject: Mapped[str] = mapped_column(String(120))
    annex_id: Mapped[str] = mapped_column(String(63), default="")
    before: Mapped[str] = mapped_column(Text)
    """JSON, of the room that can put it back."""
    version: Mapped[int]
    """That the subject had after the act: it is taken back only while nobody changed it again."""
    undone_at: Mapped[datetime | None]
