"""Ansible's own modules work over each way to the devices, and end alike."""

from pathlib import Path

import pytest
from tests.playbooks.coverage.covering import came_back_whole, cover
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.linking import environment, ids, inventory
from tests.playbooks.playing import HERE, Played, Told, differences, play

COUNTS = {"ok": 20, "changed": 20, "failed": 0, "ignored": 2, "skipped": 1, "unreachable": 0}
"""Of one fresh device."""


@pytest.fixture(scope="module")
def over_ssh(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, Device, Path]:
    """The playbook on a fresh device over SSH, the device, and where it wrote."""
    (device,) = fleet.start(1)
    directory = tmp_path_factory.mktemp("ssh")
    return cover(fleet.inventory([device]), directory), device, directory


def test_over_ssh_every_task_ends_as_it_should(over_ssh: tuple[Played, Device, Path]):
    played, device, directory = over_ssh

    assert played.exit_code == 0, played.trouble
    assert played.counts == COUNTS, played.by_task
    assert came_back_whole(directory, device.name)
    assert device.read("/var/lib/cover/unpacked.txt") == "من الأرشيف\n"
    assert "greeting = hallo" in device.read("/var/lib/cover/settings.conf")


def test_over_the_link_every_task_ends_as_it_does_over_ssh(
    fleet: Fleet, over_ssh: tuple[Played, Device, Path], tmp_path: Path
):
    devices = fleet.start(1)
    controller = fleet.controller()
    fleet.start_agents(controller, devices)

    linked = cover(inventory(tmp_path / "hosts.json", devices), tmp_path, environment=environment(controller))

    assert differences(linked, over_ssh[0]) == []
    assert linked.exit_code == 0, linked.trouble
    assert linked.counts == COUNTS
    assert came_back_whole(tmp_path, ids(devices)[0])


def test_the_ten_tasks_of_the_benches_succeed_and_settle(fleet: Fleet, tmp_path: Path):
    one = fleet.start(1)
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()

    played = play(HERE / "ten" / "ten.yml", fleet.inventory(one), first)
    again = play(HERE / "ten" / "ten.yml", fleet.inventory(one), second)

    assert played.exit_code == again.exit_code == 0, played.trouble + again.trouble
    assert len(played.told) == len(again.told) == 10
    assert played.counts["changed"] == 6
    assert again.counts["changed"] == 3  # the template undoes what the line and the block add


def _played(*outcomes: str, host: str = "one") -> Played:
    told = [Told(host, number, f"task {number}", outcome, "") for number, outcome in enumerate(outcomes, start=1)]
    return Played(0, 1.0, told, "")


def test_two_runs_are_compared_task_by_task():
    one = _played("ok", "changed", "ignored")

    assert differences(one, _played("ok", "changed", "ignored", host="other")) == []
    assert differences(one, _played("ok", "ok", "ignored")) == ["task 2 (task 2): {'changed': 1} against {'ok': 1}"]
    assert differences(one, _played("ok", "changed")) == ["task 3 (task 3): {'ignored': 1} against {}"]
    assert one.counts["ignored"] == 1
