from pathlib import Path

import pytest
from tests.controller.comparing import compare
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.controller.site import Site

from annexfleet_controller.rollouts import bundle
from annexfleet_controller.store import audit, configs, rollouts
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.scope import WHOLE

PATH = "/api/v1/desired"
PROVINCE = f"{PATH}/layer?kind=province"
HERE = f"{PATH}/layer?kind=annex&of=berkane-1"
DOCUMENT = {"agent": {"sample_period_s": 30}, "packages": {"htop": "present"}}
ROOT = Path(__file__).parents[3]


@pytest.fixture
def wishing(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(bundle, "library", lambda _home: ROOT / "playbooks")
    add_annex(site.engine, "berkane-1")
    add_annex(site.engine, "berkane-2")
    add_devices(site.engine, 2)
    add_devices(site.engine, 1, annex_id="berkane-2", first=3)
    return site


def put(client, path: str, document: dict, version: int = 0, **more: object):
    return client.put(path, json={"version": version, "document": document, **more})


def test_a_layer_is_decided_read_and_told_of(wishing: Site):
    client = wishing.signed_in("operator", name="amina")

    answer = put(client, HERE, DOCUMENT, reason="They are slow")

    assert answer.status_code == 200
    assert client.get(HERE).json() == answer.json()
    assert {name: answer.json()[name] for name in ("kind", "of", "version", "updated_by", "reason", "document")} == {
        "kind": "annex", "of": "berkane-1", "version": 1, "updated_by": "amina", "reason": "They are slow",
        "document": DOCUMENT,
    }  # fmt: skip
    page = client.get(PATH).json()
    assert ([item["of"] for item in page["items"]], page["revision"]) == (["berkane-1"], answer.json()["revision"])
    with reading(wishing.engine) as db:
        (entry,) = audit.entries(db, WHOLE, act="desired.change")
        assert (entry.actor, entry.subject, entry.annex_id) == ("amina", "desired:annex:berkane-1", "berkane-1")
        assert entry.facts["entries"] == ["agent.sample_period_s", "packages.htop"]
        assert configs.of_all(db) == {}, "a decision must send nothing"


def test_what_comes_of_it_for_a_device(wishing: Site):
    client = wishing.signed_in("operator")
    put(client, PROVINCE, {"packages": {"htop": "present", "telnet": "absent"}})
    put(client, HERE, {"packages": {"htop": "3.2", "telnet": None}})

    found = client.get(f"{PATH}/devices/{device_id(1)}").json()

    assert found["entries"] == [{"entry": "packages.htop", "value": "3.2", "kind": "annex", "of": "berkane-1"}]
    assert found["taken_away"] == [{"entry": "packages.telnet", "value": None, "kind": "annex", "of": "berkane-1"}]
    assert (found["standing"], found["findings"][0]["reason"]) == ("unknown", "not_reported")
    assert client.get(f"{PATH}/devices/nothing").status_code == 404


def test_history_differences_and_the_way_back(wishing: Site):
    client = wishing.signed_in("operator")
    put(client, HERE, {"packages": {"htop": "present"}})
    put(client, HERE, {"packages": {"htop": "absent"}}, 1, reason="Enough")

    of = "kind=annex&of=berkane-1"
    page = client.get(f"{PATH}/history?{of}&limit=1").json()
    assert ([item["version"] for item in page["items"]], page["next"]) == ([2], 2)
    assert [item["version"] for item in client.get(f"{PATH}/history?{of}&before=2").json()["items"]] == [1]
    assert client.get(f"{PATH}/diff?{of}&before=1&after=2").json()["items"] == [
        {"entry": "packages.htop", "kind": "changed", "before": "present", "after": "absent", "fields": []}
    ]
    back = client.post(f"{PATH}/take-back?{of}", json={"to": 1, "version": 2, "reason": "It broke"}).json()
    assert (back["version"], back["takes_back_to"], back["document"]) == (3, 1, {"packages": {"htop": "present"}})
    assert client.post(f"{PATH}/take-back?{of}", json={"to": 7, "version": 3}).status_code == 404
    assert client.get(f"{PATH}/diff?{of}&before=1&after=9").status_code == 404


def test_a_preview_keeps_nothing(wishing: Site):
    client = wishing.signed_in("operator")

    found = client.post(f"{PATH}/preview?kind=province", json={"document": DOCUMENT}).json()

    assert (found["devices"], found["annexes"]) == (
        [device_id(1), device_id(2), device_id(3)], {"berkane-1": 2, "berkane-2": 1},
    )  # fmt: skip
    assert [change["entry"] for change in found["changes"]] == ["agent.sample_period_s", "packages.htop"]
    assert client.get(PROVINCE).json()["version"] == 0


def test_what_cannot_be_is_refused_with_its_field(wishing: Site):
    client = wishing.signed_in("operator")

    wrong = put(client, HERE, {"portals": {"cnie": {"url": "ftp://x/"}}})
    stale = put(client, HERE, DOCUMENT, 4)
    put(client, PROVINCE, {"printing": {"default_queue": "hp"}})
    apart = put(client, HERE, {"print_queues": {"hp": "absent"}})

    assert (wrong.status_code, wrong.json()["field"], wrong.json()["reason"]) == (
        422, "portals.cnie.url", "not_an_address",
    )  # fmt: skip
    assert (stale.status_code, stale.json()["code"]) == (409, "desired_changed")
    assert (apart.status_code, apart.json()["field"]) == (422, "printing.default_queue")
    assert put(client, f"{PATH}/layer?kind=annex&of=berkane-9", {}).status_code == 404
    assert put(client, f"{PATH}/layer?kind=role&of=king", {}).status_code == 404
    assert put(client, f"{PATH}/layer?kind=town", {}).status_code == 422


def test_who_is_confined_decides_only_there(wishing: Site):
    client = wishing.signed_in("operator", annex="berkane-2")

    assert put(client, f"{PATH}/layer?kind=annex&of=berkane-2", DOCUMENT).status_code == 200
    assert put(client, f"{PATH}/layer?kind=device&of={device_id(3)}", DOCUMENT).status_code == 200
    assert put(client, HERE, DOCUMENT).status_code == 404
    assert put(client, f"{PATH}/layer?kind=device&of={device_id(1)}", DOCUMENT).status_code == 404
    assert put(client, PROVINCE, DOCUMENT).status_code == 403
    assert put(client, f"{PATH}/layer?kind=role&of=counter", DOCUMENT).status_code == 403
    assert client.get(PROVINCE).status_code == 200
    compare(wishing)
    drift = client.get(f"{PATH}/drift").json()
    assert [item["device"] for item in drift["items"]] == [device_id(3)]
    assert client.get(f"{PATH}/drift?annex=berkane-1").status_code == 404


def test_drift_and_the_draft_that_repairs_it(wishing: Site):
    client = wishing.signed_in("operator")
    put(client, HERE, {"agent": {"sample_period_s": 30}})

    before = client.get(f"{PATH}/drift?standing=unknown").json()
    assert (before["tally"], before["as_of"]) == ({"same": 0, "differs": 0, "unknown": 3}, None)
    assert {item["compared_at"] for item in before["items"]} == {None}
    compare(wishing)
    page = client.get(f"{PATH}/drift?limit=1").json()
    assert (page["as_of"], page["items"][0]["compared_at"]) == (page["items"][0]["compared_at"], page["as_of"])
    assert page["tally"] == {"same": 1, "differs": 2, "unknown": 0}
    rest = client.get(f"{PATH}/drift?cursor={page['next']}").json()
    assert [item["device"] for item in (*page["items"], *rest["items"])] == [device_id(1), device_id(2)]
    assert page["items"][0]["findings"][0]["reason"] == "not_sent"
    answers = [
        client.post(f"{PATH}/repair", json={"name": "Repair"}, headers={"Idempotency-Key": "k" * 20}) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    with reading(wishing.engine) as db:
        (draft,) = rollouts.listing(db, WHOLE, limit=9)
        detail = rollouts.find(db, WHOLE, draft.id)
        assert configs.of_all(db) == {}, "a draft must send nothing"
    assert (detail.state, detail.selector.devices) == ("draft", (device_id(1), device_id(2)))


def test_nothing_to_repair(wishing: Site):
    answer = wishing.signed_in("operator").post(f"{PATH}/repair", json={"name": "Repair"})

    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_repair")
