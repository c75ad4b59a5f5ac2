"""Pages for people: server-rendered, with htmx for what changes in place.  Every form works without a script."""

from annexfleet_controller.web.pages import (
    admin,
    alerts,
    annex,
    board,
    calendar,
    calendars,
    contacts,
    device,
    fixing,
    incidents,
    maintenance,
    own,
    rules,
    services,
    supplies,
)

ROUTERS = (
    admin.router,
    alerts.router,
    annex.router,
    board.router,
    calendar.router,
    calendars.router,
    contacts.router,
    device.router,
    fixing.router,
    incidents.router,
    maintenance.router,
    own.router,
    rules.router,
    services.router,
    supplies.router,
)
