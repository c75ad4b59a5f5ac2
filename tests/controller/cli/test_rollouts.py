"""`annexfleet rollout` against a home: the plan as a text, approval by another person, following, exit codes."""

import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from tests.controller.api import changing
from tests.controller.api.changing import came_out
from tests.controller.fleet import device_id
from tests.controller.site import Site

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import rollout_plan, rollout_watch
from annexfleet_controller.cli.interrupted import Interruptions
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import keeping, proposing
from annexfleet_controller.rollouts.ordering import Asker
from annexfleet_controller.store import audit, rollouts
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.scope import WHOLE
from annexfleet_controller.store.tables.rollouts import RolloutRow
from annexfleet_controller.waves.mishaps import FAULTS, MISHAPS

Run = Callable[..., tuple[int, str, str]]
PLAN = ("rollout", "plan", "greet", "--set", "greet_version=2.0.0", "--limit")


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """Devices 1 to 3 in berkane-1 and device 4 in berkane-2, and a home that a command can open."""
    site = changing.province(sqlite_engine, tmp_path)
    (site.home.path / "controller.toml").write_text(
        f'playbooks_dir = "{site.home.settings.playbooks_dir}"\n'
        f'database_url = "{sqlite_engine.url.render_as_string(hide_password=False)}"\n'
    )
    return site


@pytest.fixture
def run(site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command as a person at the console: exit code, what it printed, its complaint."""

    def run_(*argv: str, by: str = "amina") -> tuple[int, str, str]:
        monkeypatch.setenv("SUDO_USER", by)
        code = main(["--home", str(site.home.path), *argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_


def approved(site: Site) -> None:
    """By Brahim, on its page."""
    with writing(site.engine) as db:
        proposing.approve(
            db, site.home, 1, Asker(name="brahim", via="session"), version=rollouts.find(db, WHOLE, 1).version,
            now=site.clock.now(),
        )  # fmt: skip


def begun(site: Site, run: Run, limit: str = "all") -> int:
    """Planned and submitted by Amina, approved by Brahim, started by Amina."""
    assert run(*PLAN, limit)[0] == 0
    assert run("rollout", "submit", "1")[0] == 0
    approved(site)
    assert run("rollout", "start", "1")[0] == 0
    return 1


def changed(site: Site, **values: object) -> None:
    """What the conductor would write into the row."""
    with writing(site.engine) as db:
        row = db.get_one(RolloutRow, 1)
        for name, value in values.items():
            setattr(row, name, value)
        row.version += 1


def happens(monkeypatch: pytest.MonkeyPatch, story: Iterator[object]) -> None:
    """Whenever the command pauses between two looks, the story goes on."""

    def pauses(_self: Interruptions, _seconds: float) -> bool:
        next(story)
        return False

    monkeypatch.setattr(Interruptions, "within", pauses)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", {}),
        ("all,role:kiosk", {"roles": ["kiosk"]}),
        ("annex:a, annex:b ,tag:x,not-tag:y", {"annexes": ["a", "b"], "tags": ["x"], "without_tags": ["y"]}),
        ("d-abc,model:OptiPlex 3080", {"devices": ["d-abc"], "models": ["OptiPlex 3080"]}),
        ("agent:0.1.0,readiness:ready", {"agent_versions": ["0.1.0"], "readiness": ["ready"]}),
    ],
)
def test_what_a_limit_means(text: str, expected: dict[str, list[str]]):
    assert rollout_plan.selector(text) == expected


@pytest.mark.parametrize("text", ["", ",", "berkane-1", "annex:", "colour:red", "d-a:b"])
def test_a_limit_that_is_not_understood_is_refused(text: str):
    with pytest.raises(Invalid):
        rollout_plan.selector(text)


def test_a_plan_shows_waves_and_who_is_left_out_and_keeps_a_draft(site: Site, run: Run):
    with writing(site.engine) as db:
        changing.reports(db, 2, changing.NEW)
        changing.takes_none(db, 3)

    code, out, _ = run(*PLAN, "annex:berkane-1,annex:berkane-2", "--preset", "evening", "--policy", "canary_count=1")

    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "2 devices in 2 waves, of 4 that are meant and 4 in service"
    first = lines.index("wave 1: 1 device of 1 annexes (canary)")
    assert re.fullmatch(
        r"  expected \w{3} [\d-]{10} [\d:]{5} to \w{3} [\d-]{10} [\d:]{5}, watched until .{20} UTC", lines[first + 1]
    )
    assert any(line.startswith("if it began now: over ") for line in lines)
    assert lines[lines.index("compliant: 1 device, nothing to do") + 1] == f"  {device_id(2)}  guichet-2  berkane-1"
    unreachable = lines.index("unreachable: 1 device, take no commands and are left out")
    assert lines[unreachable + 1].startswith(f"  {device_id(3)}")
    assert "windows of the next seven days (UTC)" in lines
    assert "  berkane-1, berkane-2" in lines
    assert "needs a second person: a tenth of the fleet or more" in lines
    assert lines[-1] == "draft 1, version 1; `annexfleet rollout submit 1` freezes it"
    with reading(site.engine) as db:
        draft = rollouts.find(db, WHOLE, 1)
        (entry,) = audit.entries(db, WHOLE)
    assert (draft.state, draft.author, draft.policy.canary_count, draft.policy.growth) == ("draft", "amina", 1, 4.0)
    assert (entry.act, entry.actor, entry.via) == ("rollout.create", "amina", "console")


def test_a_deadline_before_the_end_is_told_and_so_are_the_waves_that_it_leaves_out(run: Run):
    out = run(*PLAN, "all", "--preset", "evening", "--policy", "canary_soak_s=7200", "--deadline", "1")[1]

    assert "some devices would not be begun" in out
    assert "after the deadline: it will not be begun" in out
    run("rollout", "submit", "1")
    status = run("rollout", "status", "1")[1]
    assert "waits for people; if it went on now, the deadline, " in status
    assert "if it went on now, expected " in status


def test_a_device_that_a_service_needs_is_told_as_impossible(run: Run):
    lines = run(*PLAN, "annex:berkane-2", "--preview")[1].splitlines()

    told = lines.index("impossible while people are served: 1 device, the service would stand worse")
    assert lines[told + 1].startswith(f"  {device_id(4)}  guichet-4  berkane-2  ")


def test_a_preview_keeps_nothing_and_json_has_every_device(site: Site, run: Run):
    code, out, _ = run(*PLAN, "all", "--preview", "--json")

    told = json.loads(out)
    assert [wave["number"] for wave in told["forecast"]["waves"]] == [wave["number"] for wave in told["waves"]]
    assert (code, told["draft"], told["device_count"]) == (0, None, 4)
    assert sorted(one for wave in told["waves"] for one in wave["devices"]) == [device_id(n) for n in (1, 2, 3, 4)]
    assert set(told["windows"]) == {"berkane-1", "berkane-2"}
    assert run("rollout", "list")[1] == ""


def test_a_secret_comes_by_standard_input(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("opensesame\n"))

    code, out, _ = run(*PLAN, "all", "--secret", "greet_word")

    assert code == 0
    assert "opensesame" not in out
    assert keeping.secrets(site.home, 1) == {"greet_word": "opensesame"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing", "--limit", "all"], "no playbook"),
        (["greet", "--limit", "all"], "variable greet_version: missing"),
        (["greet", "--limit", "all", "--set", "greet_version"], "--set takes NAME=VALUE"),
        (["plain", "--limit", "somebody"], "--limit does not know 'somebody'"),
        (["plain", "--limit", "annex:nowhere"], "no annex 'nowhere'"),
        (["plain", "--limit", "role:clerk"], "roles.0: unknown role"),
        (["plain", "--limit", "role:tablet"], "no device is meant"),
        (["plain", "--limit", "all", "--preset", "reckless"], "preset: unknown preset"),
        (["plain", "--limit", "all", "--policy", "growth"], "--policy takes NAME=VALUE"),
        (["plain", "--limit", "all", "--policy", "growth=fast"], "growth: not a number"),
        (["plain", "--limit", "all", "--policy", "most_at_once=0"], "most_at_once: not within bounds"),
        (["plain", "--limit", "all", "--policy", "window=always"], "reason is missing"),
        (["plain", "--limit", "all", "--deadline", "0.5"], "one hour to 90 days"),
        (["plain", "--limit", "all", "--deadline", "nan"], "one hour to 90 days"),
    ],
)
def test_what_cannot_be_is_said(run: Run, argv: list[str], message: str):
    code, out, complaint = run("rollout", "plan", *argv)

    assert (code, out) == (1, "")
    assert message in complaint


def test_the_author_does_not_approve_and_another_person_does(site: Site, run: Run):
    run(*PLAN, "all")
    assert "waits for a second person" in run("rollout", "submit", "1")[1]
    assert "waits for a second person" in run("rollout", "status", "1")[1]

    code, _, complaint = run("rollout", "approve", "1")
    assert (code, "needs another person's approval" in complaint) == (1, True)
    # Who planned it at the console can bear any name there.
    code, _, complaint = run("rollout", "approve", "1", by="brahim")
    assert (code, "approved on its page" in complaint) == (1, True)
    approved(site)
    code, _, complaint = run("rollout", "approve", "1", by="chaima")
    assert (code, "that is approved takes no approve" in complaint) == (1, True)
    assert "begins, until" in run("rollout", "start", "1", "--deadline", "12")[1]
    with reading(site.engine) as db:
        row = rollouts.find(db, WHOLE, 1)
    assert (row.state, row.deadline_s, row.started_by) == ("running", 12 * 3600.0, "amina")


def test_who_read_an_older_version_changes_nothing(site: Site, run: Run):
    begun(site, run)
    assert "version 4" in run("rollout", "status", "1")[1]
    assert "paused" in run("rollout", "pause", "1", "--version", "4")[1]

    code, _, complaint = run("rollout", "abort", "1", "--version", "4", "--reason", "x")

    assert (code, "was changed meanwhile" in complaint) == (1, True)
    assert "goes on" in run("rollout", "resume", "1")[1]
    code, _, complaint = run("rollout", "submit", "1", "--targets", "0" * 64)
    assert (code, "that is running takes no submit" in complaint) == (1, True)


def test_a_submission_of_a_list_that_changed_is_refused(site: Site, run: Run):
    run(*PLAN, "all")
    with reading(site.engine) as db:
        digest = rollouts.find(db, WHOLE, 1).targets_digest
    with writing(site.engine) as db:
        changing.reports(db, 2, changing.NEW)

    code, _, complaint = run("rollout", "submit", "1", "--targets", digest)

    assert (code, "means other devices by now" in complaint) == (1, True)


def test_the_status_tells_waves_gate_and_devices(site: Site, run: Run):
    begun(site, run)
    came_out(site, 1, {1: "succeeded", 2: "failed", 3: "running"})
    changed(site, phase="rolling", wave=1, gate=changing.verdict("wait", "rolling", at=site.clock.now(), devices=1))

    out = run("rollout", "status", "1", "--devices")[1]

    assert "running; by amina, approved by brahim" in out
    assert "<- rolling" in out
    assert "gate WAIT: The wave is not done yet. Devices still to end: 1" in out
    assert " min left, until " in out
    assert out.count("  expected ") == 2
    assert out.index("wave 1") < out.index("  expected ") < out.index("wave 2")
    assert f"failed     {device_id(2)}  guichet-2  play failed  run 1" in out
    told = json.loads(run("rollout", "status", "1", "--json", "--devices")[1])
    assert (told["state"], told["tally"], len(told["devices"])) == (
        "running", {"failed": 1, "running": 1, "succeeded": 1, "waiting": 1}, 4,
    )  # fmt: skip
    assert told["forecast"]["why"] == "assumed"
    (listed,) = json.loads(run("rollout", "list", "--state", "open", "--json")[1])["items"]
    assert listed["id"] == 1
    assert "running    wave 1/" in run("rollout", "list")[1]
    assert run("rollout", "list", "--state", "draft")[1] == ""
    assert "2 devices" not in run("rollout", "abort", "1", "--reason", "No")[1]


def test_one_is_followed_from_its_start_to_its_end(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch):
    run(*PLAN, "all")
    run("rollout", "submit", "1")
    approved(site)

    def story() -> Iterator[object]:
        yield changed(site, phase="rolling", wave=1)
        yield came_out(site, 1, {1: "succeeded", 4: "succeeded"})
        yield changed(site, phase="soaking", gate=changing.verdict("wait", "soaking", at=site.clock.now()))
        yield changed(site, phase="rolling", wave=2)
        yield came_out(site, 1, {2: "succeeded", 3: "failed"}, state="done")

    happens(monkeypatch, story())
    code, out, _ = run("rollout", "start", "1", "--follow")

    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "rollout 1"
    assert [line for line in lines if line.startswith("wave")] == [
        "wave 1 of 2: rolling", "wave 1 of 2: soaking", "wave 2 of 2: rolling",
    ]  # fmt: skip
    assert lines.count("gate WAIT: The changed devices are being watched") == 1
    assert f"failed     {device_id(3)}  guichet-3  play failed  run 2" in lines
    assert lines[-1] == "rollout 1 done: 1 failed, 3 succeeded"


def test_following_ends_where_the_gate_stops_it(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch):
    begun(site, run)

    def story() -> Iterator[object]:
        yield came_out(site, 1, {1: "failed"})
        verdict = changing.verdict("stop", "bad_results", at=site.clock.now(), bad=1, ended=1)
        yield changed(site, state="stopped", state_reason="gate", gate=verdict)

    happens(monkeypatch, story())
    code, out, _ = run("rollout", "status", "1", "--follow")

    assert code == 1
    assert "gate STOP: Too many devices ended badly. Ended badly: 1 of 1" in out
    assert out.splitlines()[-1] == "rollout 1 stopped (gate): 1 failed, 3 waiting"
    code, _, complaint = run("rollout", "resume", "1")
    assert (code, "reason is missing" in complaint) == (1, True)
    assert run("rollout", "resume", "1", "--reason", "The mains were down")[0] == 0


@pytest.mark.parametrize(
    ("became", "state", "reason", "code"),
    [
        ({1: "succeeded"}, "done", "", 0),
        ({1: "failed", 2: "unknown"}, "done", "", 1),
        ({1: "timed_out"}, "done", "", 6),
        ({1: "unknown", 2: "timed_out"}, "done", "", 7),
        ({1: "skipped"}, "done", "deadline", 6),
        ({1: "skipped"}, "done", "", 1),
        ({1: "succeeded"}, "aborted", "", 5),
        ({1: "succeeded"}, "superseded", "superseded", 5),
    ],
)
def test_the_exit_code_is_how_it_ended(
    *, site: Site, run: Run, became: dict[int, str], state: str, reason: str, code: int
):
    with writing(site.engine) as db:
        changing.takes_none(db, 4)  # left out from the start: that is no failure
    begun(site, run)
    came_out(site, 1, became, state=state)
    changed(site, state_reason=reason)

    assert run("rollout", "status", "1", "--follow")[0] == code


def test_the_second_interruption_pauses(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch):
    begun(site, run)

    look = rollout_watch._look

    def looked_and_pressed_twice(*asked: object) -> object:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # in the same moment: each counts
        return look(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(rollout_watch, "_look", looked_and_pressed_twice)
    code, _, complaint = run("rollout", "status", "1", "--follow")

    assert code == 5
    assert complaint.splitlines() == [
        "Rollout 1 goes on. Press Ctrl-C once more to pause it.",
        "Rollout 1 is paused; `annexfleet rollout resume 1` lets it go on.",
    ]
    with reading(site.engine) as db:
        assert rollouts.find(db, WHOLE, 1).state == "paused"


def test_a_database_that_is_away_for_a_while_ends_nothing(site: Site, run: Run, monkeypatch: pytest.MonkeyPatch):
    begun(site, run)
    came_out(site, 1, {1: "succeeded"}, state="aborted")
    look, fails = rollout_watch._look, iter([True, True, False])

    def shaky(*asked: object) -> object:
        if next(fails):
            raise OperationalError("SELECT 1", {}, Exception("it restarts"))
        return look(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(rollout_watch, "_look", shaky)
    happens(monkeypatch, iter([None, None]))
    code, _, complaint = run("rollout", "status", "1", "--follow")

    assert (code, complaint.count("it restarts")) == (5, 1)


def test_a_number_that_is_none_is_refused(run: Run):
    with pytest.raises(SystemExit) as ended:
        run("rollout", "status", "9" * 30)
    assert ended.value.code == 2
    code, _, complaint = run("rollout", "status", "7")
    assert (code, "no rollout 7" in complaint) == (1, True)
    assert run("rollout", "status", "7", "--follow", "--json")[0] == 1


def test_a_rehearsal_tells_how_a_bad_release_would_be_stopped_and_begins_nothing(site: Site, run: Run):
    assert run(*PLAN, "all")[0] == 0

    code, story, _ = run("rollout", "rehearse", "1", "--fault", "play_fails")

    assert code == 0
    assert "STOP (bad results" in story
    assert "the gate would stop it after" in story
    with reading(site.engine) as db:
        assert rollouts.find(db, WHOLE, 1).state == "draft"


def test_a_rehearsal_of_a_good_release_ends_with_every_device(run: Run):
    assert run(*PLAN, "all")[0] == 0

    code, story, _ = run("rollout", "rehearse", "1", "--json")

    told = json.loads(story)
    assert code == 0
    assert told["rollout"]["state"] == "done"
    assert {target["state"] for target in told["targets"]} <= {"succeeded", "compliant", "skipped"}
    assert any(target["state"] == "succeeded" for target in told["targets"])


def test_a_rehearsal_with_devices_that_are_away_for_days(run: Run):
    assert run(*PLAN, "all")[0] == 0

    code, story, _ = run("rollout", "rehearse", "1", "--link", "1", "--off", "1", "--lasts", "72", "--json")

    days = {moment["at"][:10] for moment in json.loads(story)["moments"] if moment["kind"] == "begun"}
    assert code == 0
    assert len(days) > 1


def test_every_fault_and_mishap_can_be_rehearsed_and_simulated(capsys: pytest.CaptureFixture[str]):
    for command in (("rollout", "rehearse"), ("simulate",)):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        said = capsys.readouterr().out
        assert "{" + ",".join(fault for fault in FAULTS if fault) + "}" in said
        assert all(f"--{kind} N" in said for kind in MISHAPS)
