"""The broker that the flow tests stand on."""

import queue

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5
from tests.flow.broker import Broker, running_broker

from annexfleet_agent.protocol import topics


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
