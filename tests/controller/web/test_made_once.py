"""What shows a secret once is made once, however often a browser sends the form; and what a refused form says."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import func, select
from tests.controller.fleet import add_annex
from tests.controller.site import PASSWORD, Site

from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.devices import Token
from annexfleet_controller.store.tables.people import ApiKey
from annexfleet_controller.store.tables.places import BoardLink

MADE = {
    "board": (
        "/admin/links?annex=berkane-1", "/admin/links/boards", {"annex": "berkane-1", "label": "Hall"},
        BoardLink,
    ),
    "wall": ("/admin/links", "/admin/links/walls", {"label": "Office"}, BoardLink),
    "token": ("/admin/tokens", "/admin/tokens", {"annex": "berkane-1"}, Token),
    "key": (
        "/account/keys/new", "/account/keys",
        {"name": "script", "role": "staff", "days": "30", "reach": "province", "password": PASSWORD}, ApiKey,
    ),
}  # fmt: skip


def number(html: str) -> str:
    found = re.search(r'name="once" value="([^"]{16,})"', html)
    assert found is not None
    return found[1]


def count(site: Site, table: type) -> int:
    with reading(site.engine) as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize("kind", MADE)
def test_a_page_that_is_loaded_anew_makes_nothing_more(site: Site, kind: str):
    asked, sent, fields, table = MADE[kind]
    add_annex(site.engine, "berkane-1")
    site.with_authority()
    client = site.signed_in("operator")
    form = fields | {"once": number(client.get(asked).text)}

    first = client.post(sent, data=form)
    again = client.post(sent, data=form)

    assert (first.status_code, again.status_code) == (201, 409)
    assert "made already" in again.text
    assert count(site, table) == 1
    assert client.post(sent, data=fields | {"once": number(client.get(asked).text)}).status_code == 201
    assert count(site, table) == 2


def test_a_number_is_ones_own_and_a_refused_form_can_be_sent_again(site: Site):
    add_annex(site.engine, "berkane-1")
    client = site.signed_in("operator")
    form = {"annex": "berkane-1", "label": "Hall", "once": "0123456789abcdef"}
    assert client.post("/admin/links/boards", data=form | {"annex": "nowhere"}).status_code == 404

    assert client.post("/admin/links/boards", data=form).status_code == 201
    assert site.signed_in("admin").post("/admin/links/boards", data=form).status_code == 201


TOO_LONG: dict[str, tuple[str, dict[str, object], Callable[[str], bool]]] = {
    "board": ("/admin/links/boards", {"annex": "berkane-1", "label": "x" * 999}, lambda t: "Where it hangs" in t),
    "reason": ("/maintenance", {"reason": "x" * 2001}, lambda t: "Reason" in t and "2,000" in t),
    "token": ("/admin/tokens", {"annex": "berkane-1", "devices": 501}, lambda t: "at most 500" in t),
    "none": ("/admin/tokens", {"annex": "berkane-1", "devices": "many"}, lambda t: "How many devices" in t),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOO_LONG)
def test_a_refused_form_names_the_field_and_leads_back(site: Site, kind: str):
    path, fields, says = TOO_LONG[kind]
    add_annex(site.engine, "berkane-1")
    referer = "http://testserver/maintenance?annex=berkane-1"

    answer = site.signed_in("operator").post(path, data=fields, headers={"Referer": referer})

    assert answer.status_code == 422
    assert says(answer.text)
    assert 'href="/maintenance?annex=berkane-1"' in answer.text
    assert "shows the form again" in answer.text
