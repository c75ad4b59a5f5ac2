"""JSON under /api/v1, by noun, for programs and for our own pages."""

from annexfleet_controller.api import annexes, devices, events, health, printers, queues, readiness, services, tokens

ROUTERS = (
    annexes.router,
    devices.router,
    printers.router,
    queues.router,
    readiness.router,
    services.router,
    tokens.router,
    events.router,
    health.router,
)
