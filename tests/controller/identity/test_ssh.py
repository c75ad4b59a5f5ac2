"""Certificates of SSH, with a real sshd and a real ssh."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.controller.fleet import device_id

from annexfleet_controller.identity import ssh
from annexfleet_controller.settings import Home, Settings

DEVICE, OTHER = device_id(1), device_id(2)


def _now() -> datetime:
    """Real sshd looks at the real clock, and a quarter of an hour after tests were collected is too late."""
    return datetime.now(UTC)


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("sshd", path="/usr/sbin") is None, reason="needs root and openssh-server"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", Settings())


@contextmanager
def _sshd(home: Home, directory: Path, *, device: str = DEVICE, certified: bool = True) -> Iterator[int]:
    """A device's sshd as the role `ssh_access` sets it up; gives its port."""
    directory.mkdir()
    key = directory / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (directory / "ca.pub").write_text(ssh.user_authority(home) + "\n")
    (directory / "principals").write_text(ssh.principal(device) + "\n")
    options = {
        "TrustedUserCAKeys": directory / "ca.pub", "AuthorizedPrincipalsFile": directory / "principals",
        "AuthorizedKeysFile": "none", "PasswordAuthentication": "no", "UsePAM": "no", "StrictModes": "no",
        "PidFile": directory / "pid", "PermitRootLogin": "prohibit-password",
    }  # fmt: skip
    if certified:
        text = ssh.certify_host(home, device, key.with_suffix(".pub").read_text(), names=[], now=_now())
        (directory / "host_key-cert.pub").write_text(text)
        options["HostCertificate"] = directory / "host_key-cert.pub"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    with (directory / "log").open("wb") as log, subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", key, "-oListenAddress=127.0.0.1",
         "-p", str(port), *arguments],
        stderr=log,
    ) as server:  # fmt: skip
        try:
            _await_banner(port)
            yield port
        finally:
            server.terminate()


def _await_banner(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                if sock.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)
    pytest.fail("sshd does not answer")


def _come_in(of: ssh.Credentials, port: int, *, device: str = DEVICE) -> "subprocess.CompletedProcess[str]":
    variables = of.variables(device)
    return subprocess.run(
        ["ssh", "-F", "/dev/null", "-T", "-oBatchMode=yes", "-i", variables["ansible_ssh_private_key_file"],
         *variables["ansible_ssh_common_args"].split(), "-p", str(port), "root@127.0.0.1", "echo came in"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def _credentials(home: Home, tmp_path: Path, *, now: datetime | None = None) -> ssh.Credentials:
    found = ssh.Credentials(home, tmp_path / "run", [DEVICE, OTHER], run="run-1")
    found.renew(now or _now())
    return found


def test_a_run_comes_in_at_its_device(home: Home, tmp_path: Path) -> None:
    with _sshd(home, tmp_path / "device") as port:
        found = _come_in(_credentials(home, tmp_path), port)
    assert found.stdout == "came in\n", found.stderr


def test_a_certificate_for_one_device_opens_no_other(home: Home, tmp_path: Path) -> None:
    with _sshd(home, tmp_path / "device", device=OTHER) as port:
        credentials = _credentials(home, tmp_path)
        credentials.certificate_file(OTHER).write_bytes(credentials.certificate_file(DEVICE).read_bytes())
        found = _come_in(credentials, port, device=OTHER)
    assert "Permission denied" in found.stderr


def test_a_certificate_ends_after_a_quarter_of_an_hour(home: Home, tmp_path: Path) -> None:
    with _sshd(home, tmp_path / "device") as port:
        credentials = _credentials(home, tmp_path, now=_now() - timedelta(minutes=16))
        assert "Permission denied" in _come_in(credentials, port).stderr
        credentials.renew(_now())
        assert _come_in(credentials, port).returncode == 0


def test_a_host_that_the_authority_did_not_certify_is_not_believed(home: Home, tmp_path: Path) -> None:
    with _sshd(home, tmp_path / "device", certified=False) as port:
        found = _come_in(_credentials(home, tmp_path), port)
    assert "Host key verification failed" in found.stderr


def test_a_host_that_was_certified_as_another_is_not_believed(home: Home, tmp_path: Path) -> None:
    with _sshd(home, tmp_path / "device", device=OTHER) as port:
        found = _come_in(_credentials(home, tmp_path), port)
    assert "Host key verification failed" in found.stderr


@pytest.mark.parametrize("text", ["", "ssh-ed25519 AAAA", "\0", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_what_is_no_host_key_is_not_certified(home: Home, text: str) -> None:
    with pytest.raises(ssh.HostKeyWrong):
        ssh.certify_host(home, DEVICE, text, names=[], now=_now())


def test_a_broken_key_is_told_and_not_made_anew(home: Home) -> None:
    ssh.user_authority(home)
    file = home.path / "ssh" / "user-ca.key"
    file.write_text("torn")
    with pytest.raises(ssh.SshAuthorityBroken, match=r"user-ca\.key"):
        ssh.user_authority(home)
    assert file.read_text() == "torn"
