"""The pages that people open, each with the lowest role that may, and an address where there is something to see."""

from collections.abc import Callable

from msgspec import Struct
from tests.browser.town import Town

from annexfleet_controller.store import incidents
from annexfleet_controller.store.database import reading


class Shown(Struct, frozen=True):
    role: str
    """Who looks; empty: somebody who is not signed in."""
    address: str | Callable[[Town], str]


def _incident(town: Town) -> str:
    with reading(town.engine) as db:
        return f"/incidents/{incidents.open_ones(db)[0].id}"


def _device(town: Town) -> str:
    return f"/devices/{town.ids[0]}"


PAGES = {
    "sign-in": Shown("", "/sign-in"),
    "province": Shown("operator", "/"),
    "province-staff": Shown("staff", "/"),
    "annex": Shown("staff", "/annexes/berkane-1"),
    "annex-hours": Shown("operator", "/annexes/berkane-1/calendar"),
    "annex-services": Shown("operator", "/annexes/berkane-1/services"),
    "service": Shown("operator", "/annexes/berkane-1/services/residence"),
    "device": Shown("technician", _device),
    "alerts": Shown("technician", "/alerts"),
    "incident": Shown("technician", _incident),
    "supplies": Shown("technician", "/supplies"),
    "supplies-print": Shown("technician", "/supplies/print"),
    "maintenance": Shown("technician", "/maintenance"),
    "runs": Shown("technician", "/runs"),
    "run-new": Shown("technician", "/runs/new"),
    "rollouts": Shown("technician", "/rollouts"),
    "rollout-new": Shown("technician", "/rollouts/new"),
    "desired": Shown("operator", "/desired"),
    "desired-layer": Shown("operator", "/desired/layer?kind=annex&of=berkane-1"),
    "annexes": Shown("operator", "/admin/annexes"),
    "tokens": Shown("operator", "/admin/tokens"),
    "rules": Shown("operator", "/admin/rules"),
    "rule": Shown("operator", "/admin/rules/printer.blocked"),
    "calendars": Shown("operator", "/admin/calendars"),
    "contacts": Shown("operator", "/admin/contacts"),
    "contact": Shown("operator", "/admin/contacts/new"),
    "audit": Shown("operator", "/admin/audit"),
    "set-aside": Shown("operator", "/admin/set-aside"),
    "password": Shown("staff", "/password"),
    "nothing-there": Shown("staff", "/incidents/987654"),
}


def address_of(town: Town, name: str) -> str:
    """The path of one of these pages in that town."""
    address = PAGES[name].address
    return address if isinstance(address, str) else address(town)
