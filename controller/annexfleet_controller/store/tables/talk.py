"""What is to be said to devices, and to open pages."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class DesiredConfig(Base):
    """The newest settings meant for a device; sent at each hello that reports another version."""

    __tablename__ = "desired_config"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    version: Mapped[int]
    settings: Mapped[str] = mapped_column(Text)
    """`protocol.messages.DesiredSettings` as JSON."""
    updated_at: Mapped[datetime]


class Watch(Base):
    """Somebody looks at this device until then.  Pages push `until` forward while they are open."""

    __tablename__ = "watch"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    until: Mapped[datetime] = mapped_column(index=True)
    ordered_until: Mapped[datetime | None]
    """Until when the device itself was last told to report."""


class Pulse(Base):
    """One row a committed ingest batch: which devices it touched.  Open pages follow it; pruned after minutes."""

    __tablename__ = "pulse"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    devices: Mapped[str] = mapped_column(Text)
    """JSON: `{"<device number>": "kinds"}`, the kinds: b(eat) c(hange) l(ive) h(ello) g(one) k (order)."""
    annexes: Mapped[str] = mapped_column(Text, default="{}", server_default="{}")
    """JSON: `{"<annex>": "kinds"}`: a(lert) i(ncident) r(eadiness) m(aintenance) u (run); empty name: the province."""
    origin: Mapped[str] = mapped_column(String(32), default="ingest")
