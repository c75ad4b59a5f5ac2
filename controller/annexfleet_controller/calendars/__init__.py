"""When annexes are open: weekly hours, dated exceptions, holidays, Ramadan.  Thinks only."""

from annexfleet_controller.calendars.calendar import ALWAYS_OPEN, DEFAULT, Calendar, DatedHours, Spans, Week
from annexfleet_controller.calendars.document import CalendarDocument, parse, written
from annexfleet_controller.calendars.holidays import (
    FEASTS,
    FIXED,
    KNOWN_RAMADANS,
    Holiday,
    Missing,
    Ramadan,
    missing_religious,
)
from annexfleet_controller.calendars.resolving import resolve

__all__ = [
    "ALWAYS_OPEN",
    "DEFAULT",
    "FEASTS",
    "FIXED",
    "KNOWN_RAMADANS",
    "Calendar",
    "CalendarDocument",
    "DatedHours",
    "Holiday",
    "Missing",
    "Ramadan",
    "Spans",
    "Week",
    "missing_religious",
    "parse",
    "resolve",
    "written",
]
