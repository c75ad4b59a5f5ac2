"""Real agents on a real broker: in this process on a loop, or as the program in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt.client import Client
from tests.flow.broker import Broker, IssuedDevice

from annexfleet_agent.protocol import messages, topics, wire


class Controller:
    """Stands in for the controller: hears every device, remembers, and acknowledges; items only if told to.

    Runs in paho's own thread, as the real one runs in another process.
    """

    def __init__(self, broker: Broker, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.heard: list[tuple[str, messages.UpMessage]] = []
        self._received: dict[tuple[str, str], set[int]] = {}
        self._installs: dict[str, str] = {}
        self._client: Client = broker.controller_client()
        self._client.on_message = lambda _client, _data, message: self._on_message(message.topic, message.payload)
        self._subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        broker.connect_controller(self._client)
        self._client.subscribe(topics.EVERY_UP, 1)
        self._client.loop_start()

    @property
    def is_listening(self) -> bool:
        return self._subscribed

    def _on_message(self, topic: str, payload: bytes) -> None:
        sender = topics.sender(topic)
        assert sender is not None
        message = wire.decode_up(sender.kind, payload)
        self.heard.append((sender.kind, message))
        if isinstance(message, messages.Hello):
            self._installs[sender.device_id] = message.install_id
        install_id = self._installs.get(sender.device_id, "")
        received = self._received.setdefault((sender.device_id, install_id), set())
        if isinstance(message, messages.Gap):
            for first, last in message.ranges:
                received.update(range(first, last + 1))
        received.add(getattr(message, "seq", 0))
        if self.acknowledges or isinstance(message, messages.Hello):
            self.tell(sender.device_id, messages.Ack(upto=self.mark(sender.device_id), install_id=install_id))

    def mark(self, device_id: str) -> int:
        """Everything up to this number was received."""
        received = self._received.get((device_id, self._installs.get(device_id, "")), set())
        upto = 0
        while upto + 1 in received:
            upto += 1
        return upto

    def tell(self, device_id: str, message: messages.DownMessage) -> None:
        self._client.publish(topics.down(device_id, wire.kind_of(message)), wire.encode(message))  # type: ignore[arg-type]

    def of(self, kind: str) -> list[messages.UpMessage]:
        return [message for of, message in self.heard if of == kind]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = self._client.on_subscribe = None  # no circle, so that it is freed at once
        del self._client

    def goes_on_from(self, other: "Controller") -> None:
        """Know what another one knew."""
        self.heard, self._received, self._installs = other.heard, other._received, other._installs


def write_state(directory: Path, broker: Broker, device: IssuedDevice, settings: str = "") -> Path:
    """A state directory as enrolment leaves it, and agent.toml; returns the path of agent.toml.

    Unless `settings` say otherwise, nothing asks apt what it would upgrade: that takes it seconds of a whole core.
    """
    if "[collectors]" not in settings:
        settings = f'[collectors]\ndisabled = ["updates"]\n{settings}'
    slot = directory / "identity" / "a"
    slot.mkdir(parents=True)
    for source, name in (
        (device.key, "device.key"),
        (device.certificate, "device.pem"),
        (device.authority, "authority.pem"),
    ):
        (slot / name).write_bytes(source.read_bytes())
    record = {
        "device_id": device.device_id,
        "broker_host": broker.host,
        "broker_port": broker.port,
        "enrol_url": "",
        "slot": "a",
        "expires_at": 4e9,
        "renew_at": 4e9,
    }
    (directory / "identity" / "connection.json").write_text(json.dumps(record))
    file = directory / "agent.toml"
    file.write_text(f'[agent]\nstate_dir = "{directory}"\nsample_period_s = 1\nbeat_period_s = 5\n{settings}')
    return file


_AS_USERS_DO = ["-m", "annexfleet_agent"]
_COMING_BACK_SOON = """
import runpy
from annexfleet_agent.device import AgentCore
AgentCore.__init__.__kwdefaults__["retry_windows_s"] = (1.0,)
runpy.run_module("annexfleet_agent", run_name="__main__", alter_sys=True)
"""
"""The program, whose next attempt to connect is drawn from a second; no setting says that, for a fleet's sake."""


@contextmanager
def running_agent(file: Path, *before: str, comes_back_soon: bool = False) -> Iterator[subprocess.Popen[str]]:
    """`annexfleet-agent run` as users start it; ended when the block ends.  `before`: what starts it."""
    program = ["-c", _COMING_BACK_SOON] if comes_back_soon else _AS_USERS_DO
    process = subprocess.Popen(
        [*before, sys.executable, *program, "--settings", str(file), "run"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`annexfleet-agent …` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "annexfleet_agent", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
