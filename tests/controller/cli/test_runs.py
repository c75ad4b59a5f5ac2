"""`annexfleet run`: what --limit means, progress, exit codes by outcome, and the two Ctrl-C."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from tests.controller.rollouts import stage as stages
from tests.controller.rollouts.stage import AMINA, Stage

from annexfleet_controller.__main__ import main
from annexfleet_controller.cli import runs as cli
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import Invalid
from annexfleet_controller.rollouts import ordering
from annexfleet_controller.store.database import writing

GREET = """
- name: Greet
  ansible.builtin.command: echo {{ greet_text }}
- name: Stumble
  ansible.builtin.fail:
    msg: no such luck
  when: greet_fails | default(false) and inventory_hostname == ansible_play_hosts_all[0]
- name: Wait
  ansible.builtin.shell: "while [ ! -e {{ greet_wait }} ]; do sleep 0.1; done"
  when: greet_wait is defined
"""
OPTIONS = (
    "{greet_text: {required: true}, greet_fails: {type: bool}, greet_wait: {type: path}, greet_word: {no_log: true}}"
)


@pytest.fixture
def stage(sqlite_engine: Engine, tmp_path: Path) -> Iterator[Stage]:
    made = stages.make(tmp_path, sqlite_engine)
    made.playbook("greet", GREET, options=OPTIONS)
    yield made
    made.end()


@contextmanager
def annexfleet(stage: Stage, *argv: str) -> "Iterator[subprocess.Popen[str]]":
    """The command, with its pipes; a test that fails leaves neither behind."""
    with subprocess.Popen(
        # Tests that run in the background of a script ignore Ctrl-C, and so would this, as it should.
        ["env", "--default-signal=INT", sys.executable, "-m", "annexfleet_controller",
         "--home", str(stage.home.path), *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("text", "devices", "annexes", "roles"),
    [
        ("annex:berkane-1,role:kiosk", [], ["berkane-1"], ["kiosk"]),
        ("d-abc, annex:x ,", ["d-abc"], ["x"], []),
        ("all", [], [], []),
    ],
)
def test_what_a_limit_means(text: str, devices: list[str], annexes: list[str], roles: list[str]):
    found = cli.limit(text)

    assert (found["devices"], found["annexes"], found["roles"]) == (devices, annexes, roles)
    assert bool(found["all"]) == (text == "all")


@pytest.mark.parametrize("text", ["", ",", "berkane-1", "annex:", "tag:x", "d-a:b"])
def test_a_limit_that_is_not_understood_is_refused(text: str):
    with pytest.raises(Invalid):
        cli.limit(text)


def test_a_run_is_followed_to_its_end_and_its_outcome_is_the_exit_code(stage: Stage):
    argv = ["greet", "--limit", "all", "--set", "greet_text=hello", "--set", "greet_fails=yes"]
    with annexfleet(stage, "run", *argv) as process:
        stage.look_until(lambda: process.poll() is not None, "the end of the command")
        out, errors = process.communicate()

    assert process.returncode == 1, errors
    lines = out.splitlines()
    assert lines[0] == "run 1"
    assert f"failed       {stage.ids[0]}  device 1  Stumble: no such luck" in lines
    assert f"changed      {stage.ids[1]}  device 2" in lines
    assert lines[-1] == "run 1 failed: 2 changed, 1 failed"


def test_a_dry_run_that_is_good_exits_with_zero_and_is_shown(stage: Stage, capsys: pytest.CaptureFixture[str]):
    argv = ["greet", "--limit", stage.ids[0], "--set", "greet_text=hello", "--check"]
    with annexfleet(stage, "run", *argv) as process:
        stage.look_until(lambda: process.poll() is not None, "the end of the command")
        assert process.returncode == 0, process.communicate()

    home = ["--home", str(stage.home.path)]
    assert main([*home, "runs", "list"]) == 0
    assert "dry run 1/1 devices" in capsys.readouterr().out
    assert main([*home, "runs", "show", "1", "--diffs"]) == 0
    shown = capsys.readouterr().out
    assert "nobody can tell what this would do: Greet" in shown
    assert main([*home, "runs", "playbooks"]) == 0
    assert "greet_word (str, secret)" in capsys.readouterr().out


def test_the_second_interruption_cancels(stage: Stage):
    wait = stage.world / "never"
    argv = ["greet", "--limit", "annex:berkane-1", "--set", "greet_text=x", "--set", f"greet_wait={wait}"]
    with annexfleet(stage, "run", *argv) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "run 1\n"
        stage.look_until(lambda: stage.run(1).hosts.running == 3, "the wait")
        assert process.stderr is not None
        process.send_signal(2)
        assert "once more" in process.stderr.readline()
        assert stage.run(1).cancelled_at is None
        process.send_signal(2)
        stage.look_until(lambda: process.poll() is not None, "the end of the command")

    assert process.returncode == 5
    assert stage.run(1).outcome == "cancelled"
    assert stage.left(1) == set()


def test_a_detached_run_prints_its_number_and_a_secret_comes_by_standard_input(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("opensesame\n"))
    home = ["--home", str(stage.home.path)]
    argv = ["run", "greet", "--limit", "all", "--set", "greet_text=x", "--secret", "greet_word", "--detach"]

    assert main([*home, *argv]) == 0
    assert capsys.readouterr().out == "1\n"
    assert stage.ground(1).secrets() == {"greet_word": "opensesame"}
    assert stage.run(1).secret_names == ("greet_word",)
    assert main([*home, "runs", "cancel", "1"]) == 0
    assert main([*home, "runs", "cancel", "1"]) == 1
    assert "run 1 has ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing", "--limit", "all"], "no playbook"),
        (["greet", "--limit", "annex:nowhere", "--set", "greet_text=x"], "no annex 'nowhere'"),
        (["greet", "--limit", "all"], "variable greet_text: missing"),
        (["greet", "--limit", "all", "--set", "greet_text"], "--set takes NAME=VALUE"),
        (["greet", "--limit", "all", "--set", "greet_text=x", "--set", "greet_word=opensesame"], "is secret"),
        (["greet", "--limit", "role:tablet", "--set", "greet_text=x"], "no device is meant"),
    ],
)
def test_what_cannot_be_is_said(stage: Stage, capsys: pytest.CaptureFixture[str], argv: list[str], message: str):
    began = time.monotonic()
    assert main(["--home", str(stage.home.path), "run", *argv]) == 1
    assert message in capsys.readouterr().err
    assert time.monotonic() - began < 30


def test_a_database_that_is_away_for_a_while_ends_nothing(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run_id = stage.order("greet", variables={"greet_text": "x"})
    with writing(stage.engine) as db:
        ordering.cancel(db, run_id, AMINA, now=SYSTEM.now())
    look, fails = cli._look, iter([True, True, False])

    def shaky(*asked: object) -> object:
        if next(fails):
            raise OperationalError("SELECT 1", {}, Exception("it restarts"))
        return look(*asked)

    monkeypatch.setattr(cli, "_look", shaky)

    assert cli._follow(stage.home, run_id) == 5
    assert capsys.readouterr().err.count("it restarts") == 1


@pytest.mark.parametrize("argv", [("runs", "show"), ("runs", "cancel"), ("relay", "--run")])
def test_a_number_that_no_run_can_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]
):
    with pytest.raises(SystemExit) as ended:
        main(["--home", str(tmp_path), *argv, "9" * 30])

    assert ended.value.code == 2
    assert "no number of a run" in capsys.readouterr().err
