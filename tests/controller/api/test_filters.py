"""Lists under names, as programs keep them: the same that the page keeps."""

from typing import get_args

import pytest
from tests.controller.site import Site

from annexfleet_controller.api.filters import AlertsNarrowed
from annexfleet_controller.store import saved_filters
from annexfleet_controller.web.pages import alerts

FILTERS = "/api/v1/filters"
FREE = {"kind": "printer", "who": "free"}


def test_a_filter_is_kept_shown_on_the_page_and_forgotten(site: Site):
    client = site.signed_in("staff", annex="")

    kept = client.post(FILTERS, json={"name": " Printers  nobody has ", "narrowed": FREE})

    assert kept.status_code == 201
    assert kept.json() == {
        "page": "/alerts", "name": "Printers nobody has", "narrowed": FREE, "address": "/alerts?kind=printer&who=free",
    }  # fmt: skip
    assert client.get(FILTERS).json() == {"items": [kept.json()]}
    assert "Printers nobody has" in client.get("/alerts").text
    assert client.delete(f"{FILTERS}?name=Printers nobody has").status_code == 204
    assert client.get(f"{FILTERS}?page=/alerts").json() == {"items": []}


def test_what_the_page_kept_a_program_reads_and_the_other_way_round(site: Site):
    client = site.signed_in("staff")
    client.post("/alerts/filters", data={"name": "a/b", "query": "state=over&period=7d&q=caf%C3%A9&after=1~1~1"})

    (of_the_page,) = client.get(FILTERS).json()["items"]
    client.post(FILTERS, json={"name": "a/b", "narrowed": {"state": "open", "period": "7d", "severity": "critical"}})

    assert of_the_page["narrowed"] == {"state": "over", "period": "7d", "q": "café"}
    assert client.get(of_the_page["address"]).status_code == 200
    (replaced,) = client.get(FILTERS).json()["items"]
    assert (replaced["name"], replaced["address"]) == ("a/b", "/alerts?severity=critical")


def test_filters_are_ones_own(site: Site):
    site.signed_in("staff", name="amina").post(FILTERS, json={"name": "mine", "narrowed": FREE})
    other = site.signed_in("admin", name="karim")

    assert other.get(FILTERS).json() == {"items": []}
    refused = other.delete(f"{FILTERS}?name=mine")
    assert (refused.status_code, refused.json()["code"]) == (404, "filter_unknown")
    assert len(site.signed_in("staff", name="amina").get(FILTERS).json()["items"]) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "", "narrowed": FREE}, {"name": "  ", "narrowed": FREE}, {"name": "x" * 61, "narrowed": FREE},
        {"name": "x"}, {"name": "x", "narrowed": {"who": "everybody"}}, {"name": "x", "narrowed": {"after": "1~1~1"}},
        {"name": "x", "narrowed": {"q": "x" * 81}}, {"name": "x", "page": "/devices", "narrowed": {}},
    ],
)  # fmt: skip
def test_what_no_list_could_show_is_not_kept(site: Site, asked: dict):
    client = site.signed_in("staff")

    assert client.post(FILTERS, json=asked).status_code == 422
    assert client.get(FILTERS).json() == {"items": []}


def test_twenty_are_enough_and_a_repeat_is_one(site: Site):
    client = site.signed_in("staff")
    for number in range(saved_filters.AT_MOST):
        client.post(FILTERS, json={"name": str(number), "narrowed": FREE}, headers={"Idempotency-Key": str(number)})

    again = client.post(FILTERS, json={"name": "1", "narrowed": FREE}, headers={"Idempotency-Key": "1"})
    refused = client.post(FILTERS, json={"name": "one more", "narrowed": FREE})

    assert again.status_code == 201
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_filters")
    assert len(client.get(FILTERS).json()["items"]) == saved_filters.AT_MOST


def test_the_page_knows_every_word_that_programs_may_say(site: Site):
    fields = AlertsNarrowed.model_fields

    assert tuple(fields) == saved_filters.KEPT["/alerts"] == tuple(
        name for name in alerts.Asked.__struct_fields__ if name in fields
    )  # fmt: skip
    client = site.signed_in("staff")
    for name in ("state", "period", "kind", "severity", "who"):
        for value in _words(fields[name].annotation):
            if value:
                assert client.get(f"/alerts?{name}={value}").status_code == 200, (name, value)
    assert client.get("/alerts?period=8d").status_code == 422
    assert client.get("/alerts?who=everybody").status_code == 422


def _words(annotation: object) -> set[str]:
    found = get_args(annotation)
    return {word for one in found for word in ({one} if isinstance(one, str) else _words(one))}
