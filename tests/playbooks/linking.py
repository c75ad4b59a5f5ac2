"""Ansible over the fleet's own link: an inventory of enrolled devices, and the environment that finds the relay."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.house.tree import ROOT
from tests.playbooks.devices.controller import FleetController
from tests.playbooks.devices.device import Device

PLUGINS = ROOT / "playbooks" / "plugins" / "connection"


def ids(devices: Iterable[Device]) -> list[str]:
    """What the controller calls these devices; each has its agent."""
    return [device.agent.device_id for device in devices if device.agent is not None]


def inventory(path: Path, devices: Iterable[Device], variables: Mapping[str, object] | None = None) -> Path:
    """Write an inventory of these devices, each under its id, as the fleet's own inventory names them."""
    common = {
        "ansible_connection": "annexfleet",
        "ansible_python_interpreter": "/usr/bin/python3",
        **(variables or {}),
    }
    hosts = {device.agent.device_id: {"annexfleet_name": device.name} for device in devices if device.agent is not None}
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
    return path


def environment(controller: FleetController) -> dict[str, str]:
    """What `ansible-playbook` at the console of this controller needs."""
    return {
        "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS),
        "ANNEXFLEET_RELAY": str(controller.home.path / "relay" / "console.sock"),
    }
