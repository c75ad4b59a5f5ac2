"""What clients of a real broker get to hear, collected with a deadline."""

import queue
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client
from tests.flow.broker import Broker, IssuedDevice

DEADLINE_S = 15.0


def outcome_of_connecting(broker: Broker, device: IssuedDevice | Client | None) -> str:
    """With this device's certificate, with none, or as this client.

    `Success`, the broker's reason, or `refused` if TLS already failed.
    """
    answers: queue.Queue[str] = queue.Queue()
    client = device if isinstance(device, Client) else broker.device_client(device)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(str(reason))
    # With TLS 1.3 a client's certificate is judged after the client thinks the handshake done.
    client.on_disconnect = lambda *_: answers.put("refused")
    try:
        broker.connect_device(client)
    except (ssl.SSLError, OSError):
        return "refused"
    client.loop_start()
    try:
        return answers.get(timeout=DEADLINE_S)
    finally:
        client.on_disconnect = None
        client.disconnect()
        client.loop_stop()
        close_for_good(client)


class Ears:
    """A connected client that keeps what it hears."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.connected = queue.Queue[str]()
        self.disconnected = queue.Queue[str]()
        self._answers = queue.Queue[str]()
        client.on_connect = lambda _client, _data, _flags, reason, _properties: self.connected.put(str(reason))
        client.on_disconnect = lambda _client, _data, _flags, reason, _properties: self.disconnected.put(str(reason))
        client.on_message = lambda _client, _data, message: self.heard.put((message.topic, message.payload))
        client.on_subscribe = self._answered
        client.on_publish = self._answered

    def _answered(self, _client: Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._answers.put(str(reasons[0] if isinstance(reasons, list) else reasons))

    def subscribe(self, topic: str) -> str:
        """The broker's reason; "Granted" says nothing about what will be delivered."""
        self.client.subscribe(topic, 1)
        return self._answers.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> str:
        self.client.publish(topic, payload, 1, retain)
        return self._answers.get(timeout=DEADLINE_S)

    def until(self, payload: bytes) -> list[tuple[str, bytes]]:
        """All that was heard before this payload came.

        One connection's messages arrive in order: what was sent earlier and has not come by then never will.
        """
        before = []
        while True:
            message = self.heard.get(timeout=DEADLINE_S)
            if message[1] == payload:
                return before
            before.append(message)


@contextmanager
def connected(client: Client, connect: Callable[[Client], None]) -> Iterator[Ears]:
    """A client that is connected while the block lasts."""
    ears = Ears(client)
    connect(client)
    client.loop_start()
    try:
        assert ears.connected.get(timeout=DEADLINE_S) == "Success"
        yield ears
    finally:
        client.disconnect()
        client.loop_stop()
        close_for_good(client)


def close_for_good(client: Client) -> None:
    """Close what paho leaves to the garbage collector, which may find the sockets before their client and complain."""
    client._reset_sockets(sockpair_only=True)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a real process to have done something."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.01)
