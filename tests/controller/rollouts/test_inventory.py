"""What Ansible is told of devices."""

import itertools

import pytest
from tests.controller.fleet import device_id

from annexfleet_agent.protocol.messages import Inventory
from annexfleet_controller.rollouts import inventory
from annexfleet_controller.rollouts.inventory import Target

_NUMBERS = itertools.count(1)


def _target(**fields: object) -> Target:
    of = {"device_id": device_id(next(_NUMBERS)), "name": "guichet-1", "annex_id": "berkane-1", "role": "counter"}
    return Target(**(of | fields))  # type: ignore[arg-type]


def _told(**fields: object) -> Inventory:
    return Inventory(**({"seq": 1, "at": 1.0, "digest": "x"} | fields))  # type: ignore[arg-type]


def test_a_device_is_in_the_groups_of_its_annex_role_tags_readiness_and_link() -> None:
    device = _target(tags=["ring-0"], connected=True, readiness="degraded", told=_told(os={"id": "debian"}))
    found = inventory.document([device])
    assert found.groups == {
        "annex_berkane_1": [device.device_id],
        "role_counter": [device.device_id],
        "readiness_degraded": [device.device_id],
        "link_online": [device.device_id],
        "tag_ring_0": [device.device_id],
        "os_debian": [device.device_id],
    }


def test_what_a_device_told_comes_as_it_was_told() -> None:
    hostile = "{{ lookup('pipe', 'id') }}"
    told = _told(
        os={"id": hostile, "version": hostile, "kernel": hostile},
        hardware={"architecture": hostile, "memory_bytes": 4e9},
        printers=[{"name": hostile}],
        packages={hostile: hostile},
    )
    device = _target(name=hostile, told=told)
    variables = inventory.document([device], packages=True).hosts[device.device_id]
    assert variables["annexfleet_name"] == hostile
    assert variables["annexfleet_packages"] == {hostile: hostile}
    assert variables["annexfleet_memory_total_bytes"] == 4_000_000_000
    assert not any("{" in group for group in inventory.document([device]).groups)


def test_package_lists_come_only_when_they_are_asked_for() -> None:
    device = _target(told=_told(packages={"cups": "2.4.2"}))
    assert inventory.variables(device)["annexfleet_packages"] == {}
    assert inventory.variables(device, packages=True)["annexfleet_packages"] == {"cups": "2.4.2"}


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.9", "10.0.0.9", None),
        ("srv.example.ma:2222", "srv.example.ma", 2222),
        ("[fd00::9]:2222", "fd00::9", 2222),
        ("[fd00::9]", "fd00::9", None),
        ("fd00::9", "fd00::9", None),
    ],
)
def test_a_device_over_ssh_has_an_address(address: str, host: str, port: int | None) -> None:
    variables = inventory.variables(_target(connection="ssh", ssh_address=address))
    assert variables["ansible_connection"] == "ssh"
    assert (variables["ansible_host"], variables.get("ansible_port")) == (host, port)


def test_other_devices_are_reached_over_their_own_link() -> None:
    assert inventory.variables(_target())["ansible_connection"] == "annexfleet"


def test_a_device_that_told_nothing_has_every_variable_all_the_same() -> None:
    silent, told = inventory.variables(_target()), inventory.variables(_target(told=_told(os={"id": "debian"})))
    assert silent.keys() == told.keys()
