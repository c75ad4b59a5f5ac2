"""The callback that prepares workers: payloads from run to run, and no harm where it may or can not."""

import configparser
import gc
import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.playbooks.playing import HERE, Played, play
from tests.playbooks.tree import PLAYBOOKS

from annexfleet_controller.rollouts import environment

CALLBACKS = PLAYBOOKS / "plugins" / "callback"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.stat: {path: /}
    - ansible.builtin.command: /bin/true
"""
BUILT = "ANSIBALLZ: Creating module"
Go = Callable[..., Played]


@pytest.fixture
def payloads(tmp_path: Path) -> Path:
    return tmp_path / "payloads"


@pytest.fixture
def go(tmp_path: Path, payloads: Path) -> Go:
    """Play two tasks on this machine; Ansible says on its output what it builds."""
    playbook = tmp_path / "two.yml"
    playbook.write_text(PLAY)
    inventory = tmp_path / "hosts"
    inventory.write_text("here ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n")

    def played(**more: str) -> Played:
        directory = tmp_path / f"played-{len(list(tmp_path.glob('played-*')))}"
        directory.mkdir()
        settings = {
            "ANSIBLE_CALLBACK_PLUGINS": f"{HERE / 'callbacks'}:{CALLBACKS}", "ANSIBLE_DEBUG": "1",
            "ANNEXFLEET_PAYLOADS": str(payloads), **more,
        }  # fmt: skip
        result = play(playbook, inventory, directory, environment=settings)
        assert result.exit_code == 0, result.trouble
        assert [told.outcome for told in result.told] == ["ok", "changed"]
        assert "annexfleet_ready' callback plugin" not in result.output, result.output
        return result

    return played


def kept(payloads: Path) -> dict[str, int]:
    """The files of the one version that there is, with when they were written."""
    (version,) = payloads.iterdir()
    return {file.name: file.stat().st_mtime_ns for file in version.iterdir()}


def test_what_one_run_built_no_other_builds(go: Go, payloads: Path):
    first = go()
    before = kept(payloads)
    second = go()

    assert first.output.count(BUILT) == 2
    assert BUILT not in second.output
    assert [name.split("-")[0] for name in sorted(before)] == ["ansible.modules.command", "ansible.modules.stat"]
    assert kept(payloads) == before  # they are there, after Ansible has removed its own
    assert payloads.stat().st_mode & 0o777 == 0o700


def test_what_a_power_cut_left_is_built_anew(go: Go, payloads: Path):
    go()
    (version,) = payloads.iterdir()
    short, empty = sorted(version.iterdir())
    short.write_bytes(short.read_bytes()[:-1000])
    empty.write_bytes(b"")
    (version / ".ansible.modules.stat.123").write_bytes(b"begun")

    assert go().output.count(BUILT) == 2

    assert sorted(version.iterdir()) == [short, empty]
    for file in (short, empty):
        content = file.read_bytes()
        assert hashlib.sha256(content[32:]).digest() == content[:32]
    assert BUILT not in go().output


def _writable(place: Path, _: Path) -> None:
    place.mkdir()
    place.chmod(0o770)


def _another_users(place: Path, _: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a directory to another")
    place.mkdir(mode=0o700)
    os.chown(place, 1, 1)


def _a_link(place: Path, path: Path) -> None:
    (path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(path / "elsewhere")


@pytest.mark.parametrize("spoil", [_writable, _another_users, _a_link])
def test_a_directory_that_others_may_fill_is_not_used(
    go: Go, payloads: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
):
    spoil(payloads, tmp_path)

    assert go().output.count(BUILT) == 2

    assert list(payloads.iterdir()) == []


def test_nothing_is_shared_where_others_replace_parts_of_modules(go: Go, payloads: Path, tmp_path: Path):
    (tmp_path / "module_utils").mkdir()

    assert go(ANSIBLE_MODULE_UTILS=str(tmp_path / "module_utils")).output.count(BUILT) == 2

    assert not payloads.exists()


def test_without_the_variable_nothing_is_kept(go: Go, payloads: Path):
    assert go(ANNEXFLEET_PAYLOADS="").output.count(BUILT) == 2

    assert not payloads.exists()


def test_payloads_of_old_versions_go(go: Go, payloads: Path):
    payloads.mkdir(mode=0o700)
    for age in range(4):
        (payloads / f"{age}").mkdir()
        os.utime(payloads / f"{age}", (age, age))

    go()

    assert {place.name for place in payloads.iterdir()} >= {"2", "3"}
    assert len(list(payloads.iterdir())) == 3


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("annexfleet_ready", CALLBACKS / "annexfleet_ready.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_ansible_in_which_everything_moved_is_left_alone(
    plugin: ModuleType, payloads: Path, monkeypatch: pytest.MonkeyPatch
):
    said: list[str] = []
    monkeypatch.setenv("ANNEXFLEET_PAYLOADS", str(payloads))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(os, "register_at_fork", lambda **_: None)
    for name in ("ansible.plugins.loader", "ansible.module_utils.common.json", "ansible.constants"):
        monkeypatch.setitem(sys.modules, name, None)
    callback: Any = object.__new__(plugin.CallbackModule)
    callback._display = SimpleNamespace(vvv=said.append)

    callback.v2_playbook_on_play_start(None)
    callback.v2_playbook_on_play_start(None)
    callback.v2_playbook_on_stats(None)

    assert len(said) == 2, said  # the payloads, and what workers import
    assert not payloads.exists()


def test_workers_inherit_what_they_would_import(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch):
    loaded = [f"ansible.module_utils._internal._json._profiles._module_legacy_{way}" for way in ("c2m", "m2c")]
    for name in loaded:
        monkeypatch.delitem(sys.modules, name, raising=False)

    plugin._load_what_all_need()

    assert set(loaded) <= sys.modules.keys()


def test_a_library_without_settings_is_played_as_patiently_as_ours():
    ours, others = configparser.ConfigParser(), configparser.ConfigParser()
    ours.read(PLAYBOOKS / "ansible.cfg")
    others.read_string(environment._CONFIGURATION.decode())

    assert ours["defaults"]["internal_poll_interval"] == others["defaults"]["internal_poll_interval"]
