"""Forecasts of very many supplies are kept for some minutes; what people change shows at once."""

import pytest
from tests.controller.api.test_supplies import note, stocked
from tests.controller.site import Site
from tests.controller.supplies.past import falling

from annexfleet_controller.store import supply_plan
from annexfleet_controller.web.pages import supplies as page

__all__ = ["stocked"]


def states(site: Site) -> list[str]:
    return [item["printer"][0] for item in site.signed_in().get("/api/v1/supplies").json()["items"]]


def test_of_few_supplies_the_forecast_is_always_new(stocked: Site):
    before = states(stocked)
    note(stocked, falling(2, until=stocked.clock.now().date(), printer_id="e" * 24))

    assert sorted(states(stocked)) == sorted([*before, "e"])


def test_of_very_many_it_is_kept_for_some_minutes_and_the_shelf_is_not(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supply_plan, "MANY", 1)
    before = states(stocked)
    note(stocked, falling(2, until=stocked.clock.now().date(), printer_id="e" * 24))
    client = stocked.signed_in("technician")

    assert states(stocked) == before
    client.post("/supplies/stock", data={"order_key": "cf259a", "quantity": "7"})
    assert 'max="9999" value="7"' in client.get("/supplies").text

    stocked.clock.turn(seconds=supply_plan.KEPT_FOR.total_seconds())
    assert sorted(states(stocked)) == sorted([*before, "e"])


def test_what_is_kept_for_the_province_is_not_shown_to_who_sees_one_annex(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supply_plan, "MANY", 1)

    assert "TN-2410" in stocked.signed_in().get("/supplies").text
    assert "TN-2410" not in stocked.signed_in("technician", annex="berkane-1").get("/supplies").text


def test_a_long_list_of_supplies_comes_by_the_page(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "_PAGE", 1)
    monkeypatch.setattr(page, "_MOST_VISITS", 1)
    client = stocked.signed_in()

    first, second, beyond = (client.get(f"/supplies?page={number}").text for number in (1, 2, 99))

    assert first.count('class="level') == 1
    assert 'href="/supplies?page=2#forecast"' in first
    assert "and 1 other" in first
    assert 'href="/supplies?page=1#forecast"' in second
    assert 'rel="next"' not in beyond
