"""Opening hours as people wrote them, holidays, and Ramadans.  Days are local, so they are kept as ISO text."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class CalendarRow(Base):
    """The document of the province or of one annex.  One that was taken back stays, empty, and keeps counting."""

    __tablename__ = "calendar"

    scope: Mapped[str] = mapped_column(String(63), primary_key=True)
    """An annex's id; empty for the province."""
    document: Mapped[str] = mapped_column(Text)
    """JSON, as `calendars.written` gives it; empty where nothing is decided."""
    version: Mapped[int]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(80))


class HolidayRow(Base):
    """One day that somebody entered; the fixed holidays are in the code."""

    __tablename__ = "holiday"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    """A code (`eid_al_fitr`), or what somebody called it."""
    religious: Mapped[bool]
    entered_at: Mapped[datetime]
    entered_by: Mapped[str] = mapped_column(String(80))


class RamadanRow(Base):
    __tablename__ = "ramadan"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The Hijri one: 2030 sees two begin."""
    first_day: Mapped[str] = mapped_column(String(10))
    last_day: Mapped[str] = mapped_column(String(10))
    confirmed: Mapped[bool]
    entered_at: Mapped[datetime]
    entered_by: Mapped[str] = mapped_column(String(80))
