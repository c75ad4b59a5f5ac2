"""/api/v1/runs and /api/v1/playbooks: asking, looking within one's sight, stopping, asking again."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.controller.site import Site

from annexfleet_controller.rollouts.ground import Ground
from annexfleet_controller.store import audit, devices, run_queue, run_results
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.run_progress import Batch, Progress, Result, Task
from annexfleet_controller.store.scope import WHOLE

SPEC = """
argument_specs: {main: {short_description: Text, options: {greet_text: {type: str, required: true},
  greet_times: {type: int, default: 1}, greet_word: {type: str, no_log: true}}}}
"""


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """Devices 1 and 2 in berkane-1, device 3 in berkane-2, and a playbook that greets."""
    library = tmp_path / "library"
    (library / "roles" / "greet" / "meta").mkdir(parents=True)
    (library / "greet.yml").write_text("- hosts: all\n")
    (library / "roles" / "greet" / "meta" / "argument_specs.yml").write_text(SPEC)
    add_annex(sqlite_engine)
    add_annex(sqlite_engine, "berkane-2")
    add_devices(sqlite_engine, 2)
    add_devices(sqlite_engine, 1, annex_id="berkane-2", first=3)
    return Site(sqlite_engine, tmp_path, playbooks_dir=str(library))


def wish(**over: object) -> dict[str, object]:
    return {"playbook": "greet", "variables": {"greet_text": "hello"}, "annexes": ["berkane-1"], **over}


def ended(site: Site, run_id: int) -> None:
    """Device 1 changed, device 2 failed."""
    hosts = [
        Progress(device_number=1, state="ended", outcome="changed", diff_digest="d"),
        Progress(device_number=2, state="ended", outcome="failed", message="no"),
    ]
    batch = Batch(
        tasks=[Task(number=1, key="k", name="Greet"), Task(number=2, key="l", name="Ask", predictable=False)],
        results=[Result(device_number=1, task_number=1, state="changed", diff_digest="t")],
        hosts=hosts,
        diffs={"t": "+hello"},
    )
    with writing(site.engine) as db:
        run_queue.take(db, now=site.clock.now())
        run_results.write(db, run_id, batch, now=site.clock.now())
        run_queue.finish(db, run_id, 1, outcome="failed", now=site.clock.now())


def test_playbooks_are_listed_with_their_variables(site: Site):
    (playbook,) = site.signed_in("technician").get("/api/v1/playbooks").json()["items"]

    assert playbook["name"] == "greet"
    assert [(v["name"], v["required"], v["secret"]) for v in playbook["variables"]] == [
        ("greet_text", True, False), ("greet_times", False, False), ("greet_word", False, True),
    ]  # fmt: skip


def test_a_run_is_queued_and_shown(site: Site):
    client = site.signed_in("technician")
    made = client.post("/api/v1/runs", json=wish(check=True, reason="Because", variables={"greet_text": "{{ 7*7 }}"}))

    assert made.status_code == 201, made.text
    run = made.json()
    assert (run["state"], run["check"], run["author"], run["reason"]) == (
        "queued",
        True,
        "technician-province",
        "Because",
    )
    assert run["variables"] == {"greet_text": "{{ 7*7 }}"}
    assert run["hosts"]["waiting"] == 2
    assert run["may_stop"] is True
    assert len(run["bundle_digest"]) == len(run["targets_digest"]) == 64
    assert client.get(f"/api/v1/runs/{run['id']}").json() == run
    assert [item["id"] for item in client.get("/api/v1/runs?annex=berkane-1").json()["items"]] == [run["id"]]
    assert client.get("/api/v1/runs?annex=berkane-2").json()["items"] == []
    with reading(site.engine) as db:
        (entry,) = audit.entries(db, WHOLE)
    assert (entry.act, entry.actor, entry.subject, entry.annex_id) == (
        "run.create", "technician-province", f"run:{run['id']}", "berkane-1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("over", "status", "code", "field"),
    [
        ({"playbook": "nothing"}, 404, "playbook_unknown", None),
        ({"variables": {}}, 422, "variable_wrong", "greet_text"),
        ({"variables": {"greet_text": "x", "greet_times": "often"}}, 422, "variable_wrong", "greet_times"),
        ({"variables": {"greet_text": "x", "greet_word": "opensesame"}}, 422, "variable_wrong", "greet_word"),
        ({"annexes": ["nowhere"]}, 404, "annex_unknown", None),
        ({"annexes": [], "devices": ["d-nobody"]}, 404, "device_unknown", None),
        ({"annexes": []}, 422, "invalid", "devices"),
        ({"roles": ["tablet"]}, 422, "invalid", "devices"),
        ({"forks": 51}, 422, "invalid", None),
        ({"timeout_s": 5}, 422, "invalid", None),
        ({"reason": "x" * 201}, 422, "invalid", None),
        ({"variables": {"greet_text": "a\0b"}}, 422, "variable_wrong", "greet_text"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(
    site: Site, over: dict[str, object], status: int, code: str, field: str | None
):
    refused = site.signed_in("technician").post("/api/v1/runs", json=wish(**over))

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.json().get("field") == field
    assert site.signed_in("technician").get("/api/v1/runs").json()["items"] == []


def test_a_busy_device_is_refused_and_the_run_named(site: Site):
    client = site.signed_in("technician")
    first = client.post("/api/v1/runs", json=wish()).json()["id"]

    refused = client.post("/api/v1/runs", json=wish(annexes=[], devices=[device_id(2)]))

    assert (refused.status_code, refused.json()["code"], refused.json()["other"]) == (409, "run_busy", str(first))


def test_secrets_are_kept_in_a_file_and_nowhere_else(site: Site):
    client = site.signed_in("technician")
    canary = "canary-of-the-api-77"
    made = client.post(
        "/api/v1/runs", json=wish(secrets={"greet_word": canary}), headers={"Idempotency-Key": "once"}
    )  # fmt: skip

    assert made.json()["secret_names"] == ["greet_word"]
    assert canary not in made.text
    ground = Ground(site.home, made.json()["id"])
    assert ground.secrets() == {"greet_word": canary}
    with site.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert canary.encode() not in Path(str(site.engine.url.database)).read_bytes()


def test_a_repeat_queues_nothing(site: Site):
    client = site.signed_in("technician")
    answers = [client.post("/api/v1/runs", json=wish(), headers={"Idempotency-Key": "k"}).json() for _ in range(2)]

    assert answers[0] == answers[1]
    assert len(client.get("/api/v1/runs").json()["items"]) == 1


def test_who_is_confined_sees_and_touches_their_own_annex_only(site: Site):
    province, own = site.signed_in("technician"), site.signed_in("technician", annex="berkane-2")
    both = province.post("/api/v1/runs", json=wish(annexes=["berkane-1", "berkane-2"])).json()["id"]

    assert own.post("/api/v1/runs", json=wish()).status_code == 404
    seen = own.get(f"/api/v1/runs/{both}").json()
    assert (seen["hosts"]["waiting"], seen["may_stop"]) == (1, False)
    assert [host["device"] for host in own.get(f"/api/v1/runs/{both}/hosts").json()["items"]] == [device_id(3)]
    assert own.get(f"/api/v1/runs/{both}/hosts/{device_id(1)}").status_code == 404
    assert own.post(f"/api/v1/runs/{both}/cancel").status_code == 403
    assert province.post(f"/api/v1/runs/{both}/cancel").json()["outcome"] == "cancelled"
    other = province.post("/api/v1/runs", json=wish()).json()["id"]
    for path in ("", "/hosts", "/diffs"):
        assert own.get(f"/api/v1/runs/{other}{path}").status_code == 404


def test_hosts_come_page_by_page_with_their_results(site: Site):
    client = site.signed_in("technician")
    run_id = client.post("/api/v1/runs", json=wish()).json()["id"]
    ended(site, run_id)

    first = client.get(f"/api/v1/runs/{run_id}/hosts?limit=1").json()
    second = client.get(f"/api/v1/runs/{run_id}/hosts?limit=1&cursor={first['next']}").json()
    assert [host["outcome"] for host in first["items"] + second["items"]] == ["changed", "failed"]
    assert second["next"] is None
    failed = client.get(f"/api/v1/runs/{run_id}/hosts?standing=failed").json()["items"]
    assert [host["message"] for host in failed] == ["no"]
    (result,) = client.get(f"/api/v1/runs/{run_id}/hosts/{device_id(1)}").json()["results"]
    assert (result["task"], result["state"], result["diff"]) == ("Greet", "changed", "+hello")


def test_differences_come_in_groups(site: Site):
    client = site.signed_in("technician")
    run_id = client.post("/api/v1/runs", json=wish(check=True)).json()["id"]
    ended(site, run_id)

    told = client.get(f"/api/v1/runs/{run_id}/diffs").json()
    assert told["unpredictable"] == ["Ask"]
    (group,) = told["groups"]
    assert [device["device"] for device in group["devices"]] == [device_id(1)]
    assert group["parts"] == [{"task_number": 1, "task": "Greet", "text": "+hello"}]


def test_a_retry_is_for_devices_without_success_and_wants_secrets_anew(site: Site):
    client = site.signed_in("technician")
    run_id = client.post("/api/v1/runs", json=wish(secrets={"greet_word": "opensesame"})).json()["id"]
    assert client.post(f"/api/v1/runs/{run_id}/retry").json()["code"] == "run_over"
    ended(site, run_id)

    assert client.post(f"/api/v1/runs/{run_id}/retry").json()["field"] == "greet_word"
    again = client.post(f"/api/v1/runs/{run_id}/retry", json={"secrets": {"greet_word": "opensesame"}})
    assert again.status_code == 201
    assert [h["device"] for h in client.get(f"/api/v1/runs/{again.json()['id']}/hosts").json()["items"]] == [
        device_id(2)
    ]
    assert client.post(f"/api/v1/runs/{run_id}/cancel").json()["code"] == "run_over"


def test_a_retry_leaves_out_what_went_out_of_service(site: Site):
    client = site.signed_in("technician")
    run_id = client.post("/api/v1/runs", json=wish(annexes=["berkane-1", "berkane-2"])).json()["id"]
    ended(site, run_id)
    with writing(site.engine) as db:
        devices.revoke(db, 2, site.clock.now())

    again = client.post(f"/api/v1/runs/{run_id}/retry")

    assert again.status_code == 201, again.text
    hosts = client.get(f"/api/v1/runs/{again.json()['id']}/hosts").json()["items"]
    assert [host["device"] for host in hosts] == [device_id(3)]


def test_runs_are_counted_by_outcome(site: Site):
    client = site.signed_in("technician")
    ended(site, client.post("/api/v1/runs", json=wish()).json()["id"])

    assert 'annexfleet_runs{outcome="failed",state="ended"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("cursor", ["x", "WyJ4Il0", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5Il0"])
def test_a_cursor_of_somebody_else_is_refused(site: Site, cursor: str):
    assert site.signed_in("technician").get(f"/api/v1/runs?cursor={cursor}").status_code == 422


def test_lists_come_page_by_page(site: Site):
    client = site.signed_in("technician")
    ids = []
    for _ in range(3):
        ids.append(client.post("/api/v1/runs", json=wish()).json()["id"])
        client.post(f"/api/v1/runs/{ids[-1]}/cancel")
        site.clock.at += timedelta(seconds=1)
    page = client.get("/api/v1/runs?limit=2&state=ended").json()
    rest = client.get(f"/api/v1/runs?limit=2&cursor={page['next']}").json()

    assert [run["id"] for run in page["items"] + rest["items"]] == ids[::-1]
    assert json.dumps(rest["next"]) == "null"
