"""The tables, a file by noun.  Everything is imported here, so that Alembic and the tests see all of it."""

from annexfleet_controller.store.tables import (
    alerts,
    audit,
    calendars,
    devices,
    fixes,
    maintenance,
    notices,
    people,
    places,
    printers,
    readiness,
    readings,
    rules,
    runs,
    supplies,
    talk,
    work,
)
from annexfleet_controller.store.tables.base import Base

__all__ = [
    "Base",
    "alerts",
    "audit",
    "calendars",
    "devices",
    "fixes",
    "maintenance",
    "notices",
    "people",
    "places",
    "printers",
    "readiness",
    "readings",
    "rules",
    "runs",
    "supplies",
    "talk",
    "work",
]
