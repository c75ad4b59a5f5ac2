"""Runs that can be held at each of their phases, on real devices, as the API tells of them."""

import contextlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from tests.house.tree import ROOT
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import ids

from annexfleet_controller.rollouts import processes
from annexfleet_controller.rollouts.ground import Ground

PLACE = "/var/lib/walk"
"""Where a run leaves its traces on a device."""
TEXT = "{{ 7 * 7 }}"
"""Data, which must stay what it is."""
WITHIN_S = 150.0
SUCCESSES = ("ok", "changed")

_TASKS = """
- name: Make the place
  ansible.builtin.file: {path: "{{ walk_place }}", state: directory, mode: "0755"}
- name: Leave a trace
  ansible.builtin.shell: echo {{ walk_token }} >> {{ walk_place }}/begun
- name: Put a file
  ansible.builtin.copy:
    content: "{{ walk_text }} {{ walk_word }}\\n"
    dest: "{{ walk_place }}/file"
    mode: "0600"
- name: Use the word in every way
  ansible.builtin.shell: 'test "$WORD" = {{ walk_word | quote }} && echo "{{ walk_word }}" >&2'
  environment: {WORD: "{{ walk_word }}"}
- name: Send a large file
  ansible.builtin.copy: {src: "{{ walk_source }}", dest: "{{ walk_place }}/large", mode: "0600"}
  when: walk_source != ""
- name: Wait on the controller
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.pipe', walk_wait) }}"
  vars: {walk_wait: "touch {{ walk_gate }}.reached; while [ ! -e {{ walk_gate }} ]; do sleep 0.1; done"}
  when: walk_gate != ""
- name: Wait on the device
  ansible.builtin.shell: |
    while [ ! -e {{ walk_place }}/go ]; do sleep 0.1; done # {{ walk_token }}
    head -c {{ walk_output }} /dev/zero | tr '\\0' x
  register: walk_waited
- name: All output is there
  ansible.builtin.assert: {that: (walk_waited.stdout | length) == walk_output or ansible_check_mode, quiet: true}
- name: End
  ansible.builtin.shell: echo {{ walk_token }} >> {{ walk_place }}/ended
"""
_SPEC = """
argument_specs: {main: {short_description: Walk, options: {walk_text: {type: str}, walk_place: {type: path},
  walk_token: {type: str}, walk_source: {type: str, default: ""}, walk_gate: {type: str, default: ""},
  walk_output: {type: int, default: 10}, walk_word: {type: str, no_log: true}}}}
"""


def library(path: Path) -> Path:
    """A library of playbooks with the one walk, and the connection plugin of ours."""
    role = path / "roles" / "walk"
    defaults = 'walk_source: ""\nwalk_gate: ""\nwalk_output: 10\n'
    parts = (("tasks/main.yml", _TASKS), ("meta/argument_specs.yml", _SPEC), ("defaults/main.yml", defaults))
    for part, text in parts:
        (role / part).parent.mkdir(parents=True)
        (role / part).write_text(text)
    (path / "walk.yml").write_text("- hosts: all\n  gather_facts: false\n  roles: [walk]\n")
    plugins = path / "plugins" / "connection"
    plugins.mkdir(parents=True)
    for file in (ROOT / "playbooks" / "plugins" / "connection").glob("*.py"):
        (plugins / file.name).write_bytes(file.read_bytes())
    return path


class Walks:
    """A controller whose library has the walk, and devices that walk."""

    def __init__(self, fleet: Fleet, path: Path, *, count: int, settings: str = "", **controller: object) -> None:
        """`settings`: more of the devices' agent.toml; the others: of controller.toml."""
        self.path = path
        self.devices: list[Device] = fleet.start(count)
        self.controller: FleetController = fleet.controller(playbooks_dir=str(library(path / "library")), **controller)
        fleet.start_agents(self.controller, self.devices, settings)
        self.ids = ids(self.devices)

    def device(self, device_id: str) -> Device:
        return self.devices[self.ids.index(device_id)]

    # -- runs

    def order(self, devices: Sequence[Device] = (), *, word: str = "", token: str = "", **over: Any) -> int:
        """Ask for a walk on these devices (all); its number.  `over`: more of the request's body."""
        variables = {
            "walk_text": TEXT, "walk_place": PLACE, "walk_token": token or secrets.token_hex(8),
            **over.pop("variables", {}),
        }  # fmt: skip
        body = {
            "playbook": "walk", "devices": ids(devices or self.devices), "variables": variables,
            "secrets": {"walk_word": word or secrets.token_hex(8)}, **over,
        }  # fmt: skip
        return int(self.controller.ask("runs", role="technician", method="POST", body=body)["id"])

    def run(self, run_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.controller.ask(f"runs/{run_id}", role="technician")
        return found

    def hosts(self, run_id: int) -> dict[str, dict[str, Any]]:
        """What became of each device, by its id."""
        page = self.controller.ask(f"runs/{run_id}/hosts", role="technician")
        return {host["device"]: host for host in page["items"]}

    def results(self, run_id: int, device: Device) -> dict[str, str]:
        """How each task ended on one device."""
        (device_id,) = ids([device])
        found = self.controller.ask(f"runs/{run_id}/hosts/{device_id}", role="technician")["results"]
        return {result["task"].removeprefix("walk : "): result["state"] for result in found}

    def cancel(self, run_id: int) -> None:
        self.controller.ask(f"runs/{run_id}/cancel", role="technician", method="POST")

    def finish(self, run_id: int, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The run when it has ended."""
        self.controller.wait_until(lambda: self.run(run_id)["state"] == "ended", f"the end of run {run_id}", within_s)
        return self.run(run_id)

    def outcomes(self, run_id: int) -> dict[str, str]:
        return {device_id: host["outcome"] for device_id, host in self.hosts(run_id).items()}

    def told(self, run_id: int) -> str:
        """For the message of an assertion."""
        hosts = json.dumps(self.hosts(run_id), indent=1)
        play = self.controller.home.path / "logs" / "play.log"
        return f"{self.run(run_id)}\n{hosts}\n{play.read_text()[-3000:] if play.exists() else ''}"

    # -- holding and letting go

    def hold(self, *devices: Device) -> None:
        """Walks wait on these devices (all) from now on."""
        for device in devices or self.devices:
            device.run(["rm", "-f", f"{PLACE}/go"])

    def let_go(self, *devices: Device) -> None:
        for device in devices or self.devices:
            device.write(f"{PLACE}/go", "")

    def waiting(self, device: Device, token: str = "") -> list[int]:
        """The shells of walks that wait on this device."""
        return [pid for pid in device.pids(f"{PLACE}/go") if not token or pid in device.pids(token)]

    def wait_on(self, device: Device) -> None:
        self.controller.wait_until(lambda: bool(self.waiting(device)), f"the wait on {device.name}")

    def trace(self, device: Device, name: str, token: str) -> int:
        """How often a walk with this token came by: `begun` or `ended`."""
        path = f"{PLACE}/{name}"
        return device.read(path).split().count(token) if device.exists(path) else 0

    # -- what is left

    def process(self, run_id: int, word: str) -> psutil.Process | None:
        """A run's process: `play` or `relay`."""
        argv = {"play": ["play", str(run_id)], "relay": ["relay", "--run", str(run_id)]}[word]
        home = str(self.controller.home.path)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if home in words and any(words[at : at + len(argv)] == argv for at in range(len(words))):
                    return process
        return None

    def wait_until_nothing_is_left(self, run_id: int, *devices: Device) -> None:
        """Of a run: neither processes nor its directory, nor shells that wait on devices."""
        ground = Ground(self.controller.home, run_id)
        self.controller.wait_until(
            lambda: not processes.marked(ground.directory) and not ground.directory.exists(),
            f"the end of all of run {run_id} on the controller",
        )
        for device in devices or self.devices:
            device.wait_until(lambda device=device: not self.waiting(device), "the end of all that waits")  # type: ignore[misc]
