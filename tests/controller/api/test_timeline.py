"""An incident as one line of time, as programs read it."""

from datetime import timedelta

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, ran, troubled

from annexfleet_controller.store import contacts, incidents, notices
from annexfleet_controller.store.contacts import NewContact
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Incident


@pytest.fixture
def slow(site: Site) -> Incident:
    """A slow device, on which something was run before; somebody wrote a note, and one contact is still to be told."""
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, now)
            places.device(db, number, f"berkane-{number}", now=now)
        alert = troubled.alert(db, "cpu.high", "device", device_id(1), now=now, cause="cpu_high")
        found = troubled.incident(db, "device", "cpu_high", [alert], now=now)
        for run_id, (number, minutes) in enumerate(((1, 40), (1, 180), (2, 40)), start=1):
            ran.past(db, run_id, now - timedelta(minutes=minutes), device=number)
        incidents.tell(db, [Told(found.id, now, "noted", "amina", {"note": "It <b>hums</b>"})])
        contact = contacts.create(
            db, NewContact(name="karim", kind="sms", address="+212600000000", language="fr"), [], by="test", now=now
        )
        item = notices.NewItem(incident_id=found.id, what="opened", severity="critical")
        due = notices.NewNotice(
            contact_id=contact.id, kind="single", items=(item,), due_at=now + timedelta(minutes=1), dedupe_key="k"
        )
        notices.queue(db, [due], now=now)
    return found


def timeline(site: Site, incident: Incident, role: str = "technician", annex: str = "") -> list[dict]:
    answer = site.signed_in(role, annex=annex).get(f"/api/v1/incidents/{incident.id}/timeline")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_it_tells_what_preceded_what_happened_and_who_is_still_to_be_told(site: Site, slow: Incident):
    told = timeline(site, slow)

    assert [(one["kind"], one["sign"], one["title"], one["by"]) for one in told] == [
        ("run", "change", "Ansible run", "amina"),
        ("opened", "raised", "Noticed", ""),
        ("noted", "note", "Note", "amina"),
        ("notice", "notice", "Waiting", "karim"),
    ]
    assert told == sorted(told, key=lambda one: one["at"])
    deed, note, notice = told[0]["deed"], told[2], told[3]["notice"]
    assert (deed["kind"], deed["id"], deed["devices_count"], deed["outcome"]) == ("run", "1", 1, "ok")
    assert deed["ended_at"] is not None
    assert (note["text"], note["deed"], note["notice"]) == ("It <b>hums</b>", None, None)
    assert notice == {"channel": "sms", "what": "opened", "state": "queued", "reason": ""}
    assert "+212600000000" not in str(told)


def test_staff_are_not_told_what_was_run(site: Site, slow: Incident):
    assert [one["kind"] for one in timeline(site, slow, "staff", "berkane-1")] == ["opened", "noted", "notice"]


def test_it_speaks_its_callers_language(site: Site, slow: Incident):
    client = site.signed_in("technician")
    client.post("/language", data={"code": "fr"})

    told = client.get(f"/api/v1/incidents/{slow.id}/timeline").json()["items"]

    assert [one["title"] for one in told][1:3] == ["Constaté", "Note"]


def test_another_annexs_incident_has_none(site: Site, slow: Incident):
    client = site.signed_in("technician", annex="berkane-2")

    assert client.get(f"/api/v1/incidents/{slow.id}/timeline").json()["code"] == "incident_unknown"
    assert client.get("/api/v1/incidents/0/timeline").status_code == 422
