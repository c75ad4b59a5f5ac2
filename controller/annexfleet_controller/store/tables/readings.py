"""What devices reported: their state now, and how it came about."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base

# SQLite numbers rows by itself only where the type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer, "sqlite")


class DeviceState(Base):
    """One row a device, overwritten without being read: the last beat and what is known of the connection."""

    __tablename__ = "device_state"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    connected: Mapped[bool] = mapped_column(default=False)
    session_id: Mapped[str] = mapped_column(String(64), default="")
    boot_id: Mapped[str] = mapped_column(String(64), default="")
    install_id: Mapped[str] = mapped_column(String(64), default="")
    agent_version: Mapped[str] = mapped_column(String(64), default="")
    config_version: Mapped[int] = mapped_column(default=0)
    clock_offset_s: Mapped[float] = mapped_column(Float, default=0.0)
    """What must be added to the device's clock to get ours."""
    connected_at: Mapped[datetime | None]
    """Of the last hello."""
    gone_at: Mapped[datetime | None]
    heard_at: Mapped[datetime | None]
    """Of the last message of any kind, by our clock."""
    beat_at: Mapped[datetime | None]
    """End of the newest beat."""
    beat: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The newest beat as it came (protocol.wire)."""
    beat_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Its number; 0 if it is of an installation before `install_id`, so that any of this one is newer."""
    inventory_digest: Mapped[str] = mapped_column(String(64), default="")
    inventory_at: Mapped[datetime | None]
    inventory_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """As `beat_seq`."""


class DeviceInventory(Base):
    """What a device is made of, as it told last.

    Apart from its state, because SQLite writes a whole row anew at each beat, and a package list can have 40 KB.
    """

    __tablename__ = "device_inventory"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    """When it was so, by our clock."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The `Inventory` as it came (protocol.wire)."""


class DevicePart(Base):
    """The whole state that one collector told last, one row a device and collector."""

    __tablename__ = "device_part"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    collector: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    """When it was so, by our clock."""
    install_id: Mapped[str] = mapped_column(String(64), default="")
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the `Change`.  Within an installation the higher number is newer, whatever the clocks say."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The `Change` as it came (protocol.wire)."""


class History(Base):
    """Beats as they came, and what they were folded into: hours after a week, days after a season.

    An ordinary table with an index: measured, it takes a tenth of the writes of one that is clustered by device.
    """

    __tablename__ = "history"
    __table_args__ = (Index("ix_history_device_number_resolution_s_at", "device_number", "resolution_s", "at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"))
    resolution_s: Mapped[int]
    """0: a beat as it came; 3600: an hour; 86400: a day (UTC)."""
    at: Mapped[datetime]
    """End of the time it sums up."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """A `Beat` (protocol.wire)."""


class ChangeRow(Base):
    """What happened to a device: its changes, and its coming and going.  Kept 90 days."""

    __tablename__ = "change"
    __table_args__ = (Index("ix_change_device_number_at", "device_number", "at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"))
    at: Mapped[datetime]
    received_at: Mapped[datetime] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(16))
    """change, inventory, receipt, gap, connected, gone"""
    collector: Mapped[str] = mapped_column(String(64), default="")
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The message as it came (protocol.wire)."""


class Mark(Base):
    """How far each installation's items are committed without a hole."""

    __tablename__ = "mark"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    install_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    upto: Mapped[int] = mapped_column(BigInteger, default=0)
    ahead: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: ranges beyond `upto` that are committed too, `[[first, last], ...]`, rising, never touching."""
    moved_at: Mapped[datetime]
    """When something of it was last heard; of one device only the newest few are kept."""


class LiveSample(Base):
    """The newest sample of a device that somebody watches."""

    __tablename__ = "live_sample"

    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class SetAside(Base):
    """A message that could not be decoded, with the reason.

    Acknowledged where its number could be read, so that the queue moves.
    """

    __tablename__ = "set_aside"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    device_id: Mapped[str] = mapped_column(String(28), default="", index=True)
    topic: Mapped[str] = mapped_column(String(200))
    received_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(200), default="")
    size_bytes: Mapped[int]
    head: Mapped[bytes] = mapped_column(LargeBinary)
    """The first 512 bytes."""
