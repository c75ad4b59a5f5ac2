"""Commands to single devices, and what became of them."""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class CommandRow(Base):
    __tablename__ = "command"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """`c-` and random base32; the device keeps its receipt under this."""
    device_number: Mapped[int] = mapped_column(ForeignKey("device.number"), index=True)
    name: Mapped[str] = mapped_column(String(40))
    """of `protocol.commands.COMMANDS`"""
    parameters: Mapped[str] = mapped_column(Text, default="{}")
    """JSON, checked"""
    receipt_key: Mapped[bytes] = mapped_column(LargeBinary(32))
    """By which its receipt is known as the device's own (`protocol.receipts`); sealed to the device when it is sent."""
    author: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    give_up_at: Mapped[datetime]
    """Not sent any more after this."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    """waiting (to be sent), sent, ended"""
    outcome: Mapped[str] = mapped_column(String(16), default="")
    """done, refused, failed, unknown, or not_sent; empty until it ended"""
    detail: Mapped[str] = mapped_column(String(64), default="")
    """A code."""
    sent_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    attachment: Mapped[str] = mapped_column(String(120), default="")
    """The name of the file in the home's `diagnostics/` that it brought."""
