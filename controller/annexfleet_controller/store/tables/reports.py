"""Months in figures, worked out by the work loop: past ones never change, and no page adds up a country."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from annexfleet_controller.store.tables.base import Base


class ReportMonth(Base):
    """A month of one annex, or of the whole province.  What lists are ordered by stands in columns of its own."""

    __tablename__ = "report_month"

    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    """Such as 2026-11."""
    area: Mapped[str] = mapped_column(String(63), primary_key=True)
    """An annex's id, or `*` for the province."""
    as_of: Mapped[datetime]
    settled: Mapped[bool]
    """Whether it is never worked out again."""
    open_s: Mapped[float] = mapped_column(Float)
    """Of opening time, with maintenance."""
    serving_s: Mapped[float] = mapped_column(Float)
    blocked_s: Mapped[float] = mapped_column(Float)
    unknown_s: Mapped[float] = mapped_column(Float)
    maintenance_s: Mapped[float] = mapped_column(Float)
    served_ratio: Mapped[float | None] = mapped_column(Float)
    """Of what is known; null: nothing is."""
    incidents: Mapped[int]
    incidents_s: Mapped[float] = mapped_column(Float)
    pages: Mapped[int | None] = mapped_column(BigInteger)
    jams: Mapped[int]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """`reports.Figures` as JSON, deflated."""
