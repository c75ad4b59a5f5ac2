"""A client at the broker with the controller's own account: it hears everything and says what it likes."""

import queue
import secrets
import time
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from annexfleet_agent.protocol import topics
from annexfleet_agent.protocol.envelope import ACK, CHALLENGE, FRAME, Challenge, Knock, Refusal, pack, unpack
from annexfleet_controller.rollouts.relay.link import USER
from annexfleet_controller.settings import Home

CHANNEL = "attacker"
WITHIN_S = 60.0


class Attacker:
    """A client with the controller's account; hears everything."""

    def __init__(self, home: Home) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="attacker", transport="unix")
        self._client.username_pw_set(USER, (home.path / "secrets" / "controller.password").read_text("ascii"))
        subscribed: queue.Queue[None] = queue.Queue()
        self._client.on_subscribe = lambda *_: subscribed.put(None)
        self._client.on_connect = lambda client, *_: client.subscribe("af/#")
        self._client.on_message = self._hear
        self._client.connect(str(home.broker_socket), 1)
        self._client.loop_start()
        subscribed.get(timeout=WITHIN_S)

    def _hear(self, _client: Client, _data: object, message: Any) -> None:
        self.heard.append((message.topic, bytes(message.payload)))
        self._news.put(None)

    def say(self, device_id: str, packet: bytes) -> None:
        self._client.publish(topics.down(device_id, "run"), packet).wait_for_publish(WITHIN_S)

    def answer(self, device_id: str, session: str, kind: type) -> Any:
        """What the device said of this session, of this kind."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            for topic, packet in list(self.heard):
                if device_id in topic and f"/up/run/{CHANNEL}" in topic and packet[:1] in (b"C", b"R"):
                    body = unpack(packet)
                    if isinstance(body, kind) and body.session == session:
                        return body
            left_s = deadline - time.monotonic()
            assert left_s > 0, f"no {kind.__name__} came from {device_id}"
            try:
                self._news.get(timeout=min(left_s, 1.0))
            except queue.Empty:
                continue

    def knock(self, device_id: str) -> Challenge:
        session = secrets.token_hex(8)
        self.say(device_id, pack(Knock(session=session, channel=CHANNEL)))
        found: Challenge = self.answer(device_id, session, Challenge)
        return found

    def refusal(self, device_id: str, session: str, packet: bytes) -> str:
        self.say(device_id, packet)
        return str(self.answer(device_id, session, Refusal).reason)

    def knocked(self, device_id: str, not_boot_id: str) -> bool:
        """Knock once more, and hear whether a challenge of another boot came for any knock."""
        self.say(device_id, pack(Knock(session=secrets.token_hex(8), channel=CHANNEL)))
        return any(
            device_id in topic and packet[:1] == CHALLENGE and getattr(unpack(packet), "boot_id", "") != not_boot_id
            for topic, packet in list(self.heard)
        )

    def spoke(self, session: str) -> bool:
        """Whether a session with this name came about."""
        return any(packet[:1] in (FRAME, ACK) and packet[1:9].hex() == session for _, packet in self.heard)

    def close(self) -> None:
        self._client.on_connect = self._client.on_message = None
        self._client.disconnect()
        self._client.loop_stop()
