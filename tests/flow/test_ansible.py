"""Real Ansible, through the connection plugin and a relay, to a real agent and its runner; both are on this machine."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flow.broker import Broker
from tests.flow.relaying import Bed, RealDevice, relay_bed
from tests.house.tree import ROOT

PLUGINS = ROOT / "playbooks" / "plugins" / "connection"
WITHIN_S = 120


class Fleet:
    """One real device, a run with it, and Ansible beside them."""

    def __init__(self, bed: Bed, path: Path, *, is_console: bool = False) -> None:
        self.bed = bed
        self.path = path
        self.device: RealDevice = bed.real_device()
        self.run_id = None if is_console else bed.start_run(self.device)
        if is_console:
            bed.start_relay(None)
        self.inventory = path / "inventory.json"
        host = {
            "ansible_connection": "annexfleet",
            "annexfleet_device_id": self.device.device_id,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        self.inventory.write_text(json.dumps({"all": {"hosts": {self.device.device_id: host}}}))

    def environment(self) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "ANNEXFLEET_"))},
            "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS), "ANSIBLE_HOME": str(self.path / "ansible"),
            "ANNEXFLEET_RELAY": str(self.bed.path), "ANSIBLE_STDOUT_CALLBACK": "told", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/flow/callbacks"),
            "ANSIBLE_GATHERING": "explicit", "ANSIBLE_DEPRECATION_WARNINGS": "0", "ANSIBLE_FORKS": "2",
        }  # fmt: skip

    def start(self, tasks: str, *arguments: str, variables: str = "") -> "subprocess.Popen[str]":
        book = self.path / "book.yml"
        head = "- hosts: all\n  gather_facts: false\n" + variables + "  tasks:\n"
        book.write_text(head + "".join(f"    {line}\n" for line in tasks.strip().splitlines()))
        return subprocess.Popen(
            ["ansible-playbook", "-i", str(self.inventory), str(book), *arguments],
            env=self.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def play(self, tasks: str, *arguments: str, variables: str = "") -> dict[str, dict[str, object]]:
        """The result of each task by its name; fails if the playbook's output cannot be read."""
        process = self.start(tasks, *arguments, variables=variables)
        output, _ = process.communicate(timeout=WITHIN_S)
        lines = [json.loads(line[5:]) for line in output.splitlines() if line.startswith("TOLD ")]
        assert lines, output
        return {line["task"]: line["result"] for line in lines}


@pytest.fixture
def bed(broker: Broker) -> Iterator[Bed]:
    with relay_bed(broker) as made:
        yield made


@pytest.fixture
def fleet(bed: Bed, tmp_path: Path) -> Fleet:
    return Fleet(bed, tmp_path)


def test_a_playbook_of_every_kind_of_task(fleet: Fleet, tmp_path: Path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(20 * 1024 * 1024))
    there = tmp_path / "there"
    there.mkdir()

    results = fleet.play(f"""
- {{name: ping, ansible.builtin.ping: {{}}}}
- {{name: command, ansible.builtin.command: echo héllo}}
- {{name: shell, ansible.builtin.shell: "cat; echo err >&2; exit 3", args: {{stdin: "in put"}}, ignore_errors: true}}
- {{name: stat, ansible.builtin.stat: {{path: /etc/passwd}}}}
- {{name: big, ansible.builtin.copy: {{src: {big}, dest: {there}/big}}}}
- {{name: again, ansible.builtin.copy: {{src: {big}, dest: {there}/big}}}}
- {{name: back, ansible.builtin.fetch: {{src: {there}/big, dest: {tmp_path}/back, flat: true}}}}
- {{name: text, ansible.builtin.copy: {{content: "مرحبا", dest: {there}/text}}}}
- {{name: become, ansible.builtin.command: id -un, become: true}}
- {{name: raw, ansible.builtin.raw: "echo $((1+1))"}}
- {{name: environment, ansible.builtin.shell: echo $HUE, environment: {{HUE: "blue 'n green"}}}}
- {{name: async, ansible.builtin.command: sleep 1, async: 30, poll: 1}}
- {{name: reset, ansible.builtin.meta: reset_connection}}
- {{name: wait, ansible.builtin.wait_for_connection: {{timeout: 20}}}}
- {{name: long, ansible.builtin.command: "head -c 3000000 /dev/zero"}}
""")

    assert results["ping"]["ping"] == "pong"
    assert results["command"]["stdout"] == "héllo"
    assert (results["shell"]["stdout"], results["shell"]["stderr"], results["shell"]["rc"]) == ("in put", "err", 3)
    assert results["stat"]["stat"]["exists"]  # type: ignore[index]
    assert results["big"]["changed"], results["big"]
    assert not results["again"]["changed"]
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    assert (there / "text").read_text(encoding="utf-8") == "مرحبا"
    assert results["become"]["stdout"] == "root"
    assert results["raw"]["stdout"] == "2\n"
    assert results["environment"]["stdout"] == "blue 'n green"
    assert results["async"]["rc"] == 0
    assert not results["wait"].get("failed")
    assert len(str(results["long"]["stdout"])) == 3_000_000
    assert all(not result.get("unreachable") for result in results.values())
