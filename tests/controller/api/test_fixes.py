from datetime import timedelta

import pytest
from tests.controller.jammed import Annex
from tests.controller.site import Site
from tests.controller.web import places
from tests.controller.web.test_pages import Parsed

from annexfleet_controller.alerts import claims
from annexfleet_controller.store import alerts
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.readings import DeviceState


@pytest.fixture
def annex(site: Site) -> Annex:
    return Annex(site.engine, now=site.clock.now())


def answer_of(annex: Annex, site: Site) -> None:
    """The devices are heard, and the loop looks."""
    with writing(site.engine) as db:
        row = db.get(DeviceState, 2)
        assert row is not None
        row.heard_at = site.clock.now()
    with writing(site.engine) as db:
        claims.step(db, alerts.live(db), now=site.clock.now())


def test_a_program_claims_and_asks(site: Site, annex: Annex):
    client = site.signed_in("staff", annex="berkane-1")
    address = f"/api/v1/incidents/{annex.incident.id}/fixed"
    assert client.get(address).json()["outcome"] is None

    first = client.post(address)

    assert first.status_code == 200
    assert (first.json()["outcome"], first.json()["seconds_left"]) == ("checking", 120)
    site.clock.turn(seconds=30)
    assert client.get(address).json()["seconds_left"] == 90
    assert client.post(address).json()["claimed_at"] == first.json()["claimed_at"]
    site.clock.turn(seconds=75)
    answer_of(annex, site)
    told = client.get(address).json()
    assert (told["outcome"], told["still"], told["seconds_left"]) == ("not_confirmed", "paper_jam", 0)


def test_other_annexes_incidents_do_not_exist(site: Site, annex: Annex):
    with writing(site.engine) as db:
        places.annex(db, 2, site.clock.now())
    client = site.signed_in("staff", annex="berkane-2")

    for address in (f"/api/v1/incidents/{annex.incident.id}/fixed", f"/incidents/{annex.incident.id}/fixed"):
        assert client.get(address).status_code == 404
        assert client.post(address).status_code == 404


def test_of_an_incident_that_is_over_nothing_is_claimed(site: Site, annex: Annex):
    with writing(site.engine) as db:
        alerts.forget(db, [annex.alert.id, annex.effect.id])

    answer = site.signed_in().post(f"/api/v1/incidents/{annex.incident.id}/fixed")

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_fix")


def test_the_page_asks_by_itself_while_it_is_verified_and_then_stops(site: Site, annex: Annex):
    client = site.signed_in("staff", annex="berkane-1")
    path = f"/incidents/{annex.incident.id}/fixed"
    piece = {"HX-Request": "true", "HX-Target": f"div#fix-{annex.incident.id}"}

    assert "I fixed it" in client.get(path).text
    checking = client.post(path, headers=piece).text
    assert "<html" not in checking
    assert 'data-hx-trigger="every 2s"' in checking
    assert "We are checking, up to" in Parsed(checking).text
    assert 'max="120" value="0"' in checking

    site.clock.turn(seconds=105)
    assert 'value="105"' in client.get(path, headers=piece).text
    answer_of(annex, site)
    settled = client.get(path, headers=piece).text
    assert "data-hx-trigger" not in settled
    assert "still reports: \u2068Paper jam\u2069" in Parsed(settled).text
    assert "I fixed it" in settled  # one may say so again


def test_without_a_script_the_page_reloads_until_there_is_an_answer(site: Site, annex: Annex):
    client = site.signed_in("staff", annex="berkane-1")
    path = f"/incidents/{annex.incident.id}/fixed"

    answer = client.post(path)

    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert '<meta http-equiv="refresh"' in client.get(path).text
    site.clock.turn(seconds=121)
    with writing(site.engine) as db:
        claims.step(db, [], now=site.clock.now())
    page = client.get(path).text
    assert '<meta http-equiv="refresh"' not in page
    assert "does not answer" in page


def test_a_confirmed_claim_of_a_resolved_incident_has_no_button(site: Site, annex: Annex):
    client = site.signed_in("staff", annex="berkane-1")
    path = f"/incidents/{annex.incident.id}/fixed"
    client.post(path)
    site.clock.turn(seconds=20)

    annex.resolve(at=site.clock.now() - timedelta(seconds=5), now=site.clock.now())
    page = client.get(path).text

    assert "the device confirms it" in page
    assert "<button>I fixed it" not in page
