import io
import json
import os
import subprocess
import sys

import pytest

from annexfleet_agent import __main__ as cli
from annexfleet_agent import enrolment, program, status
from annexfleet_agent.settings import PATH_VARIABLE
from annexfleet_agent.status import Status


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    file = tmp_path / "agent.toml"
    file.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n[printing]\ncups = ""\n')
    return file


def run(*arguments):
    """`annexfleet-agent …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "annexfleet_agent", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_device_without_identity_is_told_how_to_get_one(file):
    done = run("--settings", file, "run")

    assert done.returncode == program.EXIT_NOT_ENROLLED
    assert "annexfleet-agent enrol -" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argument", "typed", "token"), [("-", "aft1.abc\n", "aft1.abc"), ("aft1.abc", "", "aft1.abc")]
)
def test_a_token_is_read_from_standard_input_or_the_arguments(file, monkeypatch, argument, typed, token):
    given = []
    monkeypatch.setattr(enrolment, "main_enrol", lambda text, **_: given.append(text.strip()) or 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))

    assert cli.main(["--settings", str(file), "enrol", argument]) == 0

    assert given == [token]


def test_nothing_on_standard_input_is_no_token(file):
    done = run("--settings", file, "enrol", "-")

    assert done.returncode == 2
    assert "not a whole token" in done.stderr


def test_a_broken_identity_is_named(file, tmp_path):
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "connection.json").write_text("{")

    done = run("--settings", file, "run")

    assert done.returncode == program.EXIT_NOT_ENROLLED
    assert "connection.json" in done.stderr


@pytest.mark.parametrize("arguments", [["run"], ["check"], ["status"], ["queue", "set", "main", "--waiting", "1"]])
def test_settings_that_cannot_be_used_stop_every_command_with_the_key(file, arguments):
    file.write_text("[agent]\nsample_periods = 1\n")

    done = run("--settings", file, *arguments)

    assert done.returncode == 2
    assert f"{file}: agent.sample_periods: there is no such key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_queue_that_cannot_be_is_named_too(file):
    file.write_text(file.read_text() + '[[queue]]\nsource = "http"\n')

    done = run("--settings", file, "check")

    assert done.returncode == 2
    assert "queue" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["dance"], ["queue"], ["queue", "set"], ["enrol"], ["check", "--only"]])
def test_wrong_usage_is_explained(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2
    assert "usage: annexfleet-agent" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["queue", "set", "--help"]])
def test_help_is_given(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 0
    assert "usage: annexfleet-agent" in capsys.readouterr().out


def test_check_asks_this_machine(file, capsys):
    assert cli.main(["--settings", str(file), "check", "--only", "memory", "--only", "cpu"]) == 0

    shown = capsys.readouterr().out
    assert "memory_used_ratio" in shown
    assert "cpu_used_ratio" in shown, "a rate needs two passes"
    assert "disk_used_ratio" not in shown


def test_check_for_programs(file, capsys):
    assert cli.main(["--settings", str(file), "check", "--json", "--only", "cpu"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["cpu"]
    assert said["cpu"]["readings"][""]["cpu_count"] == os.cpu_count()


def test_check_of_what_there_is_not(file, capsys):
    assert cli.main(["--settings", str(file), "check", "--only", "gpu"]) == 2
    assert "there are: cpu, load" in capsys.readouterr().err


def test_status_where_no_agent_ran(file, capsys):
    assert cli.main(["--settings", str(file), "status"]) == 1
    assert "no agent has run" in capsys.readouterr().err


def test_status_of_an_agent(file, tmp_path, capsys):
    found = Status(
        written_at=1, pid=os.getpid(), agent_version="0", device_id="d-x", started_at=1, link="connected",
        connected_since=1, last_ack_at=None, outbox_items=0, outbox_used_ratio=0, outbox_trouble="", config_version=0,
        problem="", problem_at=None,
    )  # fmt: skip
    status.write(tmp_path, found)

    assert cli.main(["--settings", str(file), "status"]) == 0
    assert "connected" in capsys.readouterr().out
    assert cli.main(["--settings", str(file), "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["running"] is True


def test_queue_set_needs_a_figure_and_a_listener(file, capsys):
    assert cli.main(["--settings", str(file), "queue", "set", "main"]) == 2
    assert "--waiting 12" in capsys.readouterr().err

    assert cli.main(["--settings", str(file), "queue", "set", "main", "--waiting", "3"]) == 1
    assert "push.port" in capsys.readouterr().err


def test_the_settings_file_may_come_from_the_environment(file, monkeypatch, capsys):
    monkeypatch.setenv(PATH_VARIABLE, str(file))
    file.write_text("colour = 1\n")

    assert cli.main(["status"]) == 2
    assert str(file) in capsys.readouterr().err


def test_a_renewal_that_fails_in_its_child_is_an_error(file):
    with pytest.raises(program.RenewalFailed):
        program.renew_in_child(file)


def test_a_boot_has_one_id():
    assert program.boot_id() == program.boot_id()
    assert 8 <= len(program.boot_id()) <= 64
