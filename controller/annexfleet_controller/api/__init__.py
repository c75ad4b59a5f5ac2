"""JSON under /api/v1, by noun, for programs and for our own pages."""

from annexfleet_controller.api import annexes, devices, events, health, printers, queues, rules, tokens

ROUTERS = (
    annexes.router,
    devices.router,
    printers.router,
    queues.router,
    tokens.router,
    rules.router,
    events.router,
    health.router,
)
