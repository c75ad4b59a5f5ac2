"""Runs whose library has the callback that prepares Ansible's workers."""

import shutil
from pathlib import Path

from tests.controller.rollouts.stage import Stage

READY = Path(__file__).resolve().parents[3] / "playbooks" / "plugins" / "callback" / "annexfleet_ready.py"
LOOK = "- ansible.builtin.stat:\n    path: /\n"
LOUD = """
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = "name: loud\\ntype: notification\\nshort_description: loud\\ndescription: loud\\noptions: {}"
class CallbackModule(CallbackBase):
    CALLBACK_NAME = "loud"
    def v2_playbook_on_stats(self, stats):
        open("%s", "w").close()
"""


def _bring(stage: Stage) -> Path:
    callbacks = stage.library / "plugins" / "callback"
    callbacks.mkdir(parents=True)
    shutil.copy(READY, callbacks)
    return callbacks


def test_a_run_finds_the_payloads_of_the_run_before(stage: Stage):
    (_bring(stage) / "loud.py").write_text(LOUD % (stage.world / "loud"))
    stage.playbook("look", LOOK)

    assert stage.go("look").outcome == "ok", stage.log
    payloads = stage.home.path / "payloads"
    kept = {file: file.stat() for file in payloads.rglob("ansible.modules.*")}
    assert stage.go("look").outcome == "ok", stage.log

    assert [file.name.split("-")[0] for file in kept] == ["ansible.modules.stat"]
    assert payloads.stat().st_mode & 0o777 == 0o700
    assert {file: file.stat().st_mtime_ns for file in payloads.rglob("ansible.modules.*")} == {
        file: status.st_mtime_ns for file, status in kept.items()
    }
    assert not (stage.world / "loud").exists()  # of the library's callbacks this one alone


def test_a_library_with_parts_of_modules_of_its_own_shares_no_payloads(stage: Stage):
    _bring(stage)
    stage.playbook("look", LOOK)
    (stage.library / "roles" / "look" / "module_utils").mkdir()
    (stage.library / "roles" / "look" / "module_utils" / "basic.py").write_text("")

    run = stage.go("look", devices=stage.ids[:1])

    assert run.state == "ended"
    assert not (stage.home.path / "payloads").exists()
