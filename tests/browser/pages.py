"""The pages that people open, each with the lowest role that may, and an address where there is something to see."""

from collections.abc import Callable

from msgspec import Struct
from tests.browser.town import Town
from tests.controller.web import ran, rolled

from annexfleet_controller.store import contacts, incidents, notices, people, rollouts, runs
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE


class Shown(Struct, frozen=True):
    role: str
    """Who looks; empty: somebody who is not signed in."""
    address: str | Callable[[Town], str]
    press: str = ""
    """What a picture is taken after pressing, where a page has no address of its own."""


def _incident(town: Town) -> str:
    with reading(town.engine) as db:
        return f"/incidents/{incidents.open_ones(db)[0].id}"


def _device(town: Town) -> str:
    return f"/devices/{town.ids[0]}"


def _printer(town: Town) -> str:
    return town.printer_page("berkane-1")


def _queue(town: Town) -> str:
    return "/annexes/berkane-1/queues/etat-civil"


def _person(town: Town) -> str:
    town.cookie("technician", annex="berkane-1")
    with reading(town.engine) as db:
        found = people.by_name(db, "technician-berkane-1-fr")
        assert found is not None
        return f"/admin/people/{found.id}"


def _run(town: Town) -> str:
    with writing(town.engine) as db:
        found = runs.listing(db, WHOLE, limit=1)
        if not found:
            run_id = ran.begun(db, [1, 2], now=town.clock.at)
            ran.ended(db, run_id, 1, "ok", now=town.clock.at, diff=ran.DIFF)
            return f"/runs/{run_id}"
    return f"/runs/{found[0].id}"


def _rollout(town: Town) -> str:
    with writing(town.engine) as db:
        found = rollouts.listing(db, WHOLE, limit=1)
        return f"/rollouts/{found[0].id if found else rolled.draft(db, [[2], [3, 4]], now=town.clock.at)}"


def _notices(town: Town) -> str:
    """Of a technician who was told of something, and of something that never arrived."""
    town.cookie("technician")
    with writing(town.engine) as db:
        user = people.get(db, "technician-province-fr")
        if not contacts.of_person(db, user.id, ""):
            new = contacts.NewContact(
                name="Amina", kind="email", address="amina@example.ma", language="fr", user_id=user.id
            )  # fmt: skip
            contact = contacts.create(db, new, [], by="test", now=town.clock.at)
            about = tuple(
                notices.NewItem(incident_id=one.id, what="opened", severity="critical")
                for one in incidents.open_ones(db)
            )
            told = notices.NewNotice(
                contact_id=contact.id, kind="opened", items=about, due_at=town.clock.at, dedupe_key="own"
            )
            notices.queue(db, [told], now=town.clock.at)
    return "/account/notices"


def _new_rollout(town: Town) -> str:
    """A form that can be sent as it is: devices that take commands, of a playbook that needs no more to be said."""
    with writing(town.engine) as db:
        for number in range(1, 7):
            ran.takes_commands(db, number)
    return "/rollouts/new?playbook=system_updates&annex=berkane-1&annex=berkane-2"


PAGES = {
    "sign-in": Shown("", "/sign-in"),
    "province": Shown("operator", "/"),
    "province-staff": Shown("staff", "/"),
    "annex": Shown("staff", "/annexes/berkane-1"),
    "annex-hours": Shown("operator", "/annexes/berkane-1/calendar"),
    "annex-services": Shown("operator", "/annexes/berkane-1/services"),
    "service": Shown("operator", "/annexes/berkane-1/services/residence"),
    "devices": Shown("technician", "/devices"),
    "wall": Shown("operator", "/wall"),
    "wall-by-link": Shown("", lambda town: town.wall()),
    "wall-unknown": Shown("", "/wall/no-such-link"),
    "mine": Shown("technician", "/mine"),
    "board": Shown("", lambda town: town.board("berkane-1")),
    "board-calm": Shown("", lambda town: town.board("berkane-2")),
    "board-unknown": Shown("", "/board/no-such-link"),
    "printer-code": Shown("", lambda town: town.code("berkane-1")),
    "printer": Shown("staff", _printer),
    "queue": Shown("staff", _queue),
    "device-settings": Shown("operator", lambda town: f"{_device(town)}/settings"),
    "device-figures": Shown("technician", lambda town: f"{_device(town)}/figures"),
    "device": Shown("technician", _device),
    "alerts": Shown("technician", "/alerts"),
    "alerts-resolved": Shown("technician", "/alerts?state=over"),
    "incident": Shown("technician", _incident),
    "incident-fixed": Shown("staff", lambda town: f"{_incident(town)}/fixed"),
    "supplies": Shown("technician", "/supplies"),
    "supplies-print": Shown("technician", "/supplies/print"),
    "maintenance": Shown("technician", "/maintenance"),
    "runs": Shown("technician", "/runs"),
    "run-new": Shown("technician", "/runs/new"),
    "rollouts": Shown("technician", "/rollouts"),
    "run": Shown("technician", _run),
    "run-device": Shown("technician", lambda town: f"{_run(town)}/devices/{town.ids[0]}"),
    "rollout": Shown("technician", _rollout),
    "rollout-new": Shown("technician", "/rollouts/new"),
    "rollout-review": Shown("technician", _new_rollout, 'button[name="do"][value="review"]'),
    "desired": Shown("operator", "/desired"),
    "desired-layer": Shown("operator", "/desired/layer?kind=annex&of=berkane-1"),
    "desired-device": Shown("operator", lambda town: f"/desired/devices/{town.ids[0]}"),
    "reports": Shown("operator", "/reports"),
    "report": Shown("operator", "/reports/2026-11"),
    "annexes": Shown("operator", "/admin/annexes"),
    "annex-edit": Shown("operator", "/admin/annexes/berkane-1"),
    "districts": Shown("operator", "/admin/districts"),
    "devices-edit": Shown("operator", "/admin/devices"),
    "links": Shown("operator", "/admin/links"),
    "links-annex": Shown("operator", "/admin/links?annex=berkane-1"),
    "labels": Shown("operator", "/admin/labels?annex=berkane-1"),
    "catalogue": Shown("operator", "/admin/services"),
    "catalogue-service": Shown("operator", "/admin/services/residence"),
    "people": Shown("admin", "/admin/people"),
    "person-new": Shown("admin", "/admin/people/new"),
    "person": Shown("admin", _person),
    "person-disable": Shown("admin", lambda town: f"{_person(town)}/disable"),
    "keys": Shown("admin", "/admin/keys"),
    "account": Shown("staff", "/account"),
    "account-notices": Shown("technician", _notices),
    "account-factor": Shown("technician", "/account/factor"),
    "account-key": Shown("technician", "/account/keys/new"),
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


MOST_VISITED = ("province", "annex", "board", "printer-code", "mine", "device", "alerts", "incident")
"""Looked at in every run, in turn in French by day and in Arabic by night; all pages, in all languages and both themes,
are looked at by `pytest -m trial`."""


ELSEWHERE = {
    "/healthz": "for programs",
    "/readyz": "for programs",
    "/metrics": "for programs",
    "/incidents": "leads to /alerts",
    "/sign-in/code": "asked between the two steps of signing in: tests/browser/test_paths.py and tests/controller",
    "/admin/contacts/{contact_id}": "the form of /admin/contacts/new, filled in",
    "/desired/version": "there is none before a layer was written twice; made of the parts of the layer's page",
    "/reports/{month}.pdf": "on paper",
}
"""Pages that are not looked at here, and why."""


def address_of(town: Town, name: str) -> str:
    """The path of one of these pages in that town."""
    address = PAGES[name].address
    return address if isinstance(address, str) else address(town)
