"""SSH as the other way to a device: an authority for users and one for hosts, and certificates that end soon.

In `ssh/` of the home, for the owner's eyes alone:

    user-ca.key user-ca.pub     signs the certificates by which a run comes in
    host-ca.key host-ca.pub     signs the devices' host keys, so that no key is ever believed at first sight

A user certificate names one principal, `af-run-<device>`, and a device lets in its own alone: what was made for one
device opens no other.  It allows no forwarding of any kind and no shell of a person's own (no PTY).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_private_key,
    load_ssh_public_identity,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate

from annexfleet_agent.protocol.topics import is_device_id
from annexfleet_controller.errors import AnnexfleetError, Invalid
from annexfleet_controller.identity import files
from annexfleet_controller.settings import Home

USER_LIFETIME = timedelta(minutes=15)
"""A run renews its certificates while it lasts (`Credentials.renew`)."""
HOST_LIFETIME = timedelta(days=400)
_SLACK = timedelta(minutes=5)
"""For clocks that do not agree."""


class SshAuthorityBroken(AnnexfleetError):
    """A key of the SSH authority cannot be read; nothing is made anew over it."""

    code = "ssh_authority_broken"


class HostKeyWrong(Invalid):
    """What was given as a host's public key is none, or of a kind that is no longer trusted."""

    code = "host_key_wrong"


def principal(device_id: str) -> str:
    """The one name under which a certificate lets in at this device."""
    return f"af-run-{device_id}"


def user_authority(home: Home) -> str:
    """The line for `TrustedUserCAKeys` on devices."""
    return _line(_authority(home, "user-ca"), "annexfleet-users")


def known_hosts(home: Home) -> str:
    """The line for the controller's `known_hosts`: every host whose key this authority certified, and no other."""
    return f"@cert-authority * {_line(_authority(home, 'host-ca'), 'annexfleet-hosts')}\n"


def certify_host(home: Home, device_id: str, public_key: str, *, names: Sequence[str], now: datetime) -> str:
    """A host certificate for a device's public key line, good for its id and these names or addresses.

    Raises HostKeyWrong.
    """
    if not is_device_id(device_id):
        raise HostKeyWrong(f"{device_id[:60]!r} is no device's id", field="device", reason="device_unknown")
    try:
        key = load_ssh_public_identity(public_key.strip().encode())
    except Exception as error:  # hostile text: the parser raises whatever it likes
        raise HostKeyWrong("not a public key of SSH", field="public_key", reason="wrong_form") from error
    if isinstance(key, SSHCertificate):
        raise HostKeyWrong("a certificate, where a key is wanted", field="public_key", reason="wrong_form")
    builder = _builder(SSHCertificateType.HOST, f"host {device_id}", [device_id, *names], now, HOST_LIFETIME)
    signed = builder.public_key(key).sign(_authority(home, "host-ca"))  # type: ignore[arg-type]  # SSH knows its kinds
    return signed.public_bytes().decode() + "\n"


class Credentials:
    """What one run needs to come in at its devices over SSH, in files of its own directory.

    `key` is made for this run alone.  Call `renew` at least every ten minutes while the run lasts; Ansible reads the
    files anew for each connection.
    """

    def __init__(self, home: Home, directory: Path, device_ids: Sequence[str], *, run: str) -> None:
        self._home = home
        self._ids = list(device_ids)
        self._run = run
        self.directory = files.private_directory(directory)
        self._key = Ed25519PrivateKey.generate()
        files.write(self.key_file, _private(self._key))
        files.write(self.known_hosts_file, known_hosts(home).encode())

    @property
    def key_file(self) -> Path:
        return self.directory / "key"

    @property
    def known_hosts_file(self) -> Path:
        return self.directory / "known_hosts"

    def certificate_file(self, device_id: str) -> Path:
        return self.directory / f"{device_id}-cert.pub"

    def renew(self, now: datetime) -> None:
        """Make every certificate anew."""
        authority = _authority(self._home, "user-ca")
        for device_id in self._ids:
            name = f"{self._run} {device_id}"
            builder = _builder(SSHCertificateType.USER, name, [principal(device_id)], now, USER_LIFETIME)
            if source := self._home.settings.ssh_source_address:
                builder = builder.add_critical_option(b"source-address", source.encode())
            signed = builder.public_key(self._key.public_key()).sign(authority)
            files.write(self.certificate_file(device_id), signed.public_bytes() + b"\n")

    def variables(self, device_id: str) -> Mapping[str, str]:
        """What Ansible must be told of one host."""
        options = (
            f"-o CertificateFile={self.certificate_file(device_id)} -o UserKnownHostsFile={self.known_hosts_file} "
            f"-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o HostKeyAlias={device_id} "
            "-o IdentitiesOnly=yes -o PasswordAuthentication=no -o ForwardAgent=no"
        )
        return {"ansible_ssh_private_key_file": str(self.key_file), "ansible_ssh_common_args": options}


def _builder(
    kind: SSHCertificateType, name: str, principals: Sequence[str], now: datetime, lifetime: timedelta
) -> SSHCertificateBuilder:
    return (
        SSHCertificateBuilder()
        .type(kind)
        .key_id(name.encode())
        .valid_principals([principal.encode() for principal in dict.fromkeys(principals)])
        .valid_after(int((now - _SLACK).timestamp()))
        .valid_before(int((now + lifetime).timestamp()))
    )


def _authority(home: Home, name: str) -> Ed25519PrivateKey:
    """The key, made when missing."""
    directory = files.private_directory(home.path / "ssh")
    file = directory / f"{name}.key"
    if not file.exists():
        with files.locked(directory):
            if not file.exists():
                key = Ed25519PrivateKey.generate()
                files.write(directory / f"{name}.pub", _line(key, f"annexfleet-{name}").encode() + b"\n")
                files.write(file, _private(key))
    try:
        found = load_ssh_private_key(file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SshAuthorityBroken(f"{file}: cannot be read; restore it from a backup ({error})") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise SshAuthorityBroken(f"{file}: holds a key of another kind")
    return found


def _private(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _line(key: Ed25519PrivateKey, comment: str) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + f" {comment}"
