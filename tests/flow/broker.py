"""A real mosquitto for tests, with the product's own configuration, and devices certified by a real authority."""

import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

from annexfleet_controller.identity import authority as authorities
from annexfleet_controller.identity import broker as brokers
from annexfleet_controller.identity import certificates
from annexfleet_controller.settings import Home, Settings

HOST = "127.0.0.1"
DEADLINE_S = 20.0


class IssuedDevice(NamedTuple):
    """A device with its files, as its agent would hold them."""

    device_id: str
    key: Path
    certificate: Path
    """with the device branch behind it"""
    authority: Path
    serial: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def new_device_id() -> str:
    return "d-" + "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))


class Broker:
    """mosquitto under `home`, on a free port of loopback.  Use `running_broker`."""

    host = HOST

    def __init__(self, home: Home, *, plain: bool = False) -> None:
        self.home = home
        self.port = home.settings.broker_port
        self.authority = authorities.ensure(home)
        self.plain_port = free_port() if plain else 0
        """Of a listener without TLS for load tests; user name = device id, password `plain_password`."""
        self.plain_password = "plain"
        self._plain_users: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._devices = home.path / "devices"
        self._devices.mkdir()
        self.log = home.path / "mosquitto.log"

    # -- the process -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write the configuration and start; returns when both listeners answer."""
        assert self._process is None, "it runs already"
        configuration = brokers.write(self.home, bind=HOST)
        if self.plain_port:
            with configuration.open("a") as file:
                file.write(f"\nlistener {self.plain_port} {HOST}\n")
            self._write_plain_users()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(["mosquitto", "-c", configuration], stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE_S
        while not self._answers():
            assert self._process.poll() is None, f"mosquitto ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"mosquitto does not answer: {self.log.read_text()}"
            time.sleep(0.01)  # a real process is waited for

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9"""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """An orderly end; harmless if it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _answers(self) -> bool:
        # The socket is the last listener that is opened; trying the TLS one would leave an error in the log.
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.home.broker_socket))
        except OSError:
            return False
        return True

    # -- who connects ------------------------------------------------------------------------------------------------

    def issue_device(
        self,
        device_id: str | None = None,
        *,
        now: datetime | None = None,
        lifetime: timedelta = certificates.DEVICE_LIFETIME,
    ) -> IssuedDevice:
        """Certify a new device; its files lie in a directory of their own."""
        device_id = device_id or new_device_id()
        key = certificates.new_key()
        issued = self.authority.issue_device(key.public_key(), device_id, now or datetime.now(UTC), lifetime=lifetime)
        return self.write_device(device_id, certificates.key_pem(key), issued.chain, issued.serial)

    def write_device(self, device_id: str, key: bytes, chain: bytes, serial: int) -> IssuedDevice:
        directory = self._devices / f"{device_id}-{serial:x}"
        directory.mkdir()
        device = IssuedDevice(
            device_id, directory / "device.key", directory / "device.pem", directory / "authority.pem", serial
        )
        device.key.write_bytes(key)
        device.certificate.write_bytes(chain)
        device.authority.write_bytes(self.authority.root_pem)
        return device

    def device_client(self, device: IssuedDevice | None, *, client_id: str = "device") -> Client:
        """A client over mutual TLS, not yet connected; None: without a certificate."""
        client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5)
        context = ssl.create_default_context(cadata=self.authority.root_pem.decode())
        if device is not None:
            context.load_cert_chain(device.certificate, device.key)
        client.tls_set_context(context)
        return client

    def connect_device(self, client: Client) -> None:
        """Connect; the caller runs the loop."""
        client.connect(HOST, self.port, keepalive=60, clean_start=True)

    def controller_client(self, client_id: str = "") -> Client:
        """A client over the local socket as `svc-controller`, not yet connected."""
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"controller-{secrets.token_hex(4)}",
            protocol=MQTTv5,
            transport="unix",
        )
        client.username_pw_set(brokers.CONTROLLER, brokers.controller_password(self.home))
        return client

    def connect_controller(self, client: Client) -> None:
        client.connect(str(self.home.broker_socket), 1, keepalive=60, clean_start=True)

    # -- load tests --------------------------------------------------------------------------------------------------

    def allow_plain(self, device_ids: Sequence[str]) -> None:
        """Let these devices in at the listener without TLS; call before `start`, or `reload` after."""
        self._plain_users.update(dict.fromkeys(device_ids, self.plain_password))
        if self._process is not None:
            self._write_plain_users()
            brokers.reload(self.home)

    def _write_plain_users(self) -> None:
        passwords = brokers.directory(self.home) / "passwords"
        own = [line for line in passwords.read_bytes().splitlines(keepends=True) if line.startswith(b"svc-")]
        content = b"".join(own) + brokers.password_lines(self._plain_users)
        stat = passwords.stat()
        passwords.write_bytes(content)
        os.chown(passwords, stat.st_uid, stat.st_gid)


@contextmanager
def broker_home(**settings: object) -> Iterator[Home]:
    """A home of its own, in a short path: a socket's may have only 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="af-"))
    try:
        ports = {"broker_port": free_port(), "enrol_port": free_port(), "web_port": free_port()}
        yield Home(path, Settings(**{"broker_host": HOST, "enrol_host": HOST, **ports, **settings}))  # type: ignore[arg-type]
    finally:
        shutil.rmtree(path)


@contextmanager
def running_broker(*, plain: bool = False, **settings: object) -> Iterator[Broker]:
    """A started broker with its authority; everything ends and vanishes with the block."""
    with broker_home(**settings) as home:
        broker = Broker(home, plain=plain)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()
