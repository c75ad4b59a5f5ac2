"""Plain `ansible-playbook` at the controller's console, over the link that the devices' agents hold."""

import json
from pathlib import Path

import psutil
import pytest
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import environment, inventory
from tests.playbooks.playing import HERE, play

MOST_RSS_BYTES = 28 * 1024 * 1024
RUNNER = "-m annexfleet_agent.runner"
MANY = 20


@pytest.fixture(scope="module")
def controller(fleet: Fleet) -> FleetController:
    return fleet.controller()


@pytest.fixture(scope="module")
def device(fleet: Fleet, controller: FleetController) -> Device:
    (one,) = fleet.start(1)
    fleet.start_agents(controller, [one], "[runner]\nidle_s = 3\n")
    return one


def test_both_people_have_their_rights_and_no_more(controller: FleetController):
    assert controller.ask("devices", role="technician")["items"] is not None
    assert controller.ask("tokens", role="operator") is not None
    assert set(controller.keys) == {"technician", "operator"}


def test_the_agent_is_as_light_as_before_when_the_runner_has_gone(
    controller: FleetController, device: Device, tmp_path: Path
):
    assert device.agent is not None
    played = play(
        HERE / "ten" / "ten.yml",
        inventory(tmp_path / "hosts.json", [device]),
        tmp_path,
        environment=environment(controller),
    )
    assert played.exit_code == 0, played.trouble
    assert len(played.told) == 10

    device.wait_until(lambda: not device.pids(RUNNER), "the end of the runner", 60)

    agent = psutil.Process(device.agent.pid)
    assert agent.memory_info().rss <= MOST_RSS_BYTES
    device.wait_until(lambda: agent.children() == [], "nothing is left of it")
    assert device.pids("warm.py") == []


def test_a_device_is_restarted_and_goes_on_in_a_new_session(
    controller: FleetController, device: Device, tmp_path: Path
):
    before, boots = device.boot_id, device.boots
    book = tmp_path / "book.yml"
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [
        {"name": "Restart", "ansible.builtin.reboot": {"reboot_timeout": 120, "test_command": "true"}},
        {"name": "Tell the boot", "ansible.builtin.command": "cat /proc/sys/kernel/random/boot_id", "register": "told"},
        {"name": "It is another", "ansible.builtin.assert": {"that": f"told.stdout != '{before}'"}},
    ]}]))  # fmt: skip

    played = play(book, inventory(tmp_path / "hosts.json", [device]), tmp_path, environment=environment(controller))

    assert played.exit_code == 0, played.trouble
    assert [told.outcome for told in played.told] == ["changed", "changed", "ok"], played.told
    assert device.boots == boots + 1
    assert device.boot_id != before


@pytest.mark.trial
def test_twenty_devices(fleet: Fleet, controller: FleetController, tmp_path: Path):
    many = fleet.start(MANY)
    fleet.start_agents(controller, many)

    played = play(
        HERE / "ten" / "ten.yml",
        inventory(tmp_path / "hosts.json", many),
        tmp_path,
        environment=environment(controller),
    )

    assert played.exit_code == 0, played.trouble
    assert len(played.told) == 10 * MANY
    assert played.counts["changed"] == 6 * MANY
