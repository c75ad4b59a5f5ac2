"""A form that is refused marks the field at fault, with the reason beside it, in words."""

import re

import pytest
from tests.controller.fleet import add_annex
from tests.controller.site import PASSWORD, Site


@pytest.fixture
def client(site: Site):
    add_annex(site.engine, "berkane-1")
    return site.signed_in("admin")


def marked(html: str) -> set[str]:
    """The names of fields that are marked as wrong."""
    tags = re.findall(r"<(?:input|select|textarea|fieldset)\b[^>]*>", html)
    return {
        found[1]
        for tag in tags
        if 'aria-invalid="true"' in tag and (found := re.search(r'name="([^"]+)"', tag)) is not None
    }


CONTACT = {
    "name": "Nadia", "kind": "email", "address": "nadia@berkane.ma", "language": "fr", "enabled": "1",
    "route0_audiences": "it", "route0_min_severity": "info", "route0_hours": "always", "route0_level": "0",
    "route0_after_minutes": "0",
}  # fmt: skip


@pytest.mark.parametrize("code", ["en", "fr", "ar"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("address", "nowhere"), ("address", ""), ("name", " "), ("user", "nobody"), ("route0_level", "x")],
)
def test_of_a_contact(client, field: str, value: str, code: str):
    client.post("/language", data={"code": code})

    answer = client.post("/admin/contacts", data=CONTACT | {field: value})

    assert answer.status_code == 422
    assert marked(answer.text) == {field}
    assert f'aria-describedby="wrong-{field}"' in answer.text
    assert re.search(rf'id="wrong-{field}">[^<]{{8,}}<', answer.text)
    assert '<code dir="ltr">address' not in answer.text
    assert "not_understood" not in answer.text


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"reason": " "}, {"reason"}),
        ({"when": "between", "start": "soon", "end": "2026-11-24T20:00"}, {"start"}),
        ({"when": "weekly", "weekday": "monday", "at": "22:00", "minutes": "0", "until": "2027-01-01"}, {"minutes"}),
    ],
)
def test_of_maintenance(client, wrong: dict[str, str], fields: set[str]):
    form = {"annex": "berkane-1", "what": "annex", "when": "hour", "reason": "New switch"}

    answer = client.post("/maintenance", data=form | wrong)

    assert answer.status_code == 422
    assert marked(answer.text) == fields
    assert 'id="wrong-field">' in answer.text


def test_of_hours(client):
    form = {"version": "0", "do": "hours", "week.own": "yes", "week.monday.0.from": "late", "week.monday.0.to": "12"}

    answer = client.post("/annexes/berkane-1/calendar", data=form)

    assert answer.status_code == 422
    assert {name.rpartition(".")[0].rpartition(".")[0] for name in marked(answer.text)} == {"week.monday"}


def test_of_a_day_with_other_hours(client):
    answer = client.post(
        "/annexes/berkane-1/calendar", data={"version": "0", "do": "add", "first": "soon", "name": "x"}
    )

    assert answer.status_code == 422
    assert marked(answer.text) == {"first"}


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"old": "no such password", "new": "neuf chevaux rouges", "again": "neuf chevaux rouges"}, "old"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "new"),
        ({"old": PASSWORD, "new": "neuf chevaux rouges", "again": "neuf chevaux verts"}, "again"),
    ],
)
def test_of_a_password(client, typed: dict[str, str], field: str):
    answer = client.post("/password", data=typed)

    assert answer.status_code == 422
    assert marked(answer.text) == {field}
    assert f'id="wrong-{field}">' in answer.text
