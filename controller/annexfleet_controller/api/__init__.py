"""JSON under /api/v1, by noun, for programs and for our own pages."""

from annexfleet_controller.api import annexes, contacts, devices, events, health, notices, printers, queues, tokens

ROUTERS = (
    annexes.router,
    devices.router,
    printers.router,
    queues.router,
    tokens.router,
    contacts.router,
    notices.router,
    events.router,
    health.router,
)
