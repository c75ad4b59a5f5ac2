"""The subscriber on a real broker: what devices hear, and what happens when broker or database fail."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, event, func, select
from sqlalchemy.exc import OperationalError
from tests.controller.fleet import add_annex, add_devices, device_id
from tests.flow.broker import HOST, Broker, running_broker
from tests.flow.talking import close_for_good

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import (
    Ack,
    Beat,
    Change,
    Command,
    Config,
    DesiredSettings,
    Gone,
    Hello,
    UpMessage,
)
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.ingest import budget, subscriber
from annexfleet_controller.ingest.subscriber import Subscriber
from annexfleet_controller.store import configs, figures, watches
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.readings import ChangeRow, DeviceState, History

D1 = device_id(1)
DEADLINE_S = 20.0


def eventually(question: Callable[[], object]) -> None:
    """Wait until this is so; real processes are waited for."""
    deadline = time.monotonic() + DEADLINE_S
    while not question():
        assert time.monotonic() < deadline, "never true"
        time.sleep(0.02)


class Device:
    """A device on the listener without TLS."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.heard: list[object] = []
        self.refused: list[bool] = []
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=D1, protocol=MQTTv5)
        self.client.username_pw_set(D1, broker.plain_password)
        self.client.will_set(topics.up(D1, "gone"), wire.encode(Gone(session_id="s")))
        self.client.on_connect = lambda client, *_: client.subscribe(topics.every_down(D1))
        self.client.on_message = self._hear
        self.client.on_publish = lambda _c, _d, _m, reason, _p: self.refused.append(reason.value == 0x10)
        self.client.connect(HOST, broker.plain_port)
        self.client.loop_start()

    def say(self, message: UpMessage) -> None:
        self.client.publish(topics.up(D1, wire.kind_of(message)), wire.encode(message), qos=1)  # type: ignore[arg-type]

    def hello(self, *, config: int = 0) -> None:
        self.say(
            Hello(
                clock=time.time(), session_id="s", boot_id="b", install_id="i", next_seq=1, agent_version="1",
                config_version=config,
            )
        )  # fmt: skip

    def has(self, message: object) -> bool:
        return message in self.heard

    def _hear(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append(wire.decode_down(message.topic.rpartition("/")[2], message.payload))


@pytest.fixture
def plain_broker() -> Iterator[Broker]:
    with running_broker(plain=True) as broker:
        broker.allow_plain([D1])
        yield broker


@pytest.fixture
def fleet(sqlite_engine: Engine) -> Engine:
    add_annex(sqlite_engine)
    add_devices(sqlite_engine, 1)
    return sqlite_engine


@contextmanager
def listening(broker: Broker, engine: Engine) -> Iterator[Subscriber]:
    """The subscriber in a thread of its own."""
    password = broker.home.path / "secrets" / "controller.password"
    made = Subscriber(engine, broker.home.broker_socket, password)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: made._listening)
        yield made
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def device(plain_broker: Broker) -> Iterator[Device]:
    made = Device(plain_broker)
    yield made
    made.client.disconnect()
    made.client.loop_stop()
    close_for_good(made.client)


def change(seq: int) -> Change:
    return Change(seq=seq, at=time.time(), collector="disk", readings={"disk:/": {"disk_read_only": 1}})


def ack(upto: int) -> Ack:
    return Ack(upto=upto, install_id="i")


def stored(engine: Engine, table: type) -> int:
    with reading(engine) as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


def connected(engine: Engine) -> bool:
    with reading(engine) as db:
        return bool(db.scalar(select(DeviceState.connected)))


def test_a_hello_and_a_change_are_acknowledged_at_once(plain_broker: Broker, fleet: Engine, device: Device):
    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: device.has(ack(0)))

        device.say(change(1))

        eventually(lambda: device.has(ack(1)))


def test_a_quiet_devices_beats_are_acknowledged_three_at_a_time(plain_broker: Broker, fleet: Engine, device: Device):
    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: device.has(ack(0)))
        for seq in (1, 2, 3):
            device.say(Beat(seq=seq, at=time.time(), seconds=300, numbers={}))
            eventually(lambda seq=seq: stored(fleet, History) == seq)

        eventually(lambda: device.has(ack(3)))

    assert [message.upto for message in device.heard] == [0, 3]


def test_a_device_gets_the_settings_it_lacks_and_no_others(plain_broker: Broker, fleet: Engine, device: Device):
    wish = DesiredSettings(beat_period_s=60)
    with writing(fleet) as db:
        configs.put(db, 1, wish, now=datetime.now(UTC) - timedelta(days=1))
    with listening(plain_broker, fleet):
        device.hello(config=0)
        eventually(lambda: device.has(Config(version=1, settings=wish)))

        device.heard.clear()
        device.hello(config=1)
        eventually(lambda: device.has(ack(0)))

    assert not device.has(Config(version=1, settings=wish))


def test_settings_that_change_reach_a_connected_device_soon(plain_broker: Broker, fleet: Engine, device: Device):
    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: connected(fleet))
        wish = DesiredSettings(beat_period_s=60)

        with writing(fleet) as db:
            configs.put(db, 1, wish, now=datetime.now(UTC))

        eventually(lambda: device.has(Config(version=1, settings=wish)))


def test_who_is_looked_at_is_told_to_report_and_then_to_stop(plain_broker: Broker, fleet: Engine, device: Device):
    def orders() -> list[float]:
        return [message.seconds for message in device.heard if isinstance(message, Command)]

    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: connected(fleet))
        with writing(fleet) as db:
            watches.push(db, 1, until=datetime.now(UTC) + timedelta(seconds=60))
        eventually(lambda: len(orders()) == 1)
        assert 50 < orders()[0] <= 60

        device.hello()  # it connected again and forgot
        eventually(lambda: len(orders()) == 2)

        with writing(fleet) as db:
            watches.stop(db, 1, now=datetime.now(UTC))
        eventually(lambda: len(orders()) == 3)
        assert orders()[2] == 0


def test_a_device_that_dies_is_disconnected_by_its_last_will(plain_broker: Broker, fleet: Engine, device: Device):
    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: connected(fleet))

        device.client.socket().close()

        eventually(lambda: not connected(fleet))


def test_ingest_comes_back_after_the_broker_and_counts_what_it_did(plain_broker: Broker, fleet: Engine, device: Device):
    with listening(plain_broker, fleet) as ours:
        device.hello()
        eventually(lambda: device.has(ack(0)))

        plain_broker.kill()
        eventually(lambda: not ours._listening)
        plain_broker.start()
        eventually(lambda: ours._listening and device.client.is_connected())
        device.say(change(1))
        eventually(lambda: device.has(ack(1)))

    with reading(fleet) as db:
        told = {name: value for name, (value, _) in figures.read(db).items()}
    assert told["ingest_messages"] == 2
    assert told["ingest_connects"] == 2
    assert told["ingest_listening"] == 0
    assert told["ingest_alive_at_seconds"] == pytest.approx(time.time(), abs=60)


def test_while_the_database_is_locked_nothing_is_acknowledged_and_then_everything(
    plain_broker: Broker,
    fleet: Engine,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: device.has(ack(0)))
        with fleet.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 50")
        holder = sqlite3.connect(fleet.url.database or "", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")

        device.say(change(1))
        eventually(lambda: "database cannot write, nothing is acknowledged" in caplog.text)
        assert not device.has(ack(1))

        holder.execute("ROLLBACK")
        holder.close()
        eventually(lambda: device.has(ack(1)))
        eventually(lambda: "database writes again" in caplog.text)


def test_what_was_written_but_not_committed_is_not_acknowledged(
    plain_broker: Broker, fleet: Engine, device: Device, caplog: pytest.LogCaptureFixture
):
    broken = threading.Event()

    def refuse(_connection: object) -> None:
        if broken.is_set():
            raise OperationalError("COMMIT", None, sqlite3.OperationalError("disk I/O error"))

    with listening(plain_broker, fleet):
        device.hello()
        eventually(lambda: device.has(ack(0)))
        event.listen(fleet, "commit", refuse)
        broken.set()

        device.say(change(1))
        eventually(lambda: "database cannot write, nothing is acknowledged" in caplog.text)
        assert not device.has(ack(1))

        broken.clear()
        eventually(lambda: device.has(ack(1)))
    assert stored(fleet, ChangeRow) == 2


def test_a_database_that_fails_for_long_makes_ingest_leave_so_that_devices_keep_what_they_have(
    plain_broker: Broker, fleet: Engine, device: Device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriber, "LEAVE_AFTER_S", 0.0)
    with listening(plain_broker, fleet) as ours:
        device.hello()
        eventually(lambda: device.has(ack(0)))
        with fleet.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE history RENAME TO hidden")

        device.say(Beat(seq=1, at=time.time(), seconds=300, numbers={}))
        eventually(lambda: not ours._listening)
        device.refused.clear()
        device.say(change(2))
        eventually(lambda: device.refused)
        assert device.refused == [True], "the broker did not tell that nobody listens"

        with fleet.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE hidden RENAME TO history")
        eventually(lambda: ours._listening)
        device.say(change(2))
        eventually(lambda: device.has(ack(2)))


def test_a_broker_that_hangs_does_not_end_ingest(
    plain_broker: Broker, fleet: Engine, device: Device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriber, "KEEPALIVE_S", 1)
    with listening(plain_broker, fleet) as ours:
        os.kill(plain_broker.pid, signal.SIGSTOP)
        try:
            eventually(lambda: not ours._listening)
        finally:
            os.kill(plain_broker.pid, signal.SIGCONT)

        eventually(lambda: ours._listening)


def test_what_a_device_says_over_its_budget_is_dropped_counted_and_not_acknowledged(
    plain_broker: Broker,
    fleet: Engine,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(budget, "SHORT", budget.Allowance(3, 0.0, 1e6, 1e6))
    monkeypatch.setattr(budget, "_Left", partial(budget._Left, short_messages=3))
    with listening(plain_broker, fleet):
        device.hello()
        for seq in range(1, 9):
            device.say(change(seq))
        eventually(lambda: device.has(ack(2)))
        eventually(lambda: "device says too much" in caplog.text)

    assert stored(fleet, ChangeRow) == 3
    with reading(fleet) as db:
        assert figures.read(db)["ingest_dropped_over_budget"][0] == 6


def test_a_broker_that_was_never_set_up_is_named(plain_broker: Broker):
    (plain_broker.home.path / "secrets" / "controller.password").unlink()

    with pytest.raises(SettingsWrong, match=r"controller\.password"):
        subscriber.run(plain_broker.home, threading.Event())
