"""Real Ansible, through the connection plugin and a relay, to a real agent and its runner; both are on this machine."""

import getpass
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select
from tests.flow.broker import Broker
from tests.flow.relaying import Bed, RealDevice, relay_bed
from tests.house.tree import ROOT

from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.audit import AuditRow
from annexfleet_controller.store.tables.runs import RunClaimRow, RunRow

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


def sleeping(device: RealDevice) -> list[psutil.Process]:
    """What the runner of this device has running for us."""
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if process.info["cmdline"] == ["sleep", marked(device)]]


def marked(device: RealDevice) -> str:
    """A time to sleep that nobody else sleeps."""
    return f"600.{int.from_bytes(device.device_id.encode()) % 10**9}"


def run_states(bed: Bed) -> list[tuple[str, str, str, str]]:
    with reading(bed.engine) as db:
        return [(run.kind, run.state, run.playbook, run.author) for run in db.scalars(select(RunRow))]


def test_a_playbook_that_is_killed_leaves_nothing_running_on_the_device(fleet: Fleet, bed: Bed):
    playing = fleet.start(f"- {{name: sleep, ansible.builtin.command: sleep {marked(fleet.device)}}}")
    bed.wait_until(lambda: sleeping(fleet.device), "it sleeps there", within_s=60)

    playing.kill()  # its workers are sessions of their own, and live on
    playing.wait()

    bed.wait_until(lambda: not sleeping(fleet.device), "nothing sleeps there")
    playing.stdout.close()  # type: ignore[union-attr]


def test_a_run_that_is_cancelled_leaves_nothing_running_on_the_device(fleet: Fleet, bed: Bed):
    playing = fleet.start(f"- {{name: sleep, ansible.builtin.command: sleep {marked(fleet.device)}}}")
    bed.wait_until(lambda: sleeping(fleet.device), "it sleeps there", within_s=60)

    with writing(bed.engine) as db:
        run = db.get(RunRow, fleet.run_id)
        assert run is not None
        run.cancelled_at = run.created_at

    output, _ = playing.communicate(timeout=WITHIN_S)
    assert "the run was cancelled" in output
    assert '"unreachable": true' in output
    assert not sleeping(fleet.device)


def test_a_device_that_is_offline_is_unreachable_at_once(fleet: Fleet, bed: Bed):
    bed.stop_agents()
    bed.wait_until(lambda: not bed.is_connected(fleet.device), "it is gone")

    results = fleet.play("- {name: ping, ansible.builtin.ping: {}}")

    assert results["ping"]["unreachable"]
    assert "the device is offline" in str(results["ping"]["msg"])


def test_a_become_password_is_refused_in_words(fleet: Fleet):
    results = fleet.play(
        "- {name: whoami, ansible.builtin.command: whoami, become: true}",
        variables="  vars: {ansible_become_password: geheim}\n",
    )

    assert "become passwords are not supported" in str(results["whoami"]["msg"])


def test_a_socket_on_which_nobody_listens_is_told_with_what_to_do(fleet: Fleet, bed: Bed):
    bed.stop_relay()

    results = fleet.play(
        "- {name: ping, ansible.builtin.ping: {}}", variables="  vars: {annexfleet_connection_timeout: 1}\n"
    )

    assert results["ping"]["unreachable"]
    assert "annexfleet serve" in str(results["ping"]["msg"])


def test_at_the_console_each_process_is_a_run_that_ends_with_it(bed: Bed, tmp_path: Path):
    fleet = Fleet(bed, tmp_path, is_console=True)

    results = fleet.play("""
- {name: ping, ansible.builtin.ping: {}}
- {name: reset, ansible.builtin.meta: reset_connection}
- {name: again, ansible.builtin.command: whoami}
""")

    assert results["again"]["rc"] == 0
    bed.wait_until(lambda: run_states(bed)[0][1] == "ended", "its run ends")
    assert run_states(bed) == [("console", "ended", "book.yml", getpass.getuser())]
    with reading(bed.engine) as db:
        assert [entry.act for entry in db.scalars(select(AuditRow))] == ["run.console"]
        assert db.scalars(select(RunClaimRow)).all() == []


def test_a_second_run_needs_few_bytes(fleet: Fleet, bed: Bed):
    tasks = "\n".join(f"- {{name: t{n}, ansible.builtin.stat: {{path: /etc/{n}}}}}" for n in range(10))
    assert len(fleet.play(tasks)) == 10
    bed.stop_relay()
    first = bed.figures()["to_devices_bytes"]

    bed.start_relay(fleet.run_id)
    assert len(fleet.play(tasks)) == 10
    bed.stop_relay()

    assert bed.figures()["to_devices_bytes"] < 40 * 1024 < first
