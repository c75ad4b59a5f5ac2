"""/api/v1/rollouts: drafts, previews, devices page by page, the story; and what cannot be."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.api import changing
from tests.controller.api.changing import act, devices, drafted, wish
from tests.controller.fleet import device_id
from tests.controller.site import Site

from annexfleet_controller.rollouts import keeping
from annexfleet_controller.store import audit
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.runs import targets_digest
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.rollouts import RolloutRow
from annexfleet_controller.waves import documents


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """Devices 1 to 3 in berkane-1 and device 4 in berkane-2."""
    return changing.province(sqlite_engine, tmp_path)


def told(client, rollout_id: int, path: str) -> list[dict]:
    return client.get(f"/api/v1/rollouts/{rollout_id}/{path}").json()["items"]


def test_a_draft_is_kept_and_shown(site: Site):
    client = site.signed_in("technician")
    asked = wish(reason=" Ticket ", policy={"preset": "evening", "most_at_once": 1}, selector={"roles": ["counter"]})

    made = client.post("/api/v1/rollouts", json=asked)

    assert made.status_code == 201, made.text
    rollout = made.json()
    assert (rollout["state"], rollout["author"], rollout["reason"]) == ("draft", "technician-province", "Ticket")
    assert rollout["selector"] == {"roles": ["counter"]}
    assert documents.parse_policy(rollout["policy"]) == documents.parse_policy(asked["policy"])
    assert rollout["nature"] == {
        "configures": "greeting", "expects": {"agent_version": "2.0.0"}, "interrupts": True, "takes_s": 60.0,
        "has_way_back": True,
    }  # fmt: skip
    assert rollout["targets"]["waiting"] == 4
    assert sum(wave["targets"]["waiting"] for wave in rollout["waves"]) == 4
    assert rollout["targets_digest"] == targets_digest(devices(1, 2, 3, 4))
    assert rollout["needs_approval"] is True, "all of the fleet is more than 10 % of it"
    assert rollout["may"] == ["submit", "abort", "edit", "dry_run", "clone"]
    assert made.headers["ETag"] == '"1"'
    shown = client.get(f"/api/v1/rollouts/{rollout['id']}")
    assert shown.json() == rollout
    assert shown.headers["ETag"] == '"1"'
    with reading(site.engine) as db:
        (entry,) = audit.entries(db, WHOLE)
    assert (entry.act, entry.actor, entry.via, entry.subject) == (
        "rollout.create", "technician-province", "session", f"rollout:{rollout['id']}",
    )  # fmt: skip


def test_a_preview_keeps_nothing_and_lists_every_device(site: Site):
    client = site.signed_in("technician")
    with writing(site.engine) as db:
        changing.reports(db, 2, changing.NEW)
        changing.takes_none(db, 3)

    seen = client.post("/api/v1/rollouts/preview", json=wish())

    assert seen.status_code == 200, seen.text
    preview = seen.json()
    waved = [ref["device"] for wave in preview["waves"] for ref in wave["devices"]]
    assert sorted(waved) == devices(1, 4)
    assert preview["waves"][0]["why"] == ["canary"]
    assert [ref["device"] for ref in preview["compliant"]] == devices(2)
    assert [ref["device"] for ref in preview["unreachable"]] == devices(3)
    assert (preview["device_count"], preview["in_service"]) == (2, 4)
    expected = preview["forecast"]["waves"]
    assert [one["number"] for one in expected] == [one["number"] for one in preview["waves"]]
    assert all(one["begins_at"] < one["rolled_at"] < one["soaked_at"] for one in expected)
    assert preview["forecast"]["ends_at"] == expected[-1]["soaked_at"]
    assert preview["why"] == ["large_share"]
    assert [window["annex"] for window in preview["windows"]] == ["berkane-1", "berkane-2"]
    assert all(span["start"] < span["end"] for window in preview["windows"] for span in window["spans"])
    assert preview["targets_digest"] == targets_digest(devices(1, 4))
    assert client.get("/api/v1/rollouts").json()["items"] == []


def test_a_draft_is_previewed_as_it_would_be_now(site: Site):
    client = site.signed_in("technician")
    rollout = drafted(client)
    with writing(site.engine) as db:
        changing.reports(db, 1, changing.NEW)

    preview = client.get(f"/api/v1/rollouts/{rollout['id']}/preview").json()

    assert [ref["device"] for ref in preview["compliant"]] == devices(1)
    assert preview["targets_digest"] != rollout["targets_digest"]
    refused = client.post(
        f"/api/v1/rollouts/{rollout['id']}/submit",
        json={"version": 1, "targets_digest": rollout["targets_digest"]},
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "rollout_targets_changed")
    assert refused.json()["digest"] == preview["targets_digest"]


@pytest.mark.parametrize(
    ("over", "status", "code", "field", "reason"),
    [
        ({"playbook": "nothing"}, 404, "playbook_unknown", None, None),
        ({"variables": {}}, 422, "variable_wrong", "greet_version", "missing"),
        ({"variables": {"greet_version": "x", "greet_word": "opensesame"}}, 422, "variable_wrong", "greet_word", None),
        ({"selector": {"annexes": ["nowhere"]}}, 404, "annex_unknown", None, None),
        ({"selector": {"devices": ["d-nobody"]}}, 404, "device_unknown", None, None),
        ({"selector": {"roles": ["tablet"]}}, 422, "invalid", "selector", "nobody"),
        ({"selector": {"roles": ["counter", "clerk"]}}, 422, "invalid", "selector.roles.1", "unknown_role"),
        ({"selector": {"colour": ["red"]}}, 422, "invalid", "selector.colour", "unknown_field"),
        ({"selector": {"tags": "pilot"}}, 422, "invalid", "selector.tags", "not_a_list"),
        ({"policy": {"preset": "reckless"}}, 422, "invalid", "policy.preset", "unknown_preset"),
        ({"policy": {"most_at_once": 0}}, 422, "invalid", "policy.most_at_once", "not_within_bounds"),
        ({"policy": {"growth": "fast"}}, 422, "invalid", "policy.growth", "not_a_number"),
        ({"policy": {"window": "always"}}, 422, "invalid", "reason", "missing"),
        ({"name": "  "}, 422, "invalid", "name", "missing"),
        ({"name": "a\0b"}, 422, "invalid", "name", None),
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_the_field_named(
    *, site: Site, over: dict[str, object], status: int, code: str, field: str | None, reason: str | None
):
    client = site.signed_in("technician")
    for path in ("", "/preview"):
        refused = client.post(f"/api/v1/rollouts{path}", json=wish(**over))

        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json().get("field") == field
        assert reason is None or refused.json()["reason"] == reason
    assert client.get("/api/v1/rollouts").json()["items"] == []


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"name": "x" * 121}, "name"), ({"deadline_s": 60}, "deadline_s"), ({"selector": None}, "selector"),
        ({"reason": "x" * 201}, "reason"), ({"policy": []}, "policy"),
    ],
)  # fmt: skip
def test_what_has_not_the_form_is_refused_and_the_field_named(site: Site, over: dict[str, object], field: str):
    refused = site.signed_in("technician").post("/api/v1/rollouts", json=wish(**over))

    assert (refused.status_code, refused.json()["code"], refused.json()["fields"]) == (422, "invalid", [field])


def test_who_names_no_devices_at_all_has_not_said_everywhere(site: Site):
    asked = wish()
    del asked["selector"]

    assert site.signed_in("technician").post("/api/v1/rollouts", json=asked).json()["fields"] == ["selector"]


def test_a_repeat_keeps_one_draft(site: Site):
    client = site.signed_in("technician")
    key = {"Idempotency-Key": "k"}
    answers = [client.post("/api/v1/rollouts", json=wish(), headers=key).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert len(client.get("/api/v1/rollouts").json()["items"]) == 1
    other = client.post("/api/v1/rollouts", json=wish(name="Another"), headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_an_edit_says_all_anew_and_keeps_secrets_that_are_left_out(site: Site):
    client = site.signed_in("technician")
    canary = "canary-of-the-rollout-77"
    rollout = drafted(client, secrets={"greet_word": canary})

    edited = client.put(
        f"/api/v1/rollouts/{rollout['id']}",
        json=wish(name="Shorter", selector={"annexes": ["berkane-2"]}),
        headers={"If-Match": '"1"'},
    )

    assert edited.status_code == 200, edited.text
    assert (edited.json()["name"], edited.json()["targets"]["waiting"]) == ("Shorter", 1)
    assert edited.headers["ETag"] == '"2"'
    assert edited.json()["secret_names"] == ["greet_word"]
    assert canary not in edited.text
    assert keeping.secrets(site.home, rollout["id"]) == {"greet_word": canary}
    with site.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert canary.encode() not in Path(str(site.engine.url.database)).read_bytes()
    submitted = act(client, edited.json(), "submit")
    refused = client.put(f"/api/v1/rollouts/{rollout['id']}", json=wish(version=submitted["version"]))
    assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "wrong_state", "submitted")


def test_devices_come_page_by_page_and_filtered(site: Site):
    client = site.signed_in("technician")
    rollout = drafted(client)
    path = f"/api/v1/rollouts/{rollout['id']}/targets"

    first = client.get(f"{path}?limit=3").json()
    rest = client.get(f"{path}?limit=3&cursor={first['next']}").json()
    found = first["items"] + rest["items"]
    assert sorted(one["device"] for one in found) == devices(1, 2, 3, 4)
    assert [(one["wave"], one["position"]) for one in found] == sorted((one["wave"], one["position"]) for one in found)
    assert rest["next"] is None
    assert found[0]["before"] == {"agent_version": "0.1.0"}
    canary = client.get(f"{path}?wave=1").json()["items"]
    assert [one["device"] for one in canary] == [one["device"] for one in found if one["wave"] == 1]
    assert [one["device"] for one in client.get(f"{path}?annex=berkane-2").json()["items"]] == devices(4)
    assert client.get(f"{path}?state=failed").json()["items"] == []
    for wrong in ("?state=late", "?wave=-1", "?cursor=x", "?cursor=WyIxIiwiMSIsIngiXQ", "?cursor=WyJ4Il0", "?limit=0"):
        assert client.get(f"{path}{wrong}").status_code == 422, wrong


def test_lists_come_page_by_page_and_filtered(site: Site):
    client = site.signed_in("technician")
    ids = []
    for playbook in ("greet", "plain", "greet"):
        variables = {"greet_version": "2"} if playbook == "greet" else {}
        selector = {"annexes": ["berkane-2"]} if playbook == "plain" else {"annexes": ["berkane-1"]}
        ids.append(drafted(client, playbook=playbook, variables=variables, selector=selector)["id"])

    page = client.get("/api/v1/rollouts?limit=2").json()
    rest = client.get(f"/api/v1/rollouts?limit=2&cursor={page['next']}").json()
    assert [one["id"] for one in page["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    for query, expected in (
        ("state=draft", ids[::-1]), ("state=open", []), ("playbook=plain", [ids[1]]), ("annex=berkane-2", [ids[1]]),
    ):  # fmt: skip
        assert [one["id"] for one in client.get(f"/api/v1/rollouts?{query}").json()["items"]] == expected, query
    for wrong in ("state=late", "cursor=x", "cursor=WyJ4Il0", "cursor=WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Il0"):
        assert client.get(f"/api/v1/rollouts?{wrong}").status_code == 422, wrong


def test_the_story_the_gate_and_the_forecast_of_one_under_way(site: Site):
    client = site.signed_in("technician")
    rollout = act(client, changing.approved(site), "start", deadline_s=7200)
    assert rollout["deadline_at"] > rollout["started_at"]
    assert client.get(f"/api/v1/rollouts/{rollout['id']}/gate").json()["verdict"] is None
    with writing(site.engine) as db:
        row = db.get_one(RolloutRow, rollout["id"])
        row.gate = changing.verdict("wait", "soaking", at=site.clock.now(), minutes=7)

    kinds = [event["kind"] for event in told(client, rollout["id"], "events")]
    assert kinds == ["started", "approved", "submitted", "created"]
    page = client.get(f"/api/v1/rollouts/{rollout['id']}/events?limit=3").json()
    rest = client.get(f"/api/v1/rollouts/{rollout['id']}/events?limit=3&cursor={page['next']}").json()
    assert [event["kind"] for event in rest["items"]] == ["created"]
    assert page["items"][1]["actor"] == "operator-province"
    verdict = client.get(f"/api/v1/rollouts/{rollout['id']}/gate").json()["verdict"]
    (reason,) = verdict["reasons"]
    assert (verdict["word"], reason["code"], reason["facts"]) == ("wait", "soaking", {"minutes": 7})
    assert " " in reason["text"]  # in words
    assert client.get(f"/api/v1/rollouts/{rollout['id']}").json()["gate"] == "wait"
    forecast = client.get(f"/api/v1/rollouts/{rollout['id']}/forecast").json()
    assert forecast["why"] == "assumed"
    assert 0 < forecast["seconds_left"] <= 7200
    assert forecast["waves"][0]["spans"][0]["start"] == forecast["waves"][0]["begins_at"]
    assert (forecast["is_cut"], forecast["late_at"] is not None) == (True, True)
    assert forecast["waves"][-1]["is_after_deadline"] is True
    paused = act(client, rollout, "pause")
    forecast = client.get(f"/api/v1/rollouts/{paused['id']}/forecast").json()
    assert (forecast["ends_at"], forecast["why"]) == (None, "waits_for_people")
    assert client.get(f"/api/v1/rollouts/{paused['id']}/forecast?as_if_started=1").json()["ends_at"]


def test_a_device_has_a_history_of_its_own(site: Site):
    client = site.signed_in("technician")
    first = drafted(client, selector={"annexes": ["berkane-1"]})
    site.clock.at += timedelta(seconds=1)
    second = drafted(client)
    path = f"/api/v1/devices/{device_id(1)}/rollouts"

    page = client.get(f"{path}?limit=1").json()
    rest = client.get(f"{path}?limit=1&cursor={page['next']}").json()

    assert [one["rollout"]["id"] for one in page["items"] + rest["items"]] == [second["id"], first["id"]]
    assert {one["target"]["device"] for one in page["items"]} == {device_id(1)}
    other = client.get(f"/api/v1/devices/{device_id(4)}/rollouts").json()["items"]
    assert [one["rollout"]["id"] for one in other] == [second["id"]]
    assert client.get("/api/v1/devices/d-nobody/rollouts").status_code == 404


def test_rollouts_and_their_devices_are_counted(site: Site):
    client = site.signed_in("technician")
    act(client, changing.approved(site), "start")
    drafted(client)

    figures = client.get("/metrics").text

    assert 'annexfleet_rollouts{state="running"} 1.0' in figures
    assert 'annexfleet_rollouts{state="draft"} 1.0' in figures
    assert 'annexfleet_rollouts{state="stopped"} 0.0' in figures
    assert 'annexfleet_rollout_devices{state="waiting"} 4.0' in figures, "those of the draft do not count"
