"""Runs from the API to real devices and back: results, dry runs, cancels, devices that are off, secrets."""

import secrets
import subprocess
import sys

import pytest
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids
from tests.playbooks.walking import PLACE, TEXT, Walks

from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.runs import RunRow

pytestmark = pytest.mark.trial  # the same is told of runs on this machine (controller/rollouts/test_play.py, flow/)
SHORT_S = 20.0


@pytest.fixture(scope="module")
def walks(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Walks:
    return Walks(fleet, tmp_path_factory.mktemp("walks"), count=3)


def test_a_run_tells_what_became_of_each_device(walks: Walks):
    one, other, _ = walks.devices
    word, token = secrets.token_hex(8), secrets.token_hex(8)
    walks.let_go(one)
    walks.hold(other)

    run_id = walks.order([one, other], word=word, token=token)
    walks.wait_on(other)
    walks.controller.wait_until(
        lambda: walks.results(run_id, one).get("Wait on the device") == "changed", "the result of the first device"
    )
    assert walks.run(run_id)["state"] == "running"
    assert "Wait on the device" not in walks.results(run_id, other)
    walks.let_go(other)
    run = walks.finish(run_id)

    assert (run["outcome"], run["problem"], run["attempts"]) == ("ok", "", 1), walks.told(run_id)
    assert walks.outcomes(run_id) == dict.fromkeys(ids([one, other]), "changed")
    for device in (one, other):
        assert device.read(f"{PLACE}/file") == f"{TEXT} {word}\n"
        assert walks.trace(device, "begun", token) == walks.trace(device, "ended", token) == 1
        assert walks.results(run_id, device)["Put a file"] == "changed"
    walks.wait_until_nothing_is_left(run_id)
    again = walks.order([one, other], word=word)
    assert walks.finish(again)["outcome"] == "ok"
    assert walks.results(again, one)["Put a file"] == "ok"


def test_a_dry_run_changes_nothing_and_groups_what_would_change(walks: Walks):
    one, other, third = walks.devices
    word = secrets.token_hex(8)
    for device in (one, other):
        device.write(f"{PLACE}/file", "before\n", mode=0o600)
    third.run(["rm", "-rf", PLACE])
    token = secrets.token_hex(8)

    run_id = walks.order(word=word, token=token, check=True)
    run = walks.finish(run_id)

    assert run["outcome"] == "ok", walks.told(run_id)
    assert one.read(f"{PLACE}/file") == "before\n"
    assert not third.exists(PLACE)
    assert walks.trace(one, "begun", token) == 0
    found = walks.controller.ask(f"runs/{run_id}/diffs", role="technician")
    groups = {tuple(sorted(device["device"] for device in group["devices"])): group for group in found["groups"]}
    assert set(groups) == {tuple(sorted(ids([one, other]))), tuple(ids([third]))}
    text = "".join(part["text"] for part in groups[tuple(sorted(ids([one, other])))]["parts"])
    assert "-before" in text
    assert f"+{TEXT}" in text
    assert word not in str(found)
    assert any("Leave a trace" in task for task in found["unpredictable"])


def test_a_cancel_in_mid_task_leaves_nothing_on_either_side(walks: Walks):
    one, other, _ = walks.devices
    token = secrets.token_hex(8)
    walks.hold()
    run_id = walks.order([one, other], token=token)
    walks.wait_on(one)
    walks.wait_on(other)

    walks.cancel(run_id)
    run = walks.finish(run_id)

    assert run["outcome"] == "cancelled", walks.told(run_id)
    assert set(walks.outcomes(run_id).values()) == {"cancelled"}
    walks.wait_until_nothing_is_left(run_id)
    assert walks.trace(one, "ended", token) == 0


def test_a_device_that_is_off_is_unreachable_at_once_and_the_others_are_not_kept(walks: Walks):
    one, other, _ = walks.devices
    walks.let_go(one)
    assert other.agent is not None
    other.agent.stop()
    (gone,) = ids([other])
    walks.controller.wait_until(
        lambda: next(d for d in walks.controller.devices() if d["id"] == gone)["presence"] != "online", "its absence"
    )

    run_id = walks.order([one, other])
    run = walks.finish(run_id)
    hosts = walks.hosts(run_id)
    other.agent.start()
    walks.controller.wait_until_online([gone])

    assert run["outcome"] == "failed", walks.told(run_id)
    assert hosts[ids([one])[0]]["outcome"] == "changed", walks.told(run_id)
    assert hosts[gone]["outcome"] == "unreachable"
    assert "offline" in hosts[gone]["message"]


def test_the_command_line_runs_and_tells(walks: Walks):
    one, other, _ = walks.devices
    walks.let_go(one, other)
    argv = ["run", "walk", "--limit", ",".join(ids([one, other])), "--secret", "walk_word"]
    given = {"walk_text": "x", "walk_place": PLACE, "walk_token": "cli"}
    argv += [part for name, value in given.items() for part in ("--set", f"{name}={value}")]

    home = str(walks.controller.home.path)
    done = subprocess.run(
        [sys.executable, "-m", "annexfleet_controller", "--home", home, *argv],
        input="word-of-the-cli\n", capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    for device_id in ids([one, other]):
        assert any(line.startswith("changed") and device_id in line for line in done.stdout.splitlines())
    assert walks.trace(one, "ended", "cli") == walks.trace(other, "ended", "cli") == 1


def test_a_run_whose_time_is_up_is_ended_everywhere(walks: Walks):
    one, *_ = walks.devices
    walks.hold(one)
    token = secrets.token_hex(8)
    run_id = walks.order([one], token=token)
    # A minute is the least that people may ask for; its process has not looked yet.
    with writing(walks.controller.engine) as db:
        db.get_one(RunRow, run_id).timeout_s = SHORT_S
    run = walks.finish(run_id)

    assert run["outcome"] == "timed_out", walks.told(run_id)
    assert walks.outcomes(run_id)[ids([one])[0]] not in ("ok", "changed")
    walks.wait_until_nothing_is_left(run_id, one)
    assert walks.trace(one, "ended", token) == 0


def test_a_device_that_was_revoked_gets_nothing(walks: Walks):
    one, _, third = walks.devices
    walks.hold(third)
    walks.let_go(one)
    token = secrets.token_hex(8)
    run_id = walks.order([one, third], token=token)
    walks.wait_on(third)

    home = str(walks.controller.home.path)
    revoked = subprocess.run(
        [sys.executable, "-m", "annexfleet_controller", "--home", home, "device", "revoke", *ids([third])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    run = walks.finish(run_id)

    assert run["outcome"] == "failed", revoked.stderr + walks.told(run_id)
    assert walks.outcomes(run_id) == {ids([one])[0]: "changed", ids([third])[0]: "unreachable"}
    assert walks.trace(third, "ended", token) == 0
