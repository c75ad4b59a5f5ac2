"""JSON under /api/v1, by noun, for programs and for our own pages."""

from annexfleet_controller.api import (
    annexes,
    calendars,
    contacts,
    devices,
    events,
    fixes,
    health,
    maintenance,
    notices,
    printers,
    queues,
    readiness,
    rules,
    services,
    supplies,
    tokens,
)

ROUTERS = (
    annexes.router,
    calendars.router,
    contacts.router,
    devices.router,
    fixes.router,
    maintenance.router,
    notices.router,
    printers.router,
    queues.router,
    readiness.router,
    rules.router,
    services.router,
    supplies.router,
    tokens.router,
    events.router,
    health.router,
)
