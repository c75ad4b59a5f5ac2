"""A new agent is put in force on a real device, and a bad one gives way to the old one by itself."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.playbooks import linking
from tests.playbooks.devices.agents import LOG, SETTINGS
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device
from tests.playbooks.devices.fleet import Fleet
from tests.playbooks.playing import Played, play

_ROOT = Path(__file__).resolve().parents[2]
_PLAYBOOK = _ROOT / "playbooks" / "agent_update.yml"
_HOME = Path("/opt/annexfleet")
_RESTART = "/usr/local/sbin/restart-agent"
_RESTARTS = f"""#!/bin/sh
pkill -f 'annexfleet.agent --settings .* run$'
while pgrep -f 'annexfleet.agent --settings .* run$' >/dev/null; do sleep 0.1; done
exec setsid -f {_HOME}/current/bin/annexfleet-agent --settings {SETTINGS} run >>{LOG} 2>&1 </dev/null
"""


def _wheels(library: Path, version: str, *, spoilt: str = "") -> None:
    """The agent's wheel as that version, and those it needs; `spoilt`: a line that its `run` begins with."""
    source = library / f"source-{version}"
    shutil.copytree(_ROOT / "agent", source, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (source / "pyproject.toml", source / "annexfleet_agent" / "__init__.py"):
        file.write_text(file.read_text().replace("0.1.0", version))
    program = source / "annexfleet_agent" / "__main__.py"
    program.write_text(
        program.read_text().replace(
            "    from annexfleet_agent import program, queues",
            spoilt + "\n    from annexfleet_agent import program, queues",
            1,
        )
    )
    needed = library / "needed"
    constraints = ["--constraint", str(_ROOT / "deploy" / "constraints.txt")]
    if not needed.exists():
        subprocess.run(
            [library / "python/bin/pip", "wheel", "--quiet", *constraints, "--wheel-dir", needed, _ROOT / "agent"],
            check=True,
        )
    place = library / "library" / "agent" / version
    subprocess.run(
        [library / "python/bin/pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, source], check=True
    )
    for wheel in needed.iterdir():
        if not wheel.name.startswith("annexfleet"):
            shutil.copy(wheel, place)


pytestmark = pytest.mark.trial


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `library` holds a good version and one that falls as soon as it runs."""
    path = tmp_path_factory.mktemp("wheels")
    subprocess.run(["/usr/bin/python3", "-m", "venv", path / "python"], check=True)
    _wheels(path, "0.1.1")
    _wheels(path, "0.1.2", spoilt="    raise SystemExit('spoilt')")
    return path / "library"


@pytest.fixture(scope="module")
def controller(fleet: Fleet) -> FleetController:
    return fleet.controller()


@pytest.fixture(scope="module")
def device(fleet: Fleet, controller: FleetController) -> Device:
    (found,) = fleet.start(1)
    fleet.start_agents(controller)
    controller.wait_until_online([found.agent.device_id])
    found.write(_RESTART, _RESTARTS, mode=0o755)
    return found


def _update(controller: FleetController, device: Device, library: Path, directory: Path, version: str) -> Played:
    directory.mkdir()
    wishes = {
        "agent_update_version": version, "annexfleet_agent_restart": [_RESTART], "agent_update_settings": str(SETTINGS),
        "agent_update_deadline_s": 20, "agent_update_settle_s": 1, "annexfleet_os_id": "debian",
    }  # fmt: skip
    return play(
        _PLAYBOOK, linking.inventory(directory / "inventory.json", [device], {"ansible_user": "root"}), directory,
        variables=wishes, environment={
            **linking.environment(controller),
            "ANNEXFLEET_LIBRARY": str(library), "ANSIBLE_CONFIG": str(_ROOT / "playbooks" / "ansible.cfg")
        },
    )  # fmt: skip


def _status(device: Device) -> dict[str, object]:
    asked = device.run(
        [_HOME / "current/bin/annexfleet-agent", "--settings", SETTINGS, "status", "--json"], check=False
    )
    found: dict[str, object] = json.loads(asked.stdout)
    return found


def test_a_new_agent_is_in_force_and_a_bad_one_gives_way_to_it(
    controller: FleetController, device: Device, library: Path, tmp_path: Path
) -> None:
    first = _update(controller, device, library, tmp_path / "first", "0.1.1")
    assert first.exit_code == 0, first.trouble
    status = _status(device)
    assert (status["agent_version"], status["link"], status["running"]) == ("0.1.1", "connected", True)

    again = _update(controller, device, library, tmp_path / "again", "0.1.1")
    assert again.exit_code == 0, again.trouble
    assert again.counts["changed"] == 0

    bad = _update(controller, device, library, tmp_path / "bad", "0.1.2")
    assert bad.exit_code != 0
    assert "the old one is in force again" in bad.trouble
    status = _status(device)
    assert (status["agent_version"], status["link"], status["running"]) == ("0.1.1", "connected", True)
    assert device.run(["readlink", _HOME / "current"]).stdout.strip() == "versions/0.1.1"


def test_a_version_that_the_library_has_not_is_refused_before_anything_changes(
    controller: FleetController, device: Device, library: Path, tmp_path: Path
) -> None:
    refused = _update(controller, device, library, tmp_path / "refused", "9.9.9")
    assert refused.exit_code != 0
    assert refused.counts["changed"] == 0
    assert "pip wheel" in refused.trouble
