"""What the web process keeps ready beside its answers: forecasts by a process of its own, and who tells of what."""

import threading

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from tests.controller.api.test_supplies import stocked
from tests.controller.site import Site

from annexfleet_controller.store import foretelling, sightings, supply_plan
from annexfleet_controller.store.foretelling import NotForetold
from annexfleet_controller.web.beside import Beside

__all__ = ["stocked"]


def beside(site: Site) -> Beside:
    kept: Beside = site.app.state.beside
    return kept


def test_nobody_waits_for_the_forecasts_of_a_country(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    anew = stocked.signed_in().get("/api/v1/supplies").json()
    monkeypatch.setattr(supply_plan, "MANY", 1)

    beside(stocked).turn()

    monkeypatch.setattr(supply_plan, "_made", lambda *_, **__: pytest.fail("somebody waited for forecasts"))
    assert stocked.signed_in().get("/api/v1/supplies").json() == anew
    assert "TN-2410" in stocked.signed_in().get("/mine?show=visits").text + stocked.signed_in().get("/supplies").text


def test_who_sees_some_annexes_is_shown_what_was_made_for_all_of_these_only(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(supply_plan, "MANY", 1)
    monkeypatch.setattr(supply_plan, "FEW_ANNEXES", 0)
    beside(stocked).turn()
    monkeypatch.setattr(supply_plan, "_made", lambda *_, **__: pytest.fail("somebody waited for forecasts"))

    items = stocked.signed_in("staff", annex="berkane-2").get("/api/v1/supplies").json()["items"]

    assert {item["annex"] for item in items} == {"berkane-2"}


def test_a_small_province_needs_no_process_for_its_forecasts(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(foretelling, "begin", lambda *_, **__: pytest.fail("a process was begun"))

    beside(stocked).turn()


def test_forecasts_are_made_anew_after_a_while_and_not_at_every_turn(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supply_plan, "MANY", 1)
    begun = []

    class Made:
        def result(self) -> list[object]:
            return []

    monkeypatch.setattr(foretelling, "begin", lambda *_, **__: begun.append(1) or Made())
    for seconds in (0, 60, 1200):
        stocked.clock.turn(seconds=seconds)
        beside(stocked).turn()

    assert len(begun) == 2


def test_a_process_that_fails_says_why(site: Site):
    broken = create_engine("sqlite:////nowhere/at/all.db")

    with pytest.raises(NotForetold, match="unable to open"):
        foretelling.begin(broken, now=site.clock.now(), lead_days=15).result()


def test_whoever_waits_for_a_process_that_is_stopped_is_told(site: Site):
    foretelling_now = foretelling.begin(site.engine, now=site.clock.now(), lead_days=15)

    foretelling_now.stop()

    with pytest.raises(NotForetold):
        foretelling_now.result()


def test_it_begins_and_ends_with_the_application(site: Site, monkeypatch: pytest.MonkeyPatch):
    renewed = threading.Event()
    monkeypatch.setattr(sightings, "renew", lambda *_, **__: renewed.set())

    with TestClient(site.app):
        assert renewed.wait(30)
        (thread,) = [one for one in threading.enumerate() if one.name == "beside"]

    thread.join(30)
    assert not thread.is_alive()


def test_what_fails_beside_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch):
    twice = threading.Barrier(2)

    def fails(*_: object, **__: object) -> None:
        twice.wait(30)
        raise NotForetold("this time")

    monkeypatch.setattr(sightings, "renew", fails)
    monkeypatch.setattr("annexfleet_controller.web.beside.SIGHTINGS_EVERY_S", 0.0)

    with TestClient(site.app):
        twice.wait(30)
        twice.wait(30)
        twice.abort()
