"""What is wrong, as long as it is and for as long as it is remembered: alerts, incidents, and the story of each."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.readings import RowId


class IncidentRow(Base):
    """`things.Incident`.  `annex_id` is empty where it is about several annexes or none."""

    __tablename__ = "incident"
    __table_args__ = (
        Index("ix_incident_open_key", "key", unique=True, sqlite_where=text("state = 'open'"),
              postgresql_where=text("state = 'open'")),
        Index("ix_incident_annex_id_opened_at", "annex_id", "opened_at"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(32))
    cause: Mapped[str] = mapped_column(String(64))
    annex_id: Mapped[str] = mapped_column(String(63), default="")
    thing_kind: Mapped[str] = mapped_column(String(16))
    thing_id: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16), index=True)
    severity: Mapped[str] = mapped_column(String(16))
    facts: Mapped[str] = mapped_column(Text, default="{}")
    began_at: Mapped[datetime]
    opened_at: Mapped[datetime] = mapped_column(index=True)
    resolved_at: Mapped[datetime | None] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str] = mapped_column(String(80), default="")
    score: Mapped[float] = mapped_column(Float, default=0.0)
    """`rank.score`, for the order of lists."""
    rank: Mapped[str] = mapped_column(Text, default="{}")
    """`things.Rank` as JSON."""
    muted: Mapped[bool] = mapped_column(default=False)


class IncidentAnnex(Base):
    """The annexes that an incident touches, for whoever may see only some."""

    __tablename__ = "incident_annex"

    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), primary_key=True)
    annex_id: Mapped[str] = mapped_column(ForeignKey("annex.id"), primary_key=True, index=True)


class AlertRow(Base):
    """`things.Alert`."""

    __tablename__ = "alert"
    __table_args__ = (
        Index("ix_alert_live_key", "rule_id", "thing_kind", "thing_id", "part", unique=True,
              sqlite_where=text("state <> 'cleared'"), postgresql_where=text("state <> 'cleared'")),
        Index("ix_alert_annex_id_state", "annex_id", "state"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    rule_id: Mapped[str] = mapped_column(String(64))
    thing_kind: Mapped[str] = mapped_column(String(16))
    thing_id: Mapped[str] = mapped_column(String(200))
    part: Mapped[str] = mapped_column(String(160), default="")
    annex_id: Mapped[str] = mapped_column(String(63), default="")
    state: Mapped[str] = mapped_column(String(16), index=True)
    severity: Mapped[str] = mapped_column(String(16))
    cause: Mapped[str] = mapped_column(String(64), default="")
    facts: Mapped[str] = mapped_column(Text, default="{}")
    since: Mapped[datetime]
    evidence_at: Mapped[datetime]
    samples: Mapped[int]
    clearing_since: Mapped[datetime | None]
    unknown_since: Mapped[datetime | None]
    opened_at: Mapped[datetime | None] = mapped_column(index=True)
    cleared_at: Mapped[datetime | None] = mapped_column(index=True)
    flaps: Mapped[int] = mapped_column(default=0)
    returned_at: Mapped[str] = mapped_column(Text, default="[]")
    """`things.Alert.returned_at` as JSON: Unix seconds."""
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str] = mapped_column(String(80), default="")
    note: Mapped[str] = mapped_column(Text, default="")
    muted_by: Mapped[int | None]
    suppressed_by: Mapped[str] = mapped_column(String(64), default="")
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incident.id"), index=True)
    is_effect: Mapped[bool] = mapped_column(default=False)


class IncidentEvent(Base):
    """One line of an incident's story."""

    __tablename__ = "incident_event"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(32))
    """opened, alert_opened, alert_cleared, alert_reopened, acknowledged, handed_back, noted, help_asked,
    cause_corrected, muted, unmuted, told, fix_claimed, fix_confirmed, fix_not_confirmed, escalated, resolved,
    reopened, retracted, times_corrected"""
    by: Mapped[str] = mapped_column(String(80), default="")
    facts: Mapped[str] = mapped_column(Text, default="{}")
