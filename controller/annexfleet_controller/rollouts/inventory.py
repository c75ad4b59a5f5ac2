"""What Ansible is told of devices: hosts, their variables, and the groups they are in.  Thinks only.

A host is called by its device's id, so that two devices of one name are never taken for one another and no name that
somebody chose becomes part of a path or a pattern.  What devices told of themselves comes as plain values: whoever
hands them to Ansible must not let it read them as templates (the inventory plugin's values are none, in ansible-core
2.19 and later; a run's own file marks them `!unsafe`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from annexfleet_agent.protocol.messages import Inventory

_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:-]*")
"""No option, for it does not begin with a hyphen: brackets around it go before ssh sees it."""

Readiness = Literal["ready", "degraded", "blocked", "unknown"]


class Target(Struct, frozen=True, kw_only=True):
    """A device and what is known of it."""

    device_id: str
    name: str
    annex_id: str
    role: str
    tags: Sequence[str] = ()
    connection: str = "mqtt"
    ssh_address: str = ""
    connected: bool = False
    takes_commands: bool = True
    agent_version: str = ""
    readiness: Readiness = "unknown"
    """Of its annex."""
    told: Inventory | None = None
    desired: Mapping[str, Any] | None = None
    """What is wanted of it, as `desired.resolve.playable` has it; None in runs of other playbooks."""


class Document(Struct, frozen=True):
    """The whole inventory, every host in `hosts`."""

    hosts: dict[str, dict[str, Any]]
    groups: dict[str, list[str]]


def document(targets: Iterable[Target], *, packages: bool = False) -> Document:
    """Hosts with their variables, and groups by annex, role, tag, readiness and reachability, all sorted."""
    hosts: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    for target in sorted(targets, key=lambda target: target.device_id):
        hosts[target.device_id] = variables(target, packages=packages)
        for group in groups_of(target):
            groups.setdefault(group, []).append(target.device_id)
    return Document(hosts, dict(sorted(groups.items())))


def variables(target: Target, *, packages: bool = False) -> dict[str, Any]:
    """What playbooks may use of one device without asking it."""
    told = target.told
    hardware: Mapping[str, Any] = told.hardware if told else {}
    system: Mapping[str, Any] = told.os if told else {}
    found: dict[str, Any] = {
        "annexfleet_device_id": target.device_id,
        "annexfleet_name": target.name,
        "annexfleet_annex": target.annex_id,
        "annexfleet_role": target.role,
        "annexfleet_tags": list(target.tags),
        "annexfleet_connection": target.connection,
        "annexfleet_agent_version": target.agent_version,
        "annexfleet_os_id": str(system.get("id", "")),
        "annexfleet_os_version": str(system.get("version", "")),
        "annexfleet_kernel": str(system.get("kernel", "")),
        "annexfleet_architecture": str(hardware.get("architecture", "")),
        "annexfleet_memory_total_bytes": _whole(hardware.get("memory_bytes")),
        "annexfleet_printers": [dict(printer) for printer in told.printers] if told else [],
        "annexfleet_packages": dict(told.packages) if told and packages else {},
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    if target.desired is not None:
        found["annexfleet_desired"] = dict(target.desired)
    return found | _connection(target)


def groups_of(target: Target) -> list[str]:
    """The names of the groups that a device is in."""
    found = [
        group_name("annex", target.annex_id),
        group_name("role", target.role),
        group_name("readiness", target.readiness),
        group_name("link", "online" if target.connected else "offline"),
        *(group_name("tag", tag) for tag in target.tags),
    ]
    if target.told and (system := str(target.told.os.get("id", ""))):
        found.append(group_name("os", system[:40]))
    return found


def group_name(kind: str, name: str) -> str:
    """A group's name as Ansible likes it: letters, digits and underscores."""
    return f"{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"


def _connection(target: Target) -> dict[str, Any]:
    if target.connection != "ssh":
        # A runner of root's needs no sudo to become root, so none is put in front of what it does.
        return {"ansible_connection": "annexfleet", "ansible_user": "root"}
    host, port = _host_and_port(target.ssh_address)
    return {"ansible_connection": "ssh", "ansible_host": host, "ansible_user": "root"} | (
        {"ansible_port": port} if port else {}
    )


def is_address(address: str) -> bool:
    """Whether ssh would take the host in it for a host, and for nothing else."""
    return _HOST.fullmatch(_host_and_port(address)[0]) is not None


def _host_and_port(address: str) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`; 0 where no port is named."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else 0
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        return host, int(port)
    return address, 0


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
