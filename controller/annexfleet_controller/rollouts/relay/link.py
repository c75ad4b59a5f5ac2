"""The relay's connection to the broker, over its local socket; one thread, and no callback ever runs ours.

What is sent while there is no connection is lost, as on the wire: a session's channel sends it again.
"""

import logging
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

USER = "svc-controller"
KEEPALIVE_S = 30
_RETRY_S = (0.2, 5.0)
_MISC_EVERY_S = 1.0
_MOST_READ = 64
"""Packets in one go, so that plugins get their turn."""

Message = tuple[str, bytes]


class Link:
    """Belongs to one thread."""

    def __init__(self, broker: Path, password: Path, filters: Iterable[str]) -> None:
        self._broker = broker
        self._password = password
        self._filters = set(filters)
        self._messages: list[Message] = []
        self._connects = 0
        self._retry_at = 0.0
        self._retry_s = _RETRY_S[0]
        self._misc_at = 0.0
        self.is_up = False
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"relay-{secrets.token_hex(6)}",
            clean_session=True,
            protocol=MQTTv311,
            transport="unix",
            reconnect_on_failure=False,
        )
        self._client.on_connect = self._connected
        self._client.on_message = self._heard

    def fileno(self) -> int:
        """To be waited for; -1 while there is no connection, another one after each reconnect."""
        connection = self._client.socket()
        return -1 if connection is None else connection.fileno()

    @property
    def connection(self) -> object:
        """What `fileno` is the number of; None while there is no connection."""
        return self._client.socket()

    @property
    def wants_write(self) -> bool:
        return bool(self._client.want_write())

    @property
    def connects(self) -> int:
        """How often a connection came about."""
        return self._connects

    def hear(self, filter_: str) -> None:
        """Hear this, too."""
        if filter_ not in self._filters:
            self._filters.add(filter_)
            if self.is_up:
                self._client.subscribe(filter_, qos=0)

    def hears(self, filter_: str) -> bool:
        """Whether that was asked for."""
        return filter_ in self._filters

    def send(self, topic: str, payload: bytes) -> None:
        if self.is_up:
            self._client.publish(topic, payload, qos=0)

    def tick(self, now: float) -> None:
        """Often: connects where there is no connection, and sees whether the broker still answers."""
        if self.fileno() < 0:
            self.is_up = False
            if now >= self._retry_at:
                self._connect(now)
        elif now - self._misc_at >= _MISC_EVERY_S:
            self._misc_at = now
            self._client.loop_misc()

    def read(self) -> list[Message]:
        """What came; call it when the socket is readable."""
        for _ in range(_MOST_READ):
            had = len(self._messages)
            self._client.loop_read()
            if self.fileno() < 0 or len(self._messages) == had:
                break
        came, self._messages = self._messages, []
        return came

    def write(self) -> None:
        self._client.loop_write()

    def close(self) -> None:
        if self.fileno() >= 0:
            self._client.disconnect()
            self._client.loop_write()
            self._client.loop_misc()
        self.is_up = False
        self._client.on_connect = self._client.on_message = None  # no circle, so that it is freed at once

    def _connect(self, now: float) -> None:
        try:
            self._client.username_pw_set(USER, self._password.read_text(encoding="ascii"))
            # paho leaves its socket open where connecting fails, so we look first whether somebody answers.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._broker))
            self._client.connect(str(self._broker), 1, keepalive=KEEPALIVE_S)
        except OSError as error:
            if self._retry_s == _RETRY_S[0]:
                log.warning("broker cannot be reached socket=%s reason=%s", self._broker, error)
            self._retry_at = now + self._retry_s
            self._retry_s = min(2 * self._retry_s, _RETRY_S[1])

    def _connected(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("broker refused the relay reason=%s", reason)
            return
        client.subscribe([(filter_, 0) for filter_ in sorted(self._filters)])
        self.is_up = True
        self._connects += 1
        self._retry_s = _RETRY_S[0]
        log.info("connected to the broker")

    def _heard(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        with suppress(UnicodeDecodeError):  # of no topic of ours
            self._messages.append((message.topic, bytes(message.payload)))
