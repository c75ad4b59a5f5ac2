"""What a page says of the act before it: on the page of what it was about, and never above a form that was refused."""

import re

import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import Site

from annexfleet_controller.store import people
from annexfleet_controller.store.database import reading

CHANGED = "The annex is changed."


@pytest.fixture
def named(site: Site):
    """Somebody who has just given an annex other names."""
    add_annex(site.engine, "berkane-1")
    add_annex(site.engine, "berkane-2")
    client = site.signed_in("operator")
    assert save(client, name_fr="Annexe du centre").status_code == 303
    return client


def save(client, **fields: str):
    html = client.get("/admin/annexes/berkane-1").text
    version = re.search(r'name="version" value="(\d+)"', html)
    assert version is not None
    form = {"name_fr": "Annexe", "name_ar": "ملحقة", "time_zone": "Africa/Casablanca", "version": version[1]}
    return client.post("/admin/annexes/berkane-1", data=form | fields)


def test_an_act_is_said_where_it_was_done(named):
    assert CHANGED in named.get("/admin/annexes/berkane-1").text
    for path in (
        "/admin/annexes/berkane-2",
        "/admin/districts",
        "/admin/devices",
        "/admin/services",
        "/admin/contacts",
    ):
        assert CHANGED not in named.get(path).text, path


def test_nothing_is_done_above_a_form_that_was_refused(named):
    refused = save(named, name_fr="")

    assert refused.status_code == 422
    assert CHANGED not in refused.text


def test_a_change_of_hours_is_said(named, site: Site):
    html = named.get("/annexes/berkane-1/calendar").text
    fields = dict(re.findall(r'name="([^"]+)"[^>]*? value="([^"]*)"', html))
    fields = {name: value for name, value in fields.items() if "monday" in name or name == "version"}

    answer = named.post("/annexes/berkane-1/calendar", data=fields | {"do": "hours", "week-monday": "09:00-12:00"})

    if answer.status_code == 303:
        assert "The hours are changed." in named.get("/annexes/berkane-1/calendar").text
        assert "The hours are changed." not in named.get("/annexes/berkane-2/calendar").text
    else:
        pytest.fail(answer.text[:2000])


def test_a_saved_account_says_so(site: Site):
    admin = site.signed_in("admin")
    site.person("clerk", "staff")
    with reading(site.engine) as db:
        clerk = people.by_name(db, "clerk")
        assert clerk is not None
        form = {
            "full_name": "Amina", "email": "", "role": "staff", "language": "fr", "reach": "province",
            "version": str(clerk.version),
        }  # fmt: skip
    answer = admin.post(f"/admin/people/{clerk.id}", data=form)

    assert answer.status_code == 303
    assert "is saved" in admin.get(answer.headers["location"]).text
    assert "is saved" not in admin.get(f"/admin/people/{clerk.id}").text
