"""The controller's ear on the broker: hear a batch, store it, acknowledge it; in one thread and in this order.

Nothing is acknowledged before it is committed.  While a batch is being stored the socket is not read, so a slow
database slows the broker down instead of filling this process.  When the database fails for long, the subscriber leaves
the broker: devices then learn that nobody listens, and keep what they have.

This last hop is MQTT 3.1.1 at QoS 0.  A PUBACK from here would prove nothing that the acknowledgement of a committed
item does not prove better, and what is lost on this hop the device sends again.  Measured, it halves what a message
costs here and in the broker.
"""

import logging
import secrets
import select
import socket
import threading
from pathlib import Path

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy import Engine

from annexfleet_agent.protocol import topics
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.ingest.budget import Budgets
from annexfleet_controller.ingest.decode import Aside, Heard, Received, decode
from annexfleet_controller.ingest.downlink import Downlink
from annexfleet_controller.ingest.figures import Figures
from annexfleet_controller.ingest.writer import DatabaseFailing, write
from annexfleet_controller.settings import Home
from annexfleet_controller.store.database import open_database

log = logging.getLogger(__name__)

USER = "svc-controller"
MOST_MESSAGES = 4000
"""In one batch; more gains nothing, and a batch is what a restart repeats."""
MOST_BYTES = 16 * 1024 * 1024
"""Of JSON, before it was deflated; a full batch of beats has half of it."""
LINGER_S = 0.05
"""From a batch's first message to its commit, if it does not fill up before."""
KEEPALIVE_S = 60
LEAVE_AFTER_S = 30.0
"""A database that fails for longer makes the subscriber leave the broker; below KEEPALIVE_S."""
_TICK_S = 0.1
_RETRY_S = (0.2, 5.0)
"""Shortest and longest wait before the broker or the database is tried again."""


def run(home: Home, stop: threading.Event) -> None:
    """Listen until `stop` is set.  Broker and database may come and go meanwhile.

    Raises SettingsWrong if the broker's password is not there: the broker was never set up.
    """
    password = home.path / "secrets" / "controller.password"
    if not password.exists():
        raise SettingsWrong(f"{password} is missing: the broker is not set up for this home")
    engine = open_database(home.database_url)
    try:
        subscriber = Subscriber(engine, home.broker_socket, password, shared=home.settings.ingest_shared)
        subscriber.run(stop)
    finally:
        engine.dispose()


class Subscriber:
    """One connection to the broker, and what came over it and is not stored yet."""

    def __init__(
        self, engine: Engine, broker: Path, password: Path, *, shared: bool = False, clock: Clock = SYSTEM
    ) -> None:
        self._engine = engine
        self._broker = broker
        self._password = password
        self._filter = f"$share/ingest/{topics.EVERY_UP}" if shared else topics.EVERY_UP
        self._clock = clock
        self._batch: list[Heard | Aside] = []
        self._batch_bytes = 0
        self._came = 0
        """Messages that the broker handed over, whether they were kept or not."""
        self._listening = False
        self._misc_at = 0.0
        self._client = self._new_client()
        self._downlink = Downlink(engine, self._publish, clock)
        self._figures = Figures(engine, clock)
        self._budgets = Budgets()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        wait_s = _RETRY_S[0]
        while not stop.is_set():
            if self._client.socket() is None:
                if self._connect():
                    wait_s = _RETRY_S[0]
                else:
                    stop.wait(wait_s)
                    wait_s = min(2 * wait_s, _RETRY_S[1])
                    continue
            self._gather()
            if self._batch:
                self._store(stop)
            if self._listening:
                self._downlink.tick()
            self._figures.write_if_due(listening=self._listening)
        self._leave()
        self._figures.write_now(listening=False)

    # -- the broker ---------------------------------------------------------------------------------------------------

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"ingest-{secrets.token_hex(6)}",
            clean_session=True,
            protocol=MQTTv311,
            transport="unix",
            reconnect_on_failure=False,
        )
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._heard
        return client

    def _connect(self) -> bool:
        try:
            self._client.username_pw_set(USER, self._password.read_text(encoding="ascii"))
            # paho leaves its socket open where connecting fails, so we look first whether somebody answers.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._broker))
            self._client.connect(str(self._broker), 1, keepalive=KEEPALIVE_S)
        except OSError as error:
            self._figures.broker_away()
            log.warning("broker cannot be reached socket=%s reason=%s", self._broker, error)
            return False
        return True

    def _connected(
        self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("broker refused the controller reason=%s", reason)
            return
        client.subscribe(self._filter, qos=0)
        self._listening = True
        self._figures.connected()
        log.info("listening filter=%s", self._filter)

    def _disconnected(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # What was heard and not stored yet is stored all the same: it is true.
        if self._listening:
            log.warning("broker connection ended reason=%s", reason)
        self._listening = False

    def _heard(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # no topic of ours; it is set aside
        self._came += 1
        if message.retain:
            self._figures.dropped("retained")  # of long ago; the broker keeps nothing, so this is not one of ours
            return
        sender, now = topics.sender(topic), self._clock.mono()
        if sender and not self._budgets.admits(sender.device_id, now):
            self._figures.dropped("over_budget")
            if count := self._budgets.to_say(sender.device_id, now):
                log.warning("device says too much, some of it is dropped device=%s count=%s", sender.device_id, count)
            return
        decoded = decode(Received(topic, bytes(message.payload), self._clock.now().timestamp()))
        if sender:
            self._budgets.spend(sender.device_id, decoded.weight)
        self._batch.append(decoded)
        self._batch_bytes += decoded.weight

    def _leave(self) -> None:
        self._listening = False
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()
            self._client.loop_misc()

    def _publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=0)

    # -- a batch ------------------------------------------------------------------------------------------------------

    def _gather(self) -> None:
        """Hear messages until the batch is full, the first has waited long enough, or nothing comes."""
        client, clock = self._client, self._clock
        deadline = clock.mono() + _TICK_S
        while True:
            now = clock.mono()
            if now - self._misc_at >= 1.0:
                self._misc_at = now
                client.loop_misc()  # which closes the socket if the broker no longer answers
            if (connection := client.socket()) is None:
                return
            writable = [connection] if client.want_write() else []
            readable, writable, _ = select.select([connection], writable, [], max(0.0, deadline - now))
            if writable:
                client.loop_write()
            if readable:
                if not self._batch:
                    deadline = min(deadline, now + LINGER_S) if self._read() else deadline
                else:
                    self._read()
            if len(self._batch) >= MOST_MESSAGES or self._batch_bytes >= MOST_BYTES or clock.mono() >= deadline:
                return

    def _read(self) -> bool:
        """Read while messages come, until the batch is full; whether any came."""
        before = len(self._batch)
        for _ in range(MOST_MESSAGES):
            had = self._came
            self._client.loop_read()
            if self._came == had or self._batch_bytes >= MOST_BYTES:
                break
        return len(self._batch) > before

    def _store(self, stop: threading.Event) -> None:
        """Commit the batch, however long that takes, then acknowledge it; on `stop` it is dropped unacknowledged."""
        began = self._clock.mono()
        wait_s = _RETRY_S[0]
        while True:
            try:
                settled = write(self._engine, self._batch, self._clock.now())
            except DatabaseFailing as error:
                failing_s = self._clock.mono() - began
                self._figures.database_failed(str(error), failing_s)
                if failing_s >= LEAVE_AFTER_S and self._listening:
                    log.warning("leaving the broker until the database can write again reason=%s", error)
                    self._leave()
                if stop.wait(wait_s):
                    break
                wait_s = min(2 * wait_s, _RETRY_S[1])
            else:
                self._figures.stored(settled, self._clock.mono() - began)
                self._downlink.after(settled)
                break
        self._batch = []
        self._batch_bytes = 0
