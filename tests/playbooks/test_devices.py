"""The devices that playbooks are tried on are devices: apart from each other, and gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from sqlalchemy import select
from tests.house.tree import ROOT
from tests.playbooks.devices import fleet as fleets
from tests.playbooks.devices import packages
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet, rights
from tests.playbooks.playing import ansible_environment

from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.devices import Device as DeviceRow
from annexfleet_controller.store.tables.readings import DeviceState


@pytest.fixture(scope="module")
def two(fleet: Fleet) -> tuple[Device, Device]:
    one, other = fleet.start(2)
    return one, other


@pytest.fixture(scope="module")
def controller(fleet: Fleet) -> FleetController:
    return fleet.controller()


def _bridges() -> str:
    return subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout


def _wait_until(happened: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)  # real processes are waited for


def test_two_devices_are_two(two: tuple[Device, Device]):
    one, other = two
    one.write("/etc/annexfleet-test/only-here", "word\n")

    for differs in ("/etc/hostname", "/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        assert one.read(differs) != other.read(differs)
    assert one.run(["hostname"]).stdout.strip() == one.name
    assert one.read("/etc/annexfleet-test/only-here") == "word\n"
    assert not other.exists("/etc/annexfleet-test/only-here")
    assert not Path("/etc/annexfleet-test/only-here").exists()


def test_a_device_sees_nobody_elses_processes_and_no_profile_of_the_hosts(two: tuple[Device, Device]):
    one, _ = two

    seen = one.run(["ps", "axo", "args="]).stdout

    assert 2 <= len(seen.splitlines()) < 10
    assert one.run(["sh", "-c", "ls -A ~"]).stdout.split() in ([".ssh"], [".pyenv", ".ssh"])


def test_a_package_comes_to_one_device_alone_and_in_the_wanted_version(two: tuple[Device, Device]):
    one, other = two
    one.run(["apt-get", "update"])

    one.run(["apt-get", "install", "-y", f"{packages.DEMO}=1.0"])
    assert one.read(packages.FILE) == "1.0\n"
    one.run(["apt-get", "upgrade", "-y"])

    assert one.read(packages.FILE) == "2.0\n"
    assert not other.exists(packages.FILE)


def test_a_pulled_cable_is_silence_until_it_is_plugged_in(two: tuple[Device, Device]):
    _, other = two

    before = other.traffic()
    other.link(up=False)
    carrier = other.read("/sys/class/net/eth0/carrier")
    with pytest.raises(OSError):  # noqa: PT011  # a deadline or no route, as the kernel likes
        socket.create_connection((other.address, 22), timeout=0.5).close()
    other.link(up=True)

    assert carrier == "0\n"
    other.wait_for_ssh()
    assert other.traffic().sent_bytes > before.sent_bytes
    assert other.traffic().received_bytes > before.received_bytes


def test_a_reboot_keeps_files_and_changes_the_boot_id(two: tuple[Device, Device]):
    one, _ = two
    one.write("/var/lib/kept", "kept\n")
    one.write("/tmp/lost", "lost\n")
    before, boots, machine = one.boot_id, one.boots, one.read("/etc/machine-id")

    one.reboot()

    assert one.boots == boots + 1
    assert one.boot_id != before
    assert one.read("/etc/machine-id") == machine
    assert one.read("/var/lib/kept") == "kept\n"
    assert not one.exists("/tmp/lost")


def test_a_reboot_asked_for_inside_is_one_and_power_off_stays_off(two: tuple[Device, Device]):
    _, other = two
    before, boots = other.boot_id, other.boots

    other.run(["shutdown", "-r", "now"], check=False)
    other.wait_until(lambda: other.boots == boots + 1, "the reboot")
    other.wait_for_ssh()
    after = other.boot_id
    other.run(["poweroff"], check=False)
    other.wait_until(lambda: other.pid == 0, "the end")

    assert after != before
    assert other.processes() == []
    other.power_on()


def test_a_program_that_takes_too_long_is_ended_inside(two: tuple[Device, Device]):
    one, _ = two

    with pytest.raises(subprocess.TimeoutExpired):
        one.run(["sleep", "1234"], timeout_s=0.5)

    assert one.pids("sleep 1234") == []


@pytest.mark.trial
def test_the_real_agent_says_hello_and_comes_back_after_a_reboot(
    fleet: Fleet, two: tuple[Device, Device], controller: FleetController
):
    one, _ = two

    fleet.start_agents(controller, [one])
    agent = one.agent
    assert agent is not None
    assert _connected(controller, agent.device_id)
    assert f"connected device={agent.device_id}" in agent.log
    agent.kill()
    assert agent.pid == 0
    one.reboot()

    one.wait_until(lambda: agent.log.count("connected device=") == 2, "the return of the agent")
    (listed,) = controller.devices()
    assert (listed["id"], listed["name"]) == (agent.device_id, one.name)


def _connected(controller: FleetController, device_id: str) -> bool:
    with reading(controller.engine) as db:
        mine = select(DeviceState.connected).join(DeviceRow, DeviceRow.number == DeviceState.device_number)
        return bool(db.scalar(mine.where(DeviceRow.id == device_id)))


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert "needs root" in str(rights.__wrapped__())


@pytest.mark.skipif(rights() is not None, reason=str(rights()))
def test_a_root_without_its_powers_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleets, "_HOLDER", ["setpriv", "--bounding-set", "-sys_admin", *fleets._HOLDER])

    assert "CAP_SYS_ADMIN" in str(rights.__wrapped__())
    assert "not permitted" in str(rights.__wrapped__())


def test_ssh_and_ansible_reach_two_devices(fleet: Fleet, two: tuple[Device, Device], tmp_path: Path):
    one, other = two

    said = subprocess.run(fleet.access.argv(one, "hostname"), capture_output=True, text=True, check=True)
    pinged = subprocess.run(
        ["ansible", "-i", fleet.inventory(two), "all", "-m", "ansible.builtin.ping"],
        capture_output=True, text=True, check=False, env=ansible_environment(tmp_path),
    )  # fmt: skip

    assert said.stdout == f"{one.name}\n"
    assert pinged.returncode == 0, pinged.stdout + pinged.stderr
    assert all(f"{device.name} | SUCCESS" in pinged.stdout for device in (one, other))


class _Failed(Exception):
    pass


class _Seen:
    processes: list[psutil.Process]
    holder: int
    bridge: str


def _start_and_fail(directory: Path, seen: _Seen) -> NoReturn:
    with Fleet(directory) as fleet:
        devices = fleet.start(2)
        seen.processes = [process for device in devices for process in device.processes()]
        subprocess.run(fleet.access.argv(devices[0], "true"), check=True)  # its shared connection would stay a minute
        seen.bridge, seen.holder = fleet.bridge, fleet.holder_pid
        assert seen.bridge in _bridges()
        raise _Failed


@pytest.mark.skipif(rights() is not None, reason=str(rights()))
def test_nothing_is_left_of_a_fleet_whose_test_failed(tmp_path: Path):
    seen = _Seen()

    with pytest.raises(_Failed):
        _start_and_fail(tmp_path, seen)

    assert len(seen.processes) >= 4
    assert not any(process.is_running() for process in seen.processes)
    assert not psutil.pid_exists(seen.holder)
    assert seen.bridge not in _bridges()
    assert not [
        line for line in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(line.info["cmdline"] or [])
    ]
    assert "disks" not in Path("/proc/self/mounts").read_text()


@pytest.mark.trial
@pytest.mark.skipif(rights() is not None, reason=str(rights()))
def test_twenty_devices_are_there_within_seconds(tmp_path: Path):
    with Fleet(tmp_path) as fleet:
        began = time.monotonic()
        devices = fleet.start(20)
        took_s = time.monotonic() - began

        assert len({device.address for device in devices}) == len({device.boot_id for device in devices}) == 20
    assert took_s < 15  # 0.7 s on two idle cores


@pytest.mark.trial
@pytest.mark.skipif(rights() is not None, reason=str(rights()))
def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path):
    script = textwrap.dedent("""\
        import subprocess, sys
        from pathlib import Path
        from tests.playbooks.devices.fleet import Fleet
        with Fleet(Path(sys.argv[1])) as fleet:
            (device,) = fleet.start(1)
            subprocess.run(fleet.access.argv(device, "true"), check=True)
            print(fleet.bridge, fleet.holder_pid, device.pid, fleet.access.controls, flush=True)
            sys.stdin.read()
        """)
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    ) as killed:  # fmt: skip
        assert killed.stdout is not None
        bridge, holder, first, controls = killed.stdout.readline().split()
        assert bridge in _bridges()

        killed.send_signal(signal.SIGKILL)

        _wait_until(lambda: not psutil.pid_exists(int(holder)), "the end of the holder")
    assert not psutil.pid_exists(int(first))
    assert bridge not in _bridges()
    assert not Path(controls).exists()
    assert not [process for process in psutil.process_iter(["cmdline"]) if controls in str(process.info["cmdline"])]


@pytest.mark.skipif(rights() is not None, reason=str(rights()))
def test_a_killed_holder_takes_its_devices_along_and_its_bridge_is_swept_away(tmp_path: Path):
    with Fleet(tmp_path) as fleet:
        (device,) = fleet.start(1)
        first, bridge = device.pid, fleet.bridge

        os.kill(fleet.holder_pid, signal.SIGKILL)

        _wait_until(lambda: not psutil.pid_exists(first), "the end of the device")
        with pytest.raises(RuntimeError, match="has ended"):
            fleet.start(1)
    (tmp_path / "next").mkdir()
    with Fleet(tmp_path / "next"):
        assert bridge not in _bridges()
