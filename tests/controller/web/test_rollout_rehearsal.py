"""Rehearsals for technicians: over the API and on a rollout's page; bounded, and beginning nothing."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.api import changing
from tests.controller.fleet import device_id
from tests.controller.site import Site

from annexfleet_controller.rollouts import apart, rehearsing
from annexfleet_controller.store import rollouts
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.scope import WHOLE

API = "/api/v1/rollouts/1/rehearse"
PAGE = "/rollouts/1/rehearse"


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """A draft for devices 1 to 4."""
    site = changing.province(sqlite_engine, tmp_path)
    changing.drafted(site.signed_in("technician"))
    return site


def test_a_bad_release_is_stopped_and_nothing_is_begun(site: Site):
    client = site.signed_in("technician")

    bad = client.post(API, json={"fault": "play_fails"}).json()
    good = client.post(API).json()

    assert (bad["state"], bad["begun_after_stop"], bad["devices"]) == ("stopped", 0, 4)
    assert 0 < bad["touched_at_stop"] < 4
    assert bad["stopped_at"] is not None
    assert [one["verdict"] for one in bad["moments"] if one["kind"] == "gate"][-1] == "stop"
    assert (good["state"], good["tally"], good["stopped_at"]) == ("done", {"succeeded": 4}, None)
    with reading(site.engine) as db:
        found = rollouts.find(db, WHOLE, 1)
    assert (found.state, found.version) == ("draft", 1)


def test_a_device_that_loses_its_link_for_days_comes_last(site: Site):
    client = site.signed_in("technician")
    away = {"kind": "link", "device": device_id(1), "at_s": -60, "lasts_s": 3 * 86_400}

    story = client.post(API, json={"mishaps": [away]}).json()

    days = [one["at"] for one in story["moments"] if one["kind"] == "begun"]
    assert story["tally"] == {"succeeded": 4}
    assert days[-1][:10] > days[0][:10]
    assert client.post(API, json={"mishaps": [{**away, "device": "d-nothing"}]}).status_code == 404
    assert client.post(API, json={"mishaps": [{"kind": "link", "annex": "berkane-9"}]}).status_code == 404
    assert client.post(API, json={"fault": "melts"}).status_code == 422


def test_who_may_not_plan_may_not_rehearse(site: Site):
    assert site.signed_in("staff", annex="berkane-1").post(API).status_code == 403
    assert site.signed_in("technician", annex="berkane-2").post(API).json()["devices"] == 1, "what is in sight"
    assert site.signed_in("technician").post(API.replace("1/", "9/")).status_code == 404


@pytest.mark.parametrize("code", ["en", "fr", "ar"])
def test_its_page_tells_the_story_in_every_language(site: Site, code: str):
    client = site.signed_in("technician")
    client.post("/language", data={"code": code})

    form = client.get("/rollouts/1").text
    bad = client.post(PAGE, data={"fault": "play_fails"})
    good = client.post(PAGE, data={"fault": "", "ordinary": ""})

    assert f'action="{PAGE}"' in form
    assert (bad.status_code, good.status_code) == (200, 200)
    assert f'lang="{code}"' in bad.text
    assert "%(" not in bad.text + good.text
    if code == "en":
        assert "It would be stopped after" in bad.text
        assert "4 devices would be begun, and nothing would stop it." in good.text
        assert "What would happen" in bad.text


def test_its_page_has_mishaps_for_devices_and_annexes(site: Site):
    client = site.signed_in("technician")

    form = client.get("/rollouts/1").text
    away = client.post(PAGE, data={"link": "4", "link_hours": "72"}).text
    off = client.post(PAGE, data={"off": "1", "off_hours": "2", "power": "1", "power_hours": "0.5", "at": "5"}).text

    for kind in rehearsing.MISHAPS:
        assert f'name="{kind}"' in form
        assert f'name="{kind}_hours"' in form
    assert 'name="link" type="number" min="0" max="1000" value="4"' in away, "what was asked stands there again"
    assert 'name="link_hours" type="number" min="0.01" max="2160" step="any" value="72"' in away
    assert "4 devices would be begun, and nothing would stop it." in away
    assert "4 devices would be begun, and nothing would stop it." in off
    assert client.post(PAGE, data={"link": "-1"}).status_code == 422


def test_devices_that_are_drawn_come_back_after_days(site: Site):
    client = site.signed_in("technician")

    story = client.post(API, json={"mishaps": [{"kind": "link", "count": 4, "lasts_s": 3 * 86_400}]}).json()
    usual = client.post(API, json={}).json()

    begun = [one["at"] for one in story["moments"] if one["kind"] == "begun"]
    assert story["tally"] == {"succeeded": 4}
    assert begun[0][:10] > usual["started_at"][:10]
    assert client.post(API, json={"mishaps": [{"kind": "flood", "count": 1}]}).status_code == 422


def test_a_rehearsal_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch):
    client = site.signed_in("technician")
    monkeypatch.setattr(rehearsing, "LONGEST_S", 0.01)

    late = client.post(API)
    late_page = client.post(PAGE, data={})
    with rehearsing._TURN:
        busy = client.post(API)
        busy_page = client.post(PAGE, data={})
    monkeypatch.setattr(rehearsing, "MOST_DEVICES", 3)
    many = client.post(API)
    many_page = client.post(PAGE, data={})

    assert (late.status_code, late.json()["code"]) == (409, "rehearsal_too_long")
    assert (busy.status_code, busy.json()["code"]) == (409, "rehearsal_busy")
    assert (many.status_code, many.json()["reason"]) == (422, "too_many")
    assert [page.status_code for page in (late_page, busy_page, many_page)] == [409, 409, 422]
    assert "Another rehearsal is being played" in busy_page.text
    assert "1,000 devices at most" in many_page.text


def test_one_that_fails_says_what_its_process_said():
    with pytest.raises(apart.Broken, match="Error"):
        apart.played(None, None, None, None, start_at=None, deadline_s=1.0, within_s=30.0)  # type: ignore[arg-type]
