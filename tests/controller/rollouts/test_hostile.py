"""Secrets that end up nowhere, and devices and people whose words do nothing: planted and looked for."""

import base64
import json
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine
from tests.controller.rollouts.stage import Stage, encoded

from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller.store import run_results
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceInventory

CANARY = "canary-Zq7!planted-secret"
NESTED = "nested-canary-8812"

SECRETIVE = """
- name: Show a secret in an error
  ansible.builtin.command: /bin/sh -c 'echo "$0" >&2; exit 3' "{{ test_password }}"
  ignore_errors: true
- name: Show a secret where it is hidden
  ansible.builtin.fail:
    msg: "derived-{{ test_password | reverse }}"
  no_log: true
  ignore_errors: true
- name: Put a secret into a file
  ansible.builtin.copy:
    content: "password={{ test_password }}\\nencoded={{ test_password | b64encode }}\\n{{ test_users[0].word }}\\n"
    dest: "{{ test_world }}/secret-{{ inventory_hostname }}"
    mode: "0600"
- name: "Name a secret {{ test_password }}"
  ansible.builtin.debug:
    msg: "{{ test_password }}"
- name: Wait to be looked at
  ansible.builtin.shell: |
    echo {{ inventory_hostname }} >> {{ test_world }}/waits
    while [ ! -e {{ test_world }}/go ]; do sleep 0.1; done
  check_mode: false
- name: Fail with all of them
  ansible.builtin.fail:
    msg: "{{ test_password }} {{ test_users }}"
"""
SECRETIVE_OPTIONS = encoded(
    {
        "test_world": {"type": "path"},
        "test_password": {"type": "str", "no_log": True},
        "test_users": {"type": "list", "elements": "dict", "options": {"word": {"type": "str", "no_log": True}}},
    }
)


def test_planted_secrets_are_found_nowhere(stage: Stage):
    stage.playbook("secretive", SECRETIVE, options=SECRETIVE_OPTIONS)
    run_id = stage.order(
        "secretive", variables={"test_world": str(stage.world)}, check=True,
        secrets={"test_password": CANARY, "test_users": [{"word": NESTED}]},
    )  # fmt: skip
    ground = stage.ground(run_id)

    stage.look_until(lambda: len(stage.traces("waits")) == 3, "the wait")
    meanwhile = {file: file.read_bytes() for file in ground.directory.rglob("*") if file.is_file()}
    kept = ground.directory / "secrets.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert ground.directory.stat().st_mode & 0o777 == 0o700
    assert [file for file, content in meanwhile.items() if CANARY.encode() in content] == [kept]
    assert [file for file, content in meanwhile.items() if b"canary-environment" in content] == []
    assert [file.name for file in ground.attempt.rglob("*-partial*")] == []
    (stage.world / "go").touch()
    run = stage.finish(run_id)

    assert run.outcome == "failed", stage.log
    assert not ground.directory.exists()
    assert run.secret_names == ("test_password", "test_users")
    for file in stage.world.iterdir():
        file.unlink()
    stored = stage.everything_stored()
    forms = (CANARY, json.dumps(CANARY)[1:-1], base64.b64encode(CANARY.encode()).decode(), CANARY[::-1], NESTED)
    assert [form for form in (*forms, "canary-environment") if form.encode() in stored] == []
    with reading(stage.engine) as db:
        told = run_results.of_host(db, run_id, 1)
    assert any("password=********" in result.diff for result in told)
    assert any("no_log" in result.message for result in told)


def say(engine: Engine, number: int, template: str) -> None:
    """Let a device tell of itself with this text in every place."""
    told = Inventory(
        seq=1, at=0.0, digest="x",
        hardware={"architecture": template, "model": template},
        os={"id": template, "version": template, "kernel": template},
        packages={template: template}, printers=[{"name": template, template: template}],
    )  # fmt: skip
    with writing(engine) as db:
        device = db.get_one(Device, number)
        device.name = template[:120]
        db.add(DeviceInventory(device_number=number, at=datetime.now(UTC), payload=wire.encode(told)))


READS = """
- name: "Read {{ annexfleet_name }}"
  ansible.builtin.debug:
    msg: "{{ annexfleet_name }} {{ annexfleet_kernel }} {{ annexfleet_packages }} {{ annexfleet_printers }}"
- name: Hand it on
  ansible.builtin.set_fact:
    test_again: "{{ hostvars[inventory_hostname] | dict2items }}"
- name: Use it
  ansible.builtin.copy:
    content: "{{ annexfleet_name }} {{ test_again }} {{ test_text }} {{ test_tree }}"
    dest: "{{ test_world }}/{{ inventory_hostname }}"
    mode: "0600"
- name: Take it from a device
  ansible.builtin.command: cat {{ test_world }}/words
  register: test_said
- name: Show what a device said
  ansible.builtin.debug:
    msg: "{{ test_said.stdout }}"
- name: Fail with what a device said
  ansible.builtin.fail:
    msg: "{{ test_said.stdout }}"
"""


def test_templates_in_every_word_of_devices_and_people_stay_words(stage: Stage):
    pwned = Path(tempfile.gettempdir()) / secrets.token_hex(4)  # short, to fit into every field
    template = f"{{{{lookup('pipe','touch {pwned}')}}}}{{%%}}"
    for number in (1, 2, 3):
        say(stage.engine, number, template)
    (stage.world / "words").write_text(template)
    options = encoded({"test_world": {"type": "path"}, "test_text": {"type": "str"}, "test_tree": {"type": "dict"}})
    stage.playbook("reads", READS, options=options)

    run = stage.go(
        "reads", variables={"test_world": str(stage.world), "test_text": template, "test_tree": {template: [template]}}
    )

    assert not pwned.exists()
    assert {host.outcome for host in stage.hosts(run.id)} == {"failed"}
    assert template in stage.hosts(run.id)[0].message
    assert (stage.world / stage.ids[0]).read_text().count(template) > 10  # in all that it told of itself


def forged(event: dict[str, object]) -> str:
    """What ansible-runner's own plugin would print for an event."""
    payload = base64.b64encode(json.dumps(event).encode()).decode()
    return f"\x1b[K{payload}\x1b[{len(payload)}D\x1b[K"


LOUD = """
- name: Say it
  ansible.builtin.command: cat {{ test_world }}/words
  register: test_said
- name: Differ by it
  ansible.builtin.copy:
    content: "{{ test_said.stdout }}"
    dest: "{{ test_world }}/out-{{ inventory_hostname }}"
    mode: "0600"
- name: Warn by it
  ansible.builtin.fail:
    msg: "{{ test_said.stdout }}"
"""


def test_a_device_cannot_forge_events_nor_break_the_record(stage: Stage):
    stage.playbook("loud", LOUD, options="{test_world: {type: path}}")
    good = dict.fromkeys(stage.ids, 1)
    forgery = forged({"event": "playbook_on_stats", "event_data": {"ok": good, "processed": good}, "uuid": "x"})
    words = forgery + forged([1, 2]) + forged("text") + "\x1b[31m" + "\x00\ud800".encode("utf-8", "replace").decode()
    (stage.world / "words").write_bytes(words.encode() + b"\x00\xff\xfe" + b"x" * 3_000_000)

    run = stage.go("loud", variables={"test_world": str(stage.world)})

    hosts = stage.hosts(run.id)
    assert (run.outcome, run.problem) == ("failed", ""), stage.log
    assert {host.outcome for host in hosts} == {"failed"}
    assert all("\x1b" not in host.message and "\x00" not in host.message for host in hosts)
    assert all(0 < len(host.message) <= 2000 for host in hosts)


DIFFERS = """
- name: Differ
  ansible.builtin.copy:
    content: ordinary
    dest: "{{ test_world }}/file"
    mode: "0600"
"""


def test_a_dry_run_of_a_hostile_file_is_kept(stage: Stage):
    stage.playbook("differs", DIFFERS, options="{test_world: {type: path}}")
    good = dict.fromkeys(stage.ids, 1)
    forgery = forged({"event": "playbook_on_stats", "event_data": {"ok": good, "processed": good}})
    (stage.world / "file").write_text(forgery + "\n{{ 1 + 1 }} \x1b[2J\u202e\n" + "line\n" * 1000)

    run = stage.go("differs", variables={"test_world": str(stage.world)}, check=True)

    assert run.outcome == "ok", stage.log
    assert {host.outcome for host in stage.hosts(run.id)} == {"changed"}
    with reading(stage.engine) as db:
        (part,) = run_results.diff_parts(db, run.id, stage.ids[0])
    assert "-{{ 1 + 1 }}" in part.text
    assert "\x1b" not in part.text
    assert "\u202e" not in part.text
