"""Acts upon rollouts: who may, in which state, with which version; two people at once; and what follows from one."""

import threading
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from tests.controller.api import changing
from tests.controller.api.changing import act, approved, came_out, devices, drafted, wish
from tests.controller.fleet import device_id
from tests.controller.site import Site

from annexfleet_controller.rollouts import keeping
from annexfleet_controller.store import audit, runs
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.scope import WHOLE

ONE = {"devices": [device_id(1)]}


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """Devices 1 to 3 in berkane-1 and device 4 in berkane-2."""
    return changing.province(sqlite_engine, tmp_path)


def refusal(client: TestClient, rollout_id: int, what: str, **body: object) -> tuple[int, str]:
    answer = client.post(f"/api/v1/rollouts/{rollout_id}/{what}", json=body)
    return answer.status_code, answer.json()["code"]


def test_from_draft_to_abort_with_everything_written_down(engine: Engine, tmp_path: Path):
    """On both databases."""
    site = changing.province(engine, tmp_path)
    technician, operator = site.signed_in("technician"), site.signed_in("operator")

    rollout = act(technician, drafted(technician), "submit")
    assert (rollout["state"], rollout["submitted_by"]) == ("submitted", "technician-province")
    assert rollout["may"] == ["withdraw", "abort", "dry_run", "clone"]
    assert operator.get(f"/api/v1/rollouts/{rollout['id']}").json()["may"] == [
        "approve", "reject", "withdraw", "abort", "dry_run", "clone",
    ]  # fmt: skip
    rollout = act(operator, rollout, "approve")
    assert (rollout["state"], rollout["approved_by"]) == ("approved", "operator-province")
    rollout = act(technician, rollout, "start")
    assert (rollout["state"], rollout["started_by"]) == ("running", "technician-province")
    rollout = act(technician, rollout, "pause", reason="Eid")
    assert (rollout["state"], rollout["state_reason"]) == ("paused", "Eid")
    rollout = act(technician, rollout, "resume")
    rollout = act(technician, rollout, "abort", reason="Not today")
    assert (rollout["state"], rollout["targets"]["skipped"]) == ("aborted", 4)
    assert rollout["ended_at"] is not None
    assert rollout["may"] == ["clone", "rollback"]
    with reading(site.engine) as db:
        acts = [(entry.act, entry.actor) for entry in reversed(audit.entries(db, WHOLE))]
    assert acts == [
        (f"rollout.{what}", "operator-province" if what == "approve" else "technician-province")
        for what in ("create", "submit", "approve", "start", "pause", "resume", "abort")
    ]
    kinds = [event["kind"] for event in technician.get(f"/api/v1/rollouts/{rollout['id']}/events").json()["items"]]
    assert kinds == ["aborted", "resumed", "paused", "started", "approved", "submitted", "created"]
    pages = technician.get(f"/api/v1/rollouts/{rollout['id']}/targets?limit=3").json()
    rest = technician.get(f"/api/v1/rollouts/{rollout['id']}/targets?limit=3&cursor={pages['next']}").json()
    assert sorted(one["device"] for one in pages["items"] + rest["items"]) == devices(1, 2, 3, 4)
    assert technician.get(f"/api/v1/rollouts/{rollout['id']}/forecast").json()["why"] == "over"


def test_one_device_of_many_needs_no_second_person(sqlite_engine: Engine, tmp_path: Path):
    site = changing.province(sqlite_engine, tmp_path, first=9, second=3)
    client = site.signed_in("technician")

    rollout = act(client, drafted(client, selector=ONE), "submit")

    assert (rollout["state"], rollout["needs_approval"], rollout["approved_by"]) == ("approved", False, "")
    assert act(client, rollout, "start")["state"] == "running"


def test_who_wrote_or_submitted_it_is_no_second_person(site: Site):
    author, submitter = site.signed_in("operator", name="amina"), site.signed_in("operator", name="brahim")
    rollout = act(submitter, drafted(author), "submit")

    for person in (author, submitter):
        assert refusal(person, rollout["id"], "approve", version=2) == (409, "approved_by_author")
        assert refusal(person, rollout["id"], "reject", version=2, reason="no") == (409, "approved_by_author")
        assert "approve" not in person.get(f"/api/v1/rollouts/{rollout['id']}").json()["may"]
    assert refusal(site.signed_in("technician"), rollout["id"], "approve", version=2) == (403, "forbidden")
    rejected = act(site.signed_in("operator", name="chaima"), rollout, "reject", reason="Not before the feast")
    assert (rejected["state"], rejected["state_reason"], rejected["submitted_by"]) == (
        "draft", "Not before the feast", "",
    )  # fmt: skip


def test_a_technician_halts_those_of_others_and_neither_starts_nor_ends_them(site: Site):
    own, other = site.signed_in("technician", name="amina"), site.signed_in("technician", name="brahim")
    draft = drafted(own)

    assert refusal(other, draft["id"], "abort", version=1, reason="x") == (403, "rollout_of_others")
    rollout = act(site.signed_in("operator"), act(own, draft, "submit"), "approve")
    assert refusal(other, rollout["id"], "start", version=rollout["version"]) == (403, "rollout_of_others")
    rollout = act(own, rollout, "start")
    assert other.get(f"/api/v1/rollouts/{rollout['id']}").json()["may"] == ["pause", "clone", "rollback"]
    rollout = act(other, rollout, "pause")
    assert refusal(other, rollout["id"], "resume", version=rollout["version"]) == (403, "rollout_of_others")
    assert act(site.signed_in("operator"), rollout, "resume")["state"] == "running"


def test_who_comes_second_is_told_who_was_first_and_how_to_go_on(site: Site):
    rollout = act(site.signed_in("technician"), approved(site), "start")
    first, second = site.signed_in("operator", name="amina"), site.signed_in("operator", name="brahim")
    act(first, rollout, "pause")

    late = second.post(f"/api/v1/rollouts/{rollout['id']}/abort", json={"version": rollout["version"], "reason": "x"})

    assert (late.status_code, late.json()["code"]) == (409, "rollout_changed")
    told = late.json()
    assert (told["version"], told["state"], told["other"]) == (rollout["version"] + 1, "paused", "amina")
    assert told["may"] == ["resume", "abort", "clone", "rollback"]
    assert "look at how it stands now" in told["title"]
    again = second.post(f"/api/v1/rollouts/{rollout['id']}/pause", json={"version": told["version"]})
    assert (again.status_code, again.json()["code"], again.json()["act"]) == (409, "wrong_state", "pause")
    assert again.json()["may"] == told["may"]
    assert act(second, rollout | {"version": told["version"]}, "abort", reason="x")["state"] == "aborted"


def test_of_two_at_the_same_moment_one_wins(engine: Engine, tmp_path: Path):
    """On both databases, in transactions that overlap."""
    site = changing.province(engine, tmp_path)
    rollout = act(site.signed_in("technician"), approved(site), "start")
    people = [site.signed_in("operator", name=name) for name in ("amina", "brahim", "chaima", "driss")]
    together, codes = threading.Barrier(len(people)), []

    def halt(client: TestClient) -> None:
        together.wait(timeout=30)
        answer = client.post(f"/api/v1/rollouts/{rollout['id']}/pause", json={"version": rollout["version"]})
        codes.append((answer.status_code, answer.json().get("code", "")))

    threads = [threading.Thread(target=halt, args=(client,)) for client in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sorted(codes) == [(200, ""), *[(409, "rollout_changed")] * 3]
    story = people[0].get(f"/api/v1/rollouts/{rollout['id']}/events").json()["items"]
    assert [event["kind"] for event in story].count("paused") == 1


@pytest.mark.parametrize(
    ("header", "body", "status", "code", "field"),
    [
        ("", {}, 428, "version_missing", "version"),
        ("*", {}, 428, "version_missing", "version"),
        ('"1"', {}, 200, None, None),
        ("1", {}, 200, None, None),
        ('"1"', {"version": 1}, 200, None, None),
        ('"1"', {"version": 2}, 422, "invalid", "version"),
        ('W/"1"', {}, 422, "invalid", "If-Match"),
        ('"1", "2"', {}, 422, "invalid", "If-Match"),
        ('"0"', {}, 422, "invalid", "If-Match"),
        ('"99999999999"', {}, 422, "invalid", "If-Match"),
        ('"7"', {}, 409, "rollout_changed", None),
        ("", {"version": 7}, 409, "rollout_changed", None),
    ],
)  # fmt: skip
def test_the_version_comes_by_header_or_in_the_body(
    *, site: Site, header: str, body: dict[str, object], status: int, code: str | None, field: str | None
):
    client = site.signed_in("technician")
    rollout = drafted(client)

    answer = client.post(
        f"/api/v1/rollouts/{rollout['id']}/submit", json=body, headers={"If-Match": header} if header else {}
    )

    assert (answer.status_code, answer.json().get("code"), answer.json().get("field")) == (status, code, field)
    after = client.get(f"/api/v1/rollouts/{rollout['id']}")
    assert after.json()["state"] == ("submitted" if status == 200 else "draft")
    if status == 200:
        assert answer.headers["ETag"] == after.headers["ETag"] == '"2"'


def test_a_repeated_act_is_done_once_and_answered_the_same(site: Site):
    client = site.signed_in("technician")
    rollout = approved(site)
    path, key = f"/api/v1/rollouts/{rollout['id']}/start", {"Idempotency-Key": "k", "If-Match": '"3"'}

    answers = [client.post(path, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"] == '"4"'
    other = client.post(path, headers=key | {"If-Match": '"4"'})
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_who_is_confined_sees_their_own_devices_and_acts_only_where_they_see_all(site: Site):
    province, own = site.signed_in("technician"), site.signed_in("technician", annex="berkane-2")
    both = drafted(province)
    elsewhere = drafted(province, selector={"annexes": ["berkane-1"]})

    assert own.post("/api/v1/rollouts", json=wish(selector={"annexes": ["berkane-1"]})).status_code == 404
    assert [one["id"] for one in own.get("/api/v1/rollouts").json()["items"]] == [both["id"]]
    seen = own.get(f"/api/v1/rollouts/{both['id']}").json()
    assert (seen["targets"]["waiting"], seen["may"]) == (1, ["clone"])
    assert [one["device"] for one in own.get(f"/api/v1/rollouts/{both['id']}/targets").json()["items"]] == devices(4)
    preview = own.get(f"/api/v1/rollouts/{both['id']}/preview").json()
    assert [ref["device"] for wave in preview["waves"] for ref in wave["devices"]] == devices(4)
    assert own.get(f"/api/v1/devices/{device_id(1)}/rollouts").status_code == 404
    for what, body in (("submit", {}), ("abort", {"reason": "x"}), ("dry-run", {})):
        assert refusal(own, both["id"], what, version=1, **body)[0] == 403, what
    for path in ("", "/preview", "/targets", "/events", "/gate", "/forecast"):
        assert own.get(f"/api/v1/rollouts/{elsewhere['id']}{path}").status_code == 404
    assert own.post(f"/api/v1/rollouts/{elsewhere['id']}/clone").status_code == 404
    mine = own.post("/api/v1/rollouts", json=wish())
    assert (mine.json()["targets"]["waiting"], mine.json()["targets_digest"]) == (
        1, preview["targets_digest"],
    )  # fmt: skip
    assert act(own, mine.json(), "submit")["state"] == "submitted"


def test_what_was_approved_is_no_more(site: Site):
    client = site.signed_in("technician")
    rollout = approved(site)
    (Path(site.home.settings.playbooks_dir) / "greet.yml").write_text("- hosts: all\n  gather_facts: false\n")

    refused = client.post(f"/api/v1/rollouts/{rollout['id']}/start", json={"version": rollout["version"]})

    assert (refused.status_code, refused.json()["code"]) == (409, "rollout_not_approved")
    assert refused.json()["reason"] == "bundle_changed"
    again = act(client, act(client, rollout, "withdraw"), "submit")
    assert again["bundle_digest"] != rollout["bundle_digest"]


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [("abort", {"reason": " "}, "reason"), ("start", {"deadline_s": 5}, None), ("pause", {"reason": "x" * 201}, None)],
)
def test_a_reason_and_a_deadline_have_bounds(site: Site, what: str, body: dict[str, object], field: str | None):
    rollout = approved(site)

    refused = site.signed_in("operator").post(
        f"/api/v1/rollouts/{rollout['id']}/{what}", json={"version": rollout["version"], **body}
    )

    assert (refused.status_code, refused.json()["code"], refused.json().get("field")) == (422, "invalid", field)


def test_after_a_stop_it_goes_on_only_with_a_reason(site: Site):
    client = site.signed_in("technician")
    rollout = act(client, approved(site), "start")
    came_out(site, rollout["id"], {1: "failed"}, state="stopped")
    stopped = client.get(f"/api/v1/rollouts/{rollout['id']}").json()

    refused = client.post(f"/api/v1/rollouts/{rollout['id']}/resume", json={"version": stopped["version"]})
    assert (refused.status_code, refused.json()["field"], refused.json()["reason"]) == (422, "reason", "missing")
    assert act(client, stopped, "resume", reason="The mains were down")["state"] == "running"


def test_a_dry_run_is_attached(site: Site):
    client = site.signed_in("technician")
    rollout = act(client, drafted(client, secrets={"greet_word": "opensesame"}), "dry-run", wave=1)

    with reading(site.engine) as db:
        run = runs.find(db, WHOLE, rollout["dry_run"])
    assert (run.check, run.playbook, run.secret_names) == (True, "greet", ("greet_word",))
    assert run.hosts.all == sum(rollout["waves"][0]["targets"].values())
    busy = client.post(f"/api/v1/rollouts/{rollout['id']}/dry-run", json={"version": rollout["version"], "wave": 1})
    assert (busy.status_code, busy.json()["code"], busy.json()["other"]) == (409, "run_busy", str(run.id))


def test_the_failed_are_tried_again_in_a_rollout_of_their_own(site: Site):
    client = site.signed_in("technician")
    rollout = act(client, approved(site, secrets={"greet_word": "opensesame"}), "start")
    assert refusal(client, rollout["id"], "retry") == (409, "nothing_to_retry")
    came_out(site, rollout["id"], {1: "succeeded", 2: "failed", 3: "unknown", 4: "succeeded"}, state="done")
    keeping.remove(site.home, rollout["id"])

    lost = client.post(f"/api/v1/rollouts/{rollout['id']}/retry")
    assert (lost.status_code, lost.json()["code"], lost.json()["field"]) == (422, "variable_wrong", "greet_word")
    key = {"Idempotency-Key": "k"}
    body = {"secrets": {"greet_word": "opensesame"}}
    made = [client.post(f"/api/v1/rollouts/{rollout['id']}/retry", json=body, headers=key).json() for _ in range(2)]

    assert made[0] == made[1]
    assert (made[0]["state"], made[0]["relation"], made[0]["of_rollout"]) == ("draft", "retry", rollout["id"])
    assert made[0]["selector"] == {"devices": devices(2, 3)}
    assert "opensesame" not in str(made)


def test_the_way_back_is_drafts_and_a_clone_is_one(site: Site):
    client = site.signed_in("technician")
    rollout = act(client, approved(site), "start")
    came_out(site, rollout["id"], {1: "succeeded", 2: "succeeded"}, state="aborted")

    back = client.post(f"/api/v1/rollouts/{rollout['id']}/rollback")
    assert back.status_code == 201, back.text
    (draft,) = back.json()["drafts"]
    assert (draft["relation"], draft["of_rollout"], back.json()["lost"]) == ("rollback", rollout["id"], [])
    assert (draft["variables"], draft["selector"]) == ({"greet_version": "0.1.0"}, {"devices": devices(1, 2)})
    clone = client.post(f"/api/v1/rollouts/{rollout['id']}/clone").json()
    assert (clone["state"], clone["relation"], clone["name"]) == ("draft", "clone", "Greeting")
    plain = drafted(client, playbook="plain", variables={})
    assert refusal(client, plain["id"], "rollback") == (409, "no_way_back")
