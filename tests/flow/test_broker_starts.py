"""The broker that the flow tests stand on."""

import os
import pwd
import queue
import stat
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from tests.flow.broker import Broker, broker_home, running_broker
from tests.flow.talking import outcome_of_connecting

from annexfleet_agent.protocol import topics
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import SettingsWrong
from annexfleet_controller.identity import authority
from annexfleet_controller.identity import broker as brokers
from annexfleet_controller.settings import Home, Settings


def test_a_device_is_heard_by_the_controller(broker: Broker):
    device = broker.issue_device()
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    controller = broker.controller_client()
    controller.on_connect = lambda client, *_: client.subscribe(topics.EVERY_UP, 1)
    client = broker.device_client(device)
    controller.on_subscribe = lambda *_: broker.connect_device(client)
    controller.on_message = lambda _client, _data, message: heard.put((message.topic, message.payload))
    client.on_connect = lambda client, *_: client.publish(topics.up(device.device_id, "beat"), b"{}", 1)

    broker.connect_controller(controller)
    controller.loop_start()
    client.loop_start()
    try:
        assert heard.get(timeout=10) == (topics.up(device.device_id, "beat"), b"{}")
    finally:
        for each in (controller, client):
            each.disconnect()
            each.loop_stop()


def test_it_comes_back_after_a_kill(broker: Broker):
    first = broker.pid

    broker.kill()
    broker.start()

    assert broker.pid != first


def test_plain_users_come_in_without_tls():
    device_id = "d-" + "a" * 26
    answers: queue.Queue[str] = queue.Queue()
    with running_broker(plain=True) as broker:
        broker.allow_plain([device_id])
        client = Client(CallbackAPIVersion.VERSION2, client_id=device_id, protocol=MQTTv5)
        client.username_pw_set(device_id, broker.plain_password)
        client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(str(reason))

        client.connect(broker.host, broker.plain_port)
        client.loop_start()
        try:
            assert answers.get(timeout=10) == "Success"
        finally:
            client.disconnect()
            client.loop_stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_starts_it_as_another_user_that_can_read_its_files():
    with broker_home() as home:
        home.path.chmod(0o755)
        broker = Broker(home)
        broker.start()
        try:
            device = broker.issue_device()
            uid = Path(f"/proc/{broker.pid}/status").read_text().split("Uid:")[1].split()[0]

            broker.authority.publish_crl({}, SYSTEM.now())
            brokers.install_certificates(home)
            assert brokers.reload(home)

            assert uid == str(pwd.getpwnam("mosquitto").pw_uid)
            assert outcome_of_connecting(broker, device) == "Success"
            assert "Error" not in broker.log.read_text()
        finally:
            broker.stop()
    assert not home.path.exists()


def test_the_whole_configuration_is_understood(broker: Broker):
    assert broker.log.read_text().lower().count("error") == 0


def test_a_stale_process_number_is_not_signalled(broker: Broker):
    broker.stop()
    (brokers.directory(broker.home) / "mosquitto.pid").write_text(str(os.getpid()))

    assert not brokers.reload(broker.home)


@pytest.mark.parametrize(("name", "says"), [("a b", "space"), ("x" * 100, "longer than 107")])
def test_a_socket_that_mosquitto_could_not_open_is_told(tmp_path: Path, name: str, says: str):
    home = Home(tmp_path, Settings(broker_socket=str(tmp_path / name)))
    authority.ensure(home)

    with pytest.raises(SettingsWrong, match=f"broker_socket.*{says}"):
        brokers.write(home)


def test_a_home_may_have_spaces_and_letters_of_any_script():
    with broker_home() as home:
        settings = msgspec.structs.replace(home.settings, broker_socket=str(home.path / "mosquitto.sock"))
        odd = Home(home.path / "état civil الناظور", settings)
        odd.path.mkdir()
        broker = Broker(odd)
        broker.start()
        try:
            assert outcome_of_connecting(broker, broker.issue_device()) == "Success"
        finally:
            broker.stop()


def test_a_directory_that_was_there_keeps_its_rights(tmp_path: Path):
    shared = tmp_path / "run"
    shared.mkdir(mode=0o755)
    home = Home(tmp_path / "home", Settings(broker_socket=str(shared / "s")))
    authority.ensure(home)

    brokers.write(home)

    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
