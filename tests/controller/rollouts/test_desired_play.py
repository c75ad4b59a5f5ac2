"""The playbook of the desired configuration with real Ansible on this machine, between stand-ins of its roles."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.controller.fleet import device_id
from tests.controller.rollouts import stage as stages

from annexfleet_controller.desired.document import parse
from annexfleet_controller.desired.resolve import PROVINCE, Layer
from annexfleet_controller.store import configs, desired
from annexfleet_controller.store.database import reading, writing

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
NAME = "desired_configuration"
TRACE = """
- name: Leave a trace
  ansible.builtin.copy:
    content: "{{ told | to_json }}"
    dest: "%(world)s/%(role)s-{{ inventory_hostname }}"
    mode: "0600"
  vars:
    told: %(told)s
"""


def set_up(stage: stages.Stage) -> None:
    told = {
        "printers": (
            "{queues: '{{ printers_queues }}', absent: '{{ printers_absent }}', default: '{{ printers_default }}'}"
        ),
        "packages": "{present: '{{ packages_present }}', absent: '{{ packages_absent }}'}",
    }
    for role, what in told.items():
        stage.playbook(role, TRACE % {"world": stage.world, "role": role, "told": what})
    stage.playbook("supported_device", "[]")
    shutil.copytree(PLAYBOOKS / "roles" / NAME, stage.library / "roles" / NAME)
    # The real one becomes root; here everybody is who runs the tests.
    text = (PLAYBOOKS / f"{NAME}.yml").read_text().replace("become: true", "become: false")
    (stage.library / f"{NAME}.yml").write_text(text)


def decide(stage: stages.Stage, document: dict[str, Any], layer: Layer = PROVINCE) -> int:
    with writing(stage.engine) as db:
        version = desired.get(db, layer).version
        kept = desired.put(db, layer, parse(document), version=version, by="amina", now=datetime.now(UTC))
        return kept.revision


def traces(stage: stages.Stage, role: str) -> dict[str, Any]:
    return {
        file.name.removeprefix(f"{role}-"): json.loads(file.read_text()) for file in stage.world.glob(f"{role}-*")
    }  # fmt: skip


def test_each_device_gets_what_is_wanted_of_it_and_no_text_is_a_template(stage: stages.Stage):
    set_up(stage)
    queue = {"uri": "ipp://10.0.0.5/ipp/print", "location": "{{ lookup('env', 'HOME') }}"}
    decide(stage, {"packages": {"htop": "present", "telnet": "absent"}, "agent": {"sample_period_s": 30}})
    decide(stage, {"packages": {"htop": None}}, Layer("device", device_id(2)))
    document = {"print_queues": {"q": queue, "old": "absent"}, "printing": {"default_queue": "q"}}
    revision = decide(stage, document, Layer("device", device_id(1)))
    decide(stage, {"packages": {"later": "present"}})

    run = stage.go(NAME, variables={"desired_configuration_revision": revision}, devices=stage.ids[:2])

    assert run.outcome == "ok", stage.log[-3000:]
    assert traces(stage, "packages") == {
        device_id(1): {"present": ["htop"], "absent": ["telnet"]}, device_id(2): {"present": [], "absent": ["telnet"]},
    }  # fmt: skip
    printers = traces(stage, "printers")
    assert list(printers) == [device_id(1)]
    assert printers[device_id(1)]["queues"] == [
        {"name": "q", "driver": "everywhere", "ppd": "", "info": "", "error_policy": "retry-job", "shared": False,
         "options": {}} | queue
    ]  # fmt: skip
    assert (printers[device_id(1)]["absent"], printers[device_id(1)]["default"]) == (["old"], "q")
    with reading(stage.engine) as db:
        assert {number: of.sample_period_s for number, of in configs.of_all(db).items()} == {1: 30.0, 2: 30.0}


def test_begun_elsewhere_it_refuses_before_anything_changes(stage: stages.Stage):
    set_up(stage)
    shutil.copy(stage.library / f"{NAME}.yml", stage.library / "elsewhere.yml")

    run = stage.go("elsewhere", variables={"desired_configuration_revision": 1}, devices=stage.ids[:1])

    assert run.outcome == "failed"
    assert "Begin it from the controller" in stage.hosts(run.id)[0].message
    assert traces(stage, "packages") == {}
