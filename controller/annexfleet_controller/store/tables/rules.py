"""What people changed of the default rules."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class RuleOverride(Base):
    """The changes of the province or of one annex to one rule."""

    __tablename__ = "rule_override"

    scope: Mapped[str] = mapped_column(String(63), primary_key=True)
    """An annex's id; empty for the province."""
    rule_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    """JSON of a `rules.ruleset.Override`."""
    version: Mapped[int]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(80))
