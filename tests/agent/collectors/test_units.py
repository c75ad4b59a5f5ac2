"""Failed units."""

import pytest
from tests.agent.collectors.trees import tree, write

from annexfleet_agent.collectors import units

JSON = '[{"unit":"cups.service","load":"loaded","active":"failed","sub":"failed","description":"CUPS"}]'
TABLE = "cups.service loaded failed failed CUPS Scheduler\nssh.service loaded failed failed SSH\n"


@pytest.mark.parametrize(
    ("printed", "expected"), [(JSON, ["cups.service"]), (TABLE, ["cups.service", "ssh.service"]), ("[]", []), ("", [])]
)
def test_new_systemctl_prints_json_and_an_old_one_a_table(printed, expected):
    assert units.parse(printed) == expected


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A machine run by systemd; the test says what systemctl does."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))

    def does(script: str):
        write(folder, {"systemctl": f"#!/bin/sh\n{script}\n"})
        (folder / "systemctl").chmod(0o755)
        return units.collector(tree(tmp_path, {"/run/systemd/system/x": ""}))

    return does


def test_failed_units_are_named_and_counted(systemctl):
    report = systemctl(f"echo '{JSON}'").collect()

    assert report.readings == {"": {"units_failed": ["cups.service"], "units_failed_count": 1}}


def test_a_healthy_machine_says_so(systemctl):
    assert systemctl("echo '[]'").collect().readings == {"": {"units_failed": [], "units_failed_count": 0}}


def test_a_systemctl_that_fails_says_why(systemctl):
    report = systemctl("echo 'Failed to connect to bus' >&2; exit 1").collect()

    problem = report.problems[""]["units_failed"]
    assert (problem.code, "Failed to connect to bus" in problem.detail) == ("failed", True)


def test_no_systemd_is_unsupported(tmp_path):
    report = units.collector(tree(tmp_path, {})).collect()

    assert set(report.codes()[""].values()) == {"unsupported"}


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("cups.service", "cups.service"),
        ("home-someone.mount", "home-*.mount"),
        ("media-someone-HOLIDAY.mount", "media-*.mount"),
        ("run-user-1000.mount", "run-user-*.mount"),
    ],
)
def test_a_units_name_names_no_person(unit, told):
    assert units.without_names(unit) == told
