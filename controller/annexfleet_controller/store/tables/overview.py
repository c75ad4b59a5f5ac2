"""What pages over many annexes read instead of every device: each annex in a row, and the province over the days."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class AnnexNow(Base):
    """An annex in numbers, as the watch saw it last.  How ready it is as a whole stands in `readiness_now`."""

    __tablename__ = "annex_now"

    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True)
    at: Mapped[datetime]
    is_open: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether citizens could come at that moment."""
    online: Mapped[int] = mapped_column(default=0)
    silent: Mapped[int] = mapped_column(default=0)
    never: Mapped[int] = mapped_column(default=0)
    """Devices by presence."""
    printers: Mapped[int] = mapped_column(default=0)
    troubled: Mapped[int] = mapped_column(default=0)
    """Printers that need somebody, whether or not they still print, as far as anybody can tell."""
    ready: Mapped[int] = mapped_column(default=0)
    degraded: Mapped[int] = mapped_column(default=0)
    blocked: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    """Services by how they stand."""
    waiting: Mapped[float | None] = mapped_column(Float)
    """People in all queues that are known; None where none is."""
    longest_wait_s: Mapped[float | None] = mapped_column(Float)
    is_stale: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a queue's figures are too old to be believed."""
    unseen: Mapped[int] = mapped_column(default=0, server_default="0")
    """Printers that no device sees that can be heard: nobody can tell how they are."""


class PlacePast(Base):
    """How a place stood: the province every five minutes, each annex every hour; kept for eight days."""

    __tablename__ = "place_past"

    place: Mapped[str] = mapped_column(String(63), primary_key=True)
    """An annex; empty: the whole province."""
    at: Mapped[datetime] = mapped_column(primary_key=True, index=True)
    """The full five minutes, or the full hour, in which it was seen."""
    ready: Mapped[int]
    degraded: Mapped[int]
    blocked: Mapped[int]
    unknown: Mapped[int]
    """Services, of annexes that were open; of closed ones nobody expects any."""
    waiting: Mapped[float | None] = mapped_column(Float)
    incidents: Mapped[int]
    """Open ones that maintenance does not keep quiet."""
