"""Pages for people: server-rendered, with htmx for what changes in place.  Every form works without a script."""

from annexfleet_controller.web.pages import admin, annex, board, device, own, services

ROUTERS = (board.router, annex.router, services.router, device.router, own.router, admin.router)
