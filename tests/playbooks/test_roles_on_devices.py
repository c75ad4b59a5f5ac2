"""Each playbook on a real device over the fleet's own link: dry, then for good, then again (`roles_to_try.py`)."""

from pathlib import Path

import pytest
from tests.house.tree import ROOT
from tests.playbooks import linking
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.playing import Played, play
from tests.playbooks.roles_to_try import TO_TRY, Trial


class Bench:
    """A controller with a library, and a fresh device for each trial."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.controller: FleetController = fleet.controller()
        self.library = self.controller.home.path / "library"

    def device(self) -> Device:
        (found,) = self.fleet.start(1)
        self.fleet.start_agents(self.controller, [found])
        self.controller.wait_until_online(linking.ids([found]))
        return found

    def play(self, trial: Trial, device: Device, directory: Path, *arguments: str) -> Played:
        directory.mkdir()
        told = {
            "annexfleet_os_id": "debian", "ansible_user": "root", "annexfleet_device_id": linking.ids([device])[0],
        }  # fmt: skip
        own = {
            **linking.environment(self.controller),
            "ANNEXFLEET_HOME": str(self.controller.home.path),
            "ANNEXFLEET_LIBRARY": str(self.library),
        }
        inventory = linking.inventory(directory / "inventory.json", [device], told)
        book = ROOT / "playbooks" / f"{trial.playbook}.yml"
        return play(book, inventory, directory, variables=trial.variables, environment=own, arguments=arguments)


@pytest.fixture(scope="module")
def bench(fleet: Fleet) -> Bench:
    return Bench(fleet)


def _holds(device: Device, fact: str) -> bool:
    return device.run(["sh", "-c", fact], check=False).returncode == 0


ALWAYS = {"files"}
"""Tried at each change; the others take longer."""


def _param(trial: Trial) -> object:
    marks = [] if trial.playbook in ALWAYS else [pytest.mark.trial]
    return pytest.param(trial, id=trial.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("trial", [_param(trial) for trial in TO_TRY])
def test_a_playbook_foretells_does_and_then_leaves_alone(bench: Bench, trial: Trial, tmp_path: Path) -> None:
    device = bench.device()
    for package in trial.packages:
        if not _holds(device, f"dpkg-query --show --showformat='${{Status}}' {package} | grep -q ' installed$'"):
            pytest.skip(f"this machine has no package {package}, and the test devices cannot install it")
    for name, content in trial.library.items():
        (bench.library / name).parent.mkdir(parents=True, exist_ok=True)
        (bench.library / name).write_text(content)
    for command in trial.prepare:
        device.run(["sh", "-c", command])

    dry = bench.play(trial, device, tmp_path / "dry", "--check", "--diff")
    assert dry.exit_code == 0, dry.trouble
    assert not all(_holds(device, fact) for fact in trial.facts), "the dry run changed the device"

    done = bench.play(trial, device, tmp_path / "done")
    assert done.exit_code == 0, done.trouble
    assert [fact for fact in trial.facts if not _holds(device, fact)] == []

    again = bench.play(trial, device, tmp_path / "again")
    assert again.exit_code == 0, again.trouble
    changed = [told.task for told in again.told if told.outcome == "changed"]
    assert trial.always_changes or changed == []
