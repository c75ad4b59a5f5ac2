"""What is said of trouble and planned work that reaches beyond somebody's annexes: nothing of the others'."""

from datetime import timedelta
from typing import Any

import pytest
from tests.controller.fleet import device_id
from tests.controller.site import Site
from tests.controller.web import places, troubled

from annexfleet_controller.store import incidents
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.incidents import Told
from annexfleet_controller.things import Rank

OTHERS = ("berkane-2", "Annexe administrative 2", "guichet-15", "amina-of-2", "legalisation")


@pytest.fixture
def certificate(site: Site) -> int:
    """One portal's certificate, seen first in the second annex, then in the first."""
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, now)
        theirs = troubled.alert(
            db, "portal.tls", "portal", "berkane-2/watiqa", "berkane-2", now=now, cause="portal_certificate",
            facts={"portal": "watiqa", "device": "guichet-15", "services": "legalisation"},
        )  # fmt: skip
        ours = troubled.alert(
            db, "portal.tls", "portal", "berkane-1/watiqa", now=now, cause="portal_certificate",
            facts={"portal": "watiqa"},
        )  # fmt: skip
        rank = Rank(score=700.0, people_waiting=77.0, services_blocked=("legalisation",), minutes=10.0)
        found = troubled.incident(
            db, "portal", "portal_certificate", [theirs, ours], "", now=now, key="portal:*/watiqa",
            annexes=("berkane-1", "berkane-2"), rank=rank,
        )  # fmt: skip
        incidents.tell(db, [Told(found.id, now, "noted", "amina-of-2", {"note": "guichet-15 is mine"})])
    return found.id


def told(site: Site, path: str, role: str = "technician", annex: str = "berkane-1") -> str:
    answer = site.signed_in(role, annex=annex).get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_incident_of_several_annexes_names_none_of_the_others(site: Site, certificate: int):
    for path in (
        "/api/v1/incidents", f"/api/v1/incidents/{certificate}", "/alerts", f"/incidents/{certificate}",
        f"/incidents/{certificate}/fixed", "/", "/annexes/berkane-1", f"/api/v1/incidents/{certificate}/timeline",
    ):  # fmt: skip
        text = told(site, path)
        assert [word for word in OTHERS if word in text] == [], path
        assert "77" not in text, path


def test_it_still_says_what_is_wrong_and_where(site: Site, certificate: int):
    found: dict[str, Any] = (
        site.signed_in("technician", annex="berkane-1").get(f"/api/v1/incidents/{certificate}").json()
    )

    assert found["annexes"] == ["berkane-1"]
    assert found["thing"] == {"kind": "portal", "id": "*/watiqa"}
    assert found["facts"] == {"portal": "watiqa"}
    assert "watiqa" in found["title"]
    assert found["rank"]["services_blocked"] == []
    assert not found["may_acknowledge"]


def test_who_sees_all_of_it_is_told_all_of_it(site: Site, certificate: int):
    found: dict[str, Any] = site.signed_in("admin").get(f"/api/v1/incidents/{certificate}").json()

    assert found["annexes"] == ["berkane-1", "berkane-2"]
    assert found["rank"]["people_waiting"] == 77
    assert "guichet-15 is mine" in str(found["story"])


@pytest.mark.parametrize("path", ["/api/v1/incidents", "/alerts", "/api/v1/incidents?state=all"])
def test_whether_it_touches_another_annex_cannot_be_asked(site: Site, certificate: int, path: str):
    client = site.signed_in("technician", annex="berkane-1")
    answers = [
        client.get(path, params={"annex": annex}).text.replace(annex, "") for annex in ("berkane-2", "berkane-9")
    ]  # fmt: skip

    assert "watiqa" not in answers[0]
    assert answers[0].count("incident-") == answers[1].count("incident-")


def test_nobody_says_that_others_trouble_is_mended(site: Site, certificate: int):
    client = site.signed_in("technician", annex="berkane-1")

    assert client.post(f"/api/v1/incidents/{certificate}/fixed").status_code == 403
    assert client.post(f"/incidents/{certificate}/fixed").status_code == 403
    assert f'action="/incidents/{certificate}/fixed"' not in told(site, f"/incidents/{certificate}")
    assert site.signed_in("staff").post(f"/api/v1/incidents/{certificate}/fixed").status_code == 200


@pytest.fixture
def work(site: Site) -> int:
    """Planned for one annex and devices of two."""
    now = site.clock.now()
    with writing(site.engine) as db:
        for number in (1, 2):
            places.annex(db, number, now)
        places.device(db, 1, "berkane-1", now=now)
        places.device(db, 15, "berkane-2", now=now)
    body = {"reason": "New switch", "ends_at": (now + timedelta(hours=1)).isoformat()}
    client = site.signed_in("technician")
    assert client.post("/api/v1/maintenance", json=body | {"annexes": ["berkane-1", "berkane-2"]}).status_code == 201
    made = client.post("/api/v1/maintenance", json=body | {"devices": [device_id(1), device_id(15)]})
    assert made.status_code == 201
    id_: int = made.json()["id"]
    return id_


def test_planned_work_of_several_annexes_names_none_of_the_others(site: Site, work: int):
    for path in ("/api/v1/maintenance", f"/api/v1/maintenance/{work}", "/maintenance"):
        text = told(site, path)
        assert [word for word in (*OTHERS, device_id(15)) if word in text] == [], path
        assert "New switch" in text

    found = site.signed_in("technician", annex="berkane-1").get(f"/api/v1/maintenance/{work}").json()
    assert found["things"] == [{"kind": "device", "id": device_id(1)}]
    assert not found["may_change"]
    assert "berkane-2" in told(site, "/api/v1/maintenance", annex="")


def test_whether_planned_work_touches_another_annex_cannot_be_asked(site: Site, work: int):
    assert '"items":[]' in told(site, "/api/v1/maintenance?annex=berkane-2")
    assert '"items":[]' in told(site, "/api/v1/maintenance?annex=berkane-2&state=past")
