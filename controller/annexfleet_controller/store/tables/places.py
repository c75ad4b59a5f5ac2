"""Where things are."""

from datetime import datetime

from sqlalchemy import String
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
