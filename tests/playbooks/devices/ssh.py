"""Keys, and the two files that let `ssh` and Ansible into devices: the way the link of ours is measured against."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PERSIST_S = 60


class Reachable(Protocol):
    """A device, as far as this file looks at it."""

    name: str
    address: str
    host_key: "Key"


class Key:
    """A fresh Ed25519 key in OpenSSH's two forms."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        ).decode()
        self.public = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        ).decode()  # fmt: skip


class Access:
    """The client's side, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.key = Key()
        self.key_file = directory / "id_ed25519"
        self.key_file.write_text(self.key.private)
        self.key_file.chmod(0o600)
        self.config = directory / "ssh_config"
        self.known_hosts = directory / "known_hosts"
        self._inventory = directory / "inventory.yml"
        # The holder removes it.  A Unix socket's path has at most 107 bytes, and ssh makes it longer for a moment.
        self.controls = Path(tempfile.mkdtemp(prefix="afs-"))

    def write(self, devices: Sequence[Reachable]) -> None:
        """The files for `ssh -F <config> <name>`: connections are kept and shared, as Ansible's users do."""
        hosts = "".join(f"Host {device.name}\n    HostName {device.address}\n" for device in devices)
        self.known_hosts.write_text("".join(f"{device.address} {device.host_key.public}\n" for device in devices))
        self.config.write_text(
            f"{hosts}Host *\n    User root\n    IdentityFile {self.key_file}\n    IdentitiesOnly yes\n"
            f"    UserKnownHostsFile {self.known_hosts}\n    GlobalKnownHostsFile /dev/null\n"
            f"    StrictHostKeyChecking yes\n    PreferredAuthentications publickey\n    BatchMode yes\n"
            f"    ControlMaster auto\n    ControlPersist {PERSIST_S}s\n    ControlPath {self.controls}/%C\n"
            f"    ServerAliveInterval 5\n    ServerAliveCountMax 3\n    LogLevel ERROR\n"
        )

    def inventory(self, devices: Sequence[Reachable]) -> Path:
        """For `ansible -i`: these devices over SSH, with pipelining and a named interpreter."""
        document = {
            "all": {
                "hosts": {device.name: {} for device in devices},
                "vars": {
                    "ansible_connection": "ssh",
                    "ansible_ssh_args": f"-F {self.config}",
                    "ansible_pipelining": True,
                    "ansible_python_interpreter": "/usr/bin/python3",
                },
            }
        }
        self._inventory.write_text(yaml.safe_dump(document))
        return self._inventory

    def argv(self, device: Reachable, *command: str) -> list[str]:
        return ["ssh", "-F", os.fspath(self.config), device.name, *command]
