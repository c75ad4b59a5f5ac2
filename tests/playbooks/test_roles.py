"""What every role promises, read from its files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.playbooks.roles_to_try import TO_TRY
from tests.playbooks.tree import NAMES, PLAYBOOKS, ROLES, SHARED, load, options, texts

_BESIDE_PYTHON = Path(sys.executable).parent
_FILES = (
    "README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml",
    "tasks/main.yml", "tasks/preflight.yml",
)  # fmt: skip


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{_BESIDE_PYTHON}:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed: pip install --constraint deploy/constraints.txt {name}")
    return found


def _run(*argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "HOME": str(home),
        "ANSIBLE_HOME": str(home),
        "PATH": f"{_BESIDE_PYTHON}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }
    return subprocess.run(argv, cwd=PLAYBOOKS, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.trial  # 38 s of processor time
def test_the_strictest_lint_is_content(tmp_path: Path):
    linted = _run(_program("ansible-lint"), "--offline", "--nocolor", home=tmp_path)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_playbook_can_be_read(name: str, tmp_path: Path):
    read = _run(
        _program("ansible-playbook"), "--syntax-check", "--inventory", "localhost,", f"{name}.yml", home=tmp_path
    )

    assert read.returncode == 0, read.stdout + read.stderr


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("file", _FILES)
def test_a_role_is_whole(role: str, file: str):
    path = PLAYBOOKS / "roles" / role / file

    assert path.exists(), f"{role} has no {file}"
    assert path.suffix != ".md" or len(path.read_text(encoding="utf-8")) > 400, f"{path} says next to nothing"


@pytest.mark.parametrize("role", ROLES)
def test_what_one_may_say_to_a_role_is_described_used_and_named_after_it(role: str):
    defaults = load(PLAYBOOKS / "roles" / role / "defaults/main.yml") or {}
    used = texts(role)

    for name, option in options(role).items():
        assert name.startswith((f"{role}_", "annexfleet_")), f"{name} does not bear the name of {role}"
        assert option.get("type"), f"{name} has no type"
        assert len(option.get("description", "")) > 10, f"{name} is not described"
        assert re.search(rf"\b{name}\b", used), f"{role} does not use {name}"
        assert option.get("required") or "default" in option, f"{name} is neither required nor has it a default"
        if "default" in option and not name.startswith("annexfleet_"):
            assert defaults[name] == option["default"], f"{name} has another default in defaults/main.yml"
        _described(name, option)


def _described(name: str, option: dict[str, Any]) -> None:
    for inner, wished in option.get("options", {}).items():
        assert wished.get("type"), f"{name}.{inner} has no type"
        assert wished.get("description"), f"{name}.{inner} is not described"
        assert wished.get("required") or "default" in wished, f"{name}.{inner} is neither required nor has a default"
        _described(f"{name}.{inner}", wished)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_no_variable_that_a_run_cannot_know_of(role: str):
    assert set(load(PLAYBOOKS / "roles" / role / "defaults/main.yml") or {}) <= set(options(role))


@pytest.mark.parametrize("name", NAMES)
def test_a_playbook_is_one_role_for_all_hosts_without_facts(name: str):
    (play,) = load(PLAYBOOKS / f"{name}.yml")

    assert play["hosts"] == "all"
    assert play["gather_facts"] is False
    assert play["any_errors_fatal"] is False
    assert play["roles"] == [{"role": name}]


@pytest.mark.parametrize("name", NAMES)
def test_a_role_begins_by_refusing(name: str):
    tasks = load(PLAYBOOKS / "roles" / name / "tasks/main.yml")
    preflight = load(PLAYBOOKS / "roles" / name / "tasks/preflight.yml")

    assert tasks[0]["ansible.builtin.import_tasks"] == "preflight.yml"
    assert preflight[0]["ansible.builtin.import_role"] == {"name": "supported_device"}
    assert any("ansible.builtin.assert" in task for task in preflight)


def test_every_playbook_is_known_and_every_role_has_one():
    playbooks = {path.stem for path in PLAYBOOKS.glob("*.yml") if not path.name.endswith(".annexfleet.yml")}

    assert playbooks == set(ROLES) - SHARED
    readme = (PLAYBOOKS / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}](roles/{name}/README.md)" in readme for name in NAMES)


def test_every_playbook_but_those_tried_on_their_own_is_tried():
    tried_on_their_own = {"agent_update", "desired_configuration"}

    assert {trial.playbook for trial in TO_TRY} == set(NAMES) - tried_on_their_own


@pytest.mark.parametrize("trial", TO_TRY, ids=lambda trial: trial.name)
def test_a_trial_says_only_what_the_role_knows(trial: Any):
    known = options(trial.playbook)

    assert set(trial.variables) <= set(known)
    needed = {name for name, option in known.items() if option.get("required") and name != "annexfleet_device_id"}
    assert needed <= set(trial.variables)
