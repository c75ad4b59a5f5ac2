"""Pages for people: server-rendered, with htmx for what changes in place.  Every form works without a script."""

from annexfleet_controller.web.pages import (
    admin,
    annex,
    board,
    calendar,
    calendars,
    device,
    own,
    services,
    supplies,
)

ROUTERS = (
    admin.router,
    annex.router,
    board.router,
    calendar.router,
    calendars.router,
    device.router,
    own.router,
    services.router,
    supplies.router,
)
