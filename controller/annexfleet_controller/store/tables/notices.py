"""Whom to tell, what they want to hear, and every notice: those to be sent, and the record of the others."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class Contact(Base):
    """One way to reach a person or a system."""

    __tablename__ = "contact"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(16))
    """email, sms, chat, webhook or apprise"""
    address: Mapped[str] = mapped_column(Text)
    """A mail address, a telephone number, or an address that may hold secrets and is never shown again."""
    secret: Mapped[str] = mapped_column(String(120), default="")
    """With which a webhook's notices are signed."""
    language: Mapped[str] = mapped_column(String(8))
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(80))
    verified_at: Mapped[datetime | None]
    """When a test message last got through; none since the address changed if it is None."""
    version: Mapped[int] = mapped_column(default=1, server_default="1")


class ContactRoute(Base):
    """What a contact wants to hear: `notify.plan.Route`."""

    __tablename__ = "contact_route"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"), index=True)
    audiences: Mapped[str] = mapped_column(String(40))
    """Apart by commas."""
    annexes: Mapped[str | None] = mapped_column(Text)
    """JSON, a list of ids; NULL is the whole province."""
    min_severity: Mapped[str] = mapped_column(String(16))
    hours: Mapped[str] = mapped_column(String(16))
    """always, opening or custom"""
    week: Mapped[str | None] = mapped_column(Text)
    """JSON as a calendar's document has it (`calendars.written_week`); of custom hours only."""
    critical_always: Mapped[bool] = mapped_column(default=True)
    level: Mapped[int] = mapped_column(default=0)
    after_s: Mapped[float] = mapped_column(Float, default=0.0)


class NoticeRow(Base):
    """One message to one contact."""

    __tablename__ = "notice"
    __table_args__ = (
        Index("ix_notice_state_due_at", "state", "due_at"),
        Index("ix_notice_contact_id_created_at", "contact_id", "created_at"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    contact_id: Mapped[int] = mapped_column(ForeignKey("contact.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    dedupe_key: Mapped[str] = mapped_column(String(80), unique=True)
    """So that a crash between planning and storing, or two planners at once, never make two of one."""
    state: Mapped[str] = mapped_column(String(16), default="queued")
    """queued, sent, failed (for good) or dropped (it had come to nothing before it went out)"""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    give_up_at: Mapped[datetime]
    claimed_by: Mapped[str] = mapped_column(String(64), default="")
    claimed_until: Mapped[datetime | None]
    """After this moment another sender may take it: its holder died."""
    attempts: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
    """When it was sent, failed for good or was dropped."""
    reason: Mapped[str] = mapped_column(String(40), default="")
    """A code: why it failed the last time, or why it was dropped."""
    detail: Mapped[str] = mapped_column(String(120), default="")
    """Such as the status of an answer; never anything of the address."""


class NoticeItem(Base):
    """What a notice says of one incident: `notify.plan.Item`.  A test message has none."""

    __tablename__ = "notice_item"

    notice_id: Mapped[int] = mapped_column(ForeignKey("notice.id", ondelete="CASCADE"), primary_key=True)
    incident_id: Mapped[int] = mapped_column(
        ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    what: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    level: Mapped[int] = mapped_column(default=0)
    left_out: Mapped[bool] = mapped_column(default=False)
    """Whether it held no more when the notice went out, and so was not said."""
