"""JSON under /api/v1, by noun, for programs and for our own pages."""

from annexfleet_controller.api import annexes, devices, events, fixes, health, maintenance, printers, queues, tokens

ROUTERS = (
    annexes.router,
    devices.router,
    printers.router,
    queues.router,
    tokens.router,
    maintenance.router,
    fixes.router,
    events.router,
    health.router,
)
