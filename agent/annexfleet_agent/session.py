"""One MQTT connection: paho's client, driven by the agent's loop instead of a thread of its own.

A session lives from one connection to its end and is never used again, so nothing of a broken connection can leak into
the next.  `dial` blocks (name lookup, TCP, TLS) and runs in the worker; all else runs in the loop's thread.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from annexfleet_agent.loop import Loop, Timer
from annexfleet_agent.protocol import messages, topics, wire

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: chain and name are verified, the dates are not."""
_CONNECT_STEP_S = 10.0
_GOODBYE_S = 1.0
_HUNG_UP = "the broker hung up before it let us in: most likely it does not accept this device's certificate"
_UNANSWERED_MS = 60_000
_PING_SLACK_S = 0.5
"""paho counts by a clock of its own."""
NO_SUBSCRIBER = 0x10


class Address(Protocol):
    """What of an identity is needed to connect."""

    @property
    def device_id(self) -> str: ...
    @property
    def broker_host(self) -> str: ...
    @property
    def broker_port(self) -> int: ...


class Ears(Protocol):
    """Who hears what happens to a session.  Always called from the loop, never from inside `publish`."""

    def on_open(self) -> None:
        """The broker let us in and our topics are subscribed."""

    def on_message(self, topic: str, payload: bytes) -> None: ...

    def on_delivered(self, mid: int, reason: int) -> None:
        """The broker answered a publication; from 0x80 on it refused, NO_SUBSCRIBER says that nobody listened."""

    def on_room(self) -> None:
        """All that was to be sent is: `has_room` holds again."""

    def on_closed(self, reason: str, *, refused: bool) -> None:
        """The connection is over, also if it was never open.  `refused`: the broker does not want this device."""


class _Context(ssl.SSLContext):
    """Remembers the last socket: paho leaves one whose handshake failed open until the garbage is collected."""

    last: ssl.SSLSocket | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        self.last = super().wrap_socket(*args, **options)
        return self.last


def tls_context(authority: Path, certificate: Path, key: Path, *, heed_dates: bool) -> _Context:
    """Mutual TLS that trusts one authority only.  Raises OSError (also ssl.SSLError) for unusable files."""
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # not create_default_context: that loads the system's authorities
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(authority)
    context.load_cert_chain(certificate, key)
    if not heed_dates:
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def dial(
    address: Address,
    context: _Context,
    *,
    keepalive_s: int,
    session_id: str,
    connect_timeout_s: float = _CONNECT_STEP_S,
) -> Client:
    """Connect and send CONNECT; blocks.  Raises OSError."""
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=address.device_id, protocol=MQTTv5, reconnect_on_failure=False
    )
    client.tls_set_context(context)
    # With TLS 1.3 a refused certificate shows only as an error of the first read or write, which paho just logs.
    troubles: list[str] = []
    client.user_data_set(troubles)
    client.on_log = lambda _client, _data, _level, text: troubles.append(text) if "on socket:" in text else None
    client.connect_timeout = connect_timeout_s
    client.will_set(
        topics.up(address.device_id, "gone"), wire.encode(messages.Gone(session_id=session_id, reason="lost")), qos=1
    )
    try:
        client.connect(address.broker_host, address.broker_port, keepalive_s, clean_start=True)
    except OSError:
        if context.last is not None:
            context.last.close()
        raise
    return client


def hang_up(client: Client) -> None:
    """Close a client that nobody wants any more."""
    sock = client.socket()
    if sock is not None:
        with suppress(OSError):
            sock.close()


class Session:
    """A connection on the loop."""

    def __init__(self, loop: Loop, client: Client, ears: Ears, *, device_id: str, keepalive_s: int) -> None:
        self._loop = loop
        self._client = client
        self._ears = ears
        self._device_id = device_id
        self._happened: deque[Callable[[], object]] = deque()
        self._telling = False
        self._over = False
        self._why = ""
        self._silent = False
        self._refused = False
        self._let_in = False
        self._keepalive_s = keepalive_s
        self._spoke_at = loop.clock.mono()
        self._misc: Timer | None = None
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_socket_close = self._on_socket_close
        self._troubles: list[str] = client.user_data_get() or []
        client.suppress_exceptions = False
        self._begin()

    # -- speaking

    def publish(self, kind: topics.Up, payload: bytes, *, qos: int) -> int | None:
        """Send; the number that `on_delivered` will tell, or None if it could not even be queued."""
        return self._publish(topics.up(self._device_id, kind), payload, qos)

    def publish_run(self, channel: str, packet: bytes) -> None:
        """Send a packet of the runner's to a relay; it may be lost."""
        self._publish(topics.up_run(self._device_id, channel), packet, 0)

    @property
    def has_room(self) -> bool:
        """Whether the socket took all that was sent; `on_room` tells when it has."""
        return not self._client.want_write()

    def _publish(self, topic: str, payload: bytes, qos: int) -> int | None:
        if self._over:
            return None
        info = self._client.publish(topic, payload, qos=qos)
        self._spoke_at = self._loop.clock.mono()
        self._after()
        return info.mid if info.rc in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN) else None

    def close(self) -> None:
        """An orderly end; `on_closed` is not told.  Waits at most a second for the broker to hang up."""
        if self._over:
            return
        self._over = True
        sock: Any = self._client.socket()
        # A second handle: were the last one closed while an answer is under way, the broker would get a reset, take us
        # for lost and send the will.
        last = socket.fromfd(sock.fileno(), sock.family, sock.type) if sock is not None else None
        with suppress(OSError):
            self._client.disconnect()
        self._drop()
        if last is not None:
            with last, suppress(OSError):
                last.shutdown(socket.SHUT_WR)
                last.settimeout(_GOODBYE_S)
                while last.recv(4096):
                    pass

    def break_off(self, why: str) -> None:
        """Give up a connection that does not answer; `on_closed` is told."""
        if not self._over:
            self._why, self._silent = self._why or why, True
            self._over_with()

    # -- paho on the loop

    def _begin(self) -> None:
        sock = self._client.socket()
        if sock is None:  # refused before we took over
            self._happened.append(self._over_with)
            self._loop.soon(self._tell)
            return
        with suppress(OSError, AttributeError):  # Linux only: do not wait 15 minutes for a dead line
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)  # type: ignore[attr-defined]
        self._set_interest()
        self._misc = self._loop.after(self._keepalive_s + _PING_SLACK_S, self._look_after)
        self._loop.soon(self._readable)  # TLS may have read the answer already

    def _set_interest(self) -> None:
        sock: Any = self._client.socket()
        if sock is not None and not self._over:
            self._loop.watch(sock, read=self._readable, write=self._writable if self._client.want_write() else None)

    def _readable(self) -> None:
        while not self._over:
            self._client.loop_read()
            sock: Any = self._client.socket()
            if sock is None or not sock.pending():  # what TLS holds already would not wake us again
                break
        self._after()

    def _writable(self) -> None:
        self._client.loop_write()
        if not self._client.want_write():
            self._happened.append(self._if_on(self._ears.on_room))
        self._after()

    def _look_after(self) -> None:
        if self._over:
            return
        # paho 2.2 forgets that a message is as good as a ping: left alone it pings 200 times a day too often (40 KiB).
        # It looks only when it is asked to, so it is asked after a silence and not before.
        now = self._loop.clock.mono()
        if now - self._spoke_at >= self._keepalive_s:
            self._spoke_at = now
            self._client.loop_misc()
            self._after()
        due_s = self._spoke_at + self._keepalive_s + _PING_SLACK_S - now
        self._misc = self._loop.after(due_s, self._look_after)

    def _after(self) -> None:
        self._set_interest()
        if self._happened and not self._telling:
            self._telling = True
            self._loop.soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        while self._happened:
            self._happened.popleft()()
        self._set_interest()

    # -- what paho says; it holds locks here, so nothing is done but noted

    def _on_connect(self, _client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        if reason.is_failure:
            self._why = f"the broker refused the connection: {reason}"
            self._refused = True
            self._happened.append(self._over_with)
            return
        self._let_in = True
        self._client.on_log = None
        self._happened.append(lambda: self._client.subscribe(topics.every_down(self._device_id), qos=0))

    def _on_subscribe(self, *_args: object) -> None:
        # mosquitto grants everything here and withholds what is not allowed, so the answer says nothing.
        self._happened.append(self._if_on(self._ears.on_open))

    def _on_message(self, _client: Client, _data: object, message: "MQTTMessage") -> None:
        topic, payload = message.topic, bytes(message.payload)
        self._happened.append(self._if_on(lambda: self._ears.on_message(topic, payload)))

    def _on_publish(self, _client: Client, _data: object, mid: int, reason: Any, _properties: object) -> None:
        self._happened.append(self._if_on(lambda: self._ears.on_delivered(mid, reason.value)))

    def _on_disconnect(self, _client: Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        self._why = self._why or f"the connection ended: {reason}"
        self._happened.append(self._over_with)
        self._loop.soon(self._tell)

    def _on_socket_close(self, _client: Client, _data: object, sock: Any) -> None:
        self._loop.unwatch(sock)

    def _if_on(self, tell: Callable[[], object]) -> Callable[[], object]:
        return lambda: None if self._over else tell()

    def _over_with(self) -> None:
        if self._over:
            return
        self._over = True
        self._drop()
        if not self._let_in and not self._silent and not self._refused:
            # Whether we get to see the reason is a race between what we write and what the broker says.
            seen = next((text for text in self._troubles if "[SSL:" in text), "")
            self._why = seen or f"{_HUNG_UP} ({self._why or 'no reason given'})"
            self._refused = True
        self._ears.on_closed(self._why, refused=self._refused)

    def _drop(self) -> None:
        if self._misc is not None:
            self._misc.cancel()
        sock: Any = self._client.socket()
        if sock is not None:
            self._loop.unwatch(sock)
            hang_up(self._client)
