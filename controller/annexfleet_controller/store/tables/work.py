"""What keeps the periodic jobs apart, and figures about the controller itself."""

from datetime import datetime

from sqlalchemy import Float, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class Job(Base):
    """One row a periodic job, so that several workers do not do the same at the same time."""

    __tablename__ = "job"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    due_at: Mapped[datetime]
    owner: Mapped[str] = mapped_column(String(64), default="")
    """The worker that holds it; empty if nobody does."""
    leased_until: Mapped[datetime | None]
    """After this moment another worker may take it: its holder died."""
    ended_at: Mapped[datetime | None]
    failed: Mapped[str] = mapped_column(String(200), default="")
    """What went wrong the last time; empty if nothing did."""


class Figure(Base):
    """A number about the controller itself, such as messages stored; web shows them at /metrics."""

    __tablename__ = "figure"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime]
    """When it was last written."""
