"""Ten tasks on twenty devices over the fleet's own link, beside SSH and mitogen in the same run.

    pytest -s -m bench tests/bench/test_ansible_link.py        (as root: it makes devices of namespaces)

All devices share this machine's processors, so wall times exaggerate what devices cost in a real fleet: read ratios.
SSH has pipelining and shared connections that are open already; mitogen runs over the same SSH.  Every way does the
same playbook (tests/playbooks/ten) on the same devices, in turns, after each has done it once.  The link is played with
what comes with it, as in a run: playbooks/ansible.cfg, the callback `annexfleet_ready`, and payloads kept from the run
before.  The other two have Ansible's own settings, with the same `internal_poll_interval`.
"""

import configparser
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from tests.playbooks.devices.agents import DeviceAgent
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet, rights
from tests.playbooks.playing import Played, play

_ROOT = Path(__file__).resolve().parents[2]
_TEN = _ROOT / "tests" / "playbooks" / "ten" / "ten.yml"
_PLAYBOOKS = _ROOT / "playbooks"
_TALLY = _ROOT / "tests" / "playbooks" / "callbacks"
DEVICES = int(os.environ.get("ANNEXFLEET_BENCH_DEVICES", "20"))
ROUNDS = int(os.environ.get("ANNEXFLEET_BENCH_ROUNDS", "3"))
TASKS = 10

TIMES_FASTER_THAN_SSH = 2.5
MOST_KIB_TO_A_DEVICE = 40.0
MOST_CONTROLLER_S_A_TASK = 0.06
MOST_RESIDENT_MIB = 28.0

pytestmark = [pytest.mark.bench, pytest.mark.skipif(rights() is not None, reason=str(rights()))]


class Cost(NamedTuple):
    """What one run of the playbook took."""

    wall_s: float
    ansible_s: float
    """Processor time of ansible-playbook and its children."""
    controller_s: float
    """Processor time of the controller's processes and the broker meanwhile, which also hear twenty agents' reports."""
    devices_s: float
    kib_to_a_device: float

    def line(self, name: str) -> str:
        return (
            f"{name:24} {self.wall_s:8.1f} {self.ansible_s:10.2f} {self.controller_s:12.2f} {self.devices_s:10.1f} "
            f"{self.kib_to_a_device:12.1f}"
        )


_HEAD = f"{'':24} {'wall s':>8} {'ansible s':>10} {'controller s':>12} {'devices s':>10} {'KiB to each':>12}"


class Stand:
    """The fleet, and the ways to play on it."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.fleet = fleet
        self.directory = directory
        self.devices: list[Device] = fleet.start(DEVICES)
        self.controller: FleetController = fleet.controller()
        DeviceAgent.sample_period_s, DeviceAgent.beat_period_s = 30, 300  # as in a fleet
        fleet.start_agents(self.controller)
        self.controller.wait_until_online([device.agent.device_id for device in self.devices])
        self.link_inventory = directory / "link.json"
        hosts = {
            device.agent.device_id: {
                "ansible_connection": "annexfleet",
                "ansible_python_interpreter": "/usr/bin/python3",
                "annexfleet_device_id": device.agent.device_id,
            }
            for device in self.devices
        }
        self.link_inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
        self._played = 0

    def over_ssh(self) -> Cost:
        return self._measured(self.fleet.inventory(), self._same_interval())

    def over_mitogen(self) -> Cost:
        found = subprocess.run(
            [sys.executable, "-c", "import ansible_mitogen, os; print(os.path.dirname(ansible_mitogen.__file__))"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        plugins = f"{found.stdout.strip()}/plugins/strategy"
        settings = {"ANSIBLE_STRATEGY_PLUGINS": plugins, "ANSIBLE_STRATEGY": "mitogen_linear"}
        return self._measured(self.fleet.inventory(), {**settings, **self._same_interval()})

    def over_the_link(self) -> Cost:
        return self._measured(
            self.link_inventory,
            {
                "ANSIBLE_CONFIG": str(_PLAYBOOKS / "ansible.cfg"),
                "ANSIBLE_CALLBACK_PLUGINS": f"{_TALLY}:{_PLAYBOOKS / 'plugins' / 'callback'}",
                "ANNEXFLEET_PAYLOADS": str(self.controller.home.path / "payloads"),
                "ANNEXFLEET_RELAY": str(self.controller.home.path / "relay" / "console.sock"),
            },
        )

    def _same_interval(self) -> dict[str, str]:
        """For the ways that do not use playbooks/ansible.cfg: it can be set in such a file alone."""
        ours = configparser.ConfigParser()
        ours.read(_PLAYBOOKS / "ansible.cfg")
        settings = self.directory / "interval.cfg"
        settings.write_text(f"[defaults]\ninternal_poll_interval = {ours['defaults']['internal_poll_interval']}\n")
        return {"ANSIBLE_CONFIG": str(settings)}

    def _measured(self, inventory: Path, environment: Mapping[str, str]) -> Cost:
        self._played += 1
        directory = self.directory / str(self._played)
        directory.mkdir()
        children, controller = _children_s(), self._controller_s()
        devices = [device.cpu_s() for device in self.devices]
        received = [device.traffic().received_bytes for device in self.devices]
        played: Played = play(_TEN, inventory, directory, environment=environment, timeout_s=900)
        assert played.exit_code == 0, played.trouble
        return Cost(
            played.took_s,
            _children_s() - children,
            self._controller_s() - controller,
            sum(device.cpu_s() - before for device, before in zip(self.devices, devices, strict=True)),
            statistics.mean(
                (device.traffic().received_bytes - before) / 1024
                for device, before in zip(self.devices, received, strict=True)
            ),
        )

    def _controller_s(self) -> float:
        return sum(sum(part.cpu_times()[:2]) for part in self.controller.serve.parts)

    def resident_mib(self) -> float:
        """The greatest of the resident agents."""
        return max(psutil.Process(device.agent.pid).memory_info().rss for device in self.devices) / 2**20


def _children_s() -> float:
    """Processor time of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet(tmp_path_factory.mktemp("devices")))
        yield Stand(fleet, tmp_path_factory.mktemp("ways"))


def test_ten_tasks_on_twenty_devices(stand: Stand) -> None:
    before_mib = stand.resident_mib()
    print(f"\n{DEVICES} devices, {TASKS} tasks, {ROUNDS} rounds in turns, {os.cpu_count()} processors\n{_HEAD}")
    stand.over_ssh()
    stand.over_mitogen()
    print(stand.over_the_link().line("link, first time"))
    rounds = [(stand.over_ssh(), stand.over_mitogen(), stand.over_the_link()) for _ in range(ROUNDS)]
    for costs in rounds:
        for name, cost in zip(("ssh", "mitogen over ssh", "link"), costs, strict=True):
            print(cost.line(name))
    ssh = statistics.median(ssh.wall_s / link.wall_s for ssh, _, link in rounds)
    mitogen = statistics.median(mitogen.wall_s / link.wall_s for _, mitogen, link in rounds)
    a_task_s = statistics.median((link.ansible_s + link.controller_s) / (DEVICES * TASKS) for _, _, link in rounds)
    ssh_task_s = statistics.median(ssh.ansible_s / (DEVICES * TASKS) for ssh, _, _ in rounds)
    kib = min(link.kib_to_a_device for _, _, link in rounds)
    print(f"link: {ssh:.2f} times as fast as ssh, {mitogen:.2f} times as fast as mitogen (medians of {ROUNDS})")
    print(
        f"controller: {a_task_s:.3f} s a host and task, the broker included (ansible over ssh alone: {ssh_task_s:.3f})"
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and any(device.pids("annexfleet_agent.runner") for device in stand.devices):
        time.sleep(1)
    left = sum(len(device.pids("annexfleet_agent.runner")) for device in stand.devices)
    after_mib = stand.resident_mib()
    print(f"resident agent: at most {before_mib:.1f} MiB before, {after_mib:.1f} after; runners left: {left}")
    assert left == 0
    assert ssh >= TIMES_FASTER_THAN_SSH
    assert mitogen >= 1.0
    assert kib <= MOST_KIB_TO_A_DEVICE
    assert a_task_s <= MOST_CONTROLLER_S_A_TASK
    assert after_mib <= max(MOST_RESIDENT_MIB, before_mib + 0.5)
