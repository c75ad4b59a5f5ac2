"""What a device may say and hear, proved by what the broker delivers: its SUBACK says "granted" to everything."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from tests.flow.broker import Broker, IssuedDevice, broker_home, new_device_id, running_broker
from tests.flow.talking import Ears, close_for_good, connected, outcome_of_connecting

from annexfleet_agent.protocol import topics
from annexfleet_controller.identity import authority, certificates
from annexfleet_controller.identity import broker as brokers

END = b"the end"
REFUSED = "Not authorized"
UNHEARD = "No matching subscribers"
"""PUBACK 0x10: allowed, and nobody listens."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One for the whole module: these tests leave nothing behind."""
    with running_broker() as running:
        yield running


@pytest.fixture(scope="module")
def mine(broker: Broker) -> IssuedDevice:
    return broker.issue_device()


@pytest.fixture(scope="module")
def other(broker: Broker) -> IssuedDevice:
    return broker.issue_device()


@pytest.fixture
def controller(broker: Broker) -> Iterator[Ears]:
    """Hears everything that there is to hear."""
    with connected(broker.controller_client(), broker.connect_controller) as ears:
        ears.subscribe("af/v1/#")
        yield ears


@pytest.fixture
def device(broker: Broker, mine: IssuedDevice) -> Iterator[Ears]:
    with connected(broker.device_client(mine), broker.connect_device) as ears:
        yield ears


def _foreign(mine: str, other: str) -> dict[str, str]:
    return {
        "another device's beat": topics.up(other, "beat"),
        "another device's acknowledgements": topics.down(other, "ack"),
        "its own acknowledgements": topics.down(mine, "ack"),
        "above its own": f"af/v1/d/{mine}",
        "below its own": f"af/v1/d/{mine}/up/beat/below",
        "beside its own": f"af/v1/d/{mine}x/up/beat",
        "another version": f"af/v2/d/{mine}/up/beat",
        "the broker's own": "$SYS/broker/uptime",
        "the broker's control": "$CONTROL/dynamic-security/v1",
        "somewhere else": "hello",
        "upper case": f"AF/v1/d/{mine}/up/beat",
        "with a leading slash": f"/af/v1/d/{mine}/up/beat",
    }


FOREIGN = list(_foreign("", ""))


def test_what_a_device_says_under_its_own_topic_is_delivered(mine: IssuedDevice, device: Ears, controller: Ears):
    for kind in ("hello", "beat", "change", "inventory", "receipt", "gap", "live", "gone"):
        assert device.publish(topics.up(mine.device_id, kind), kind.encode()) == "Success"
    device.publish(topics.up(mine.device_id, "beat"), END)

    assert [payload.decode() for _, payload in controller.until(END)] == [
        *("hello", "beat", "change", "inventory", "receipt", "gap", "live", "gone")
    ]


@pytest.mark.parametrize("where", FOREIGN)
def test_what_a_device_says_elsewhere_is_not_delivered(
    mine: IssuedDevice, other: IssuedDevice, device: Ears, controller: Ears, where: str
):
    topic = _foreign(mine.device_id, other.device_id)[where]
    controller.subscribe("#")
    controller.subscribe("$SYS/broker/uptime")

    answer = device.publish(topic, b"forged")

    device.publish(topics.up(mine.device_id, "beat"), END)
    assert answer == REFUSED
    assert b"forged" not in [payload for _, payload in controller.until(END)]


@pytest.mark.parametrize(
    "subscribed",
    [
        "#",
        "af/v1/d/+/down/#",
        "af/v1/d/+/up/#",
        "af/v1/d/{other}/down/#",
        "af/v1/d/{other}/up/#",
        "af/v1/d/{mine}/up/#",
        "$share/group/af/v1/d/{other}/down/#",
        "$share/group/af/v1/d/+/down/+",
        "$share/group/#",
        "$SYS/#",
        "+/+/+/{other}/+/+",
    ],
)
def test_a_device_hears_only_what_is_sent_to_it(  # noqa: PLR0917  # fixtures
    broker: Broker, mine: IssuedDevice, other: IssuedDevice, device: Ears, controller: Ears, subscribed: str
):
    topic = subscribed.format(mine=mine.device_id, other=other.device_id)

    assert device.subscribe(topic).startswith("Granted")

    device.subscribe(topics.every_down(mine.device_id))
    with connected(broker.device_client(other), broker.connect_device) as neighbour:
        neighbour.publish(topics.up(other.device_id, "beat"), b"the neighbour's beat")
        controller.publish(topics.down(other.device_id, "ack"), b"for the neighbour")
        controller.publish(topics.down(mine.device_id, "ack"), b"for me")
        controller.publish(topics.down(mine.device_id, "ack"), END)
        heard = {payload for _, payload in device.until(END)}
    assert heard == {b"for me"}


def test_a_shared_subscription_takes_nothing_away_from_its_owner(
    broker: Broker, mine: IssuedDevice, other: IssuedDevice, device: Ears, controller: Ears
):
    device.subscribe(f"$share/thieves/{topics.every_down(other.device_id)}")
    with connected(broker.device_client(other), broker.connect_device) as neighbour:
        neighbour.subscribe(topics.every_down(other.device_id))

        for n in range(10):
            controller.publish(topics.down(other.device_id, "ack"), b"%d" % n)
        controller.publish(topics.down(other.device_id, "ack"), END)

        assert [payload for _, payload in neighbour.until(END)] == [b"%d" % n for n in range(10)]
    assert device.heard.empty()


def test_the_broker_keeps_nothing_that_a_device_says(broker: Broker, mine: IssuedDevice, controller: Ears):
    kept = topics.up(mine.device_id, "hello")
    with connected(broker.device_client(mine), broker.connect_device) as device:
        device.client.publish(kept, b"kept", 0, retain=True)
        assert device.disconnected.get(timeout=10) == "Retain not supported"
        assert device.connected.get(timeout=10) == "Success", "it may come back and say it properly"

    with connected(broker.controller_client(), broker.connect_controller) as later:
        later.subscribe("af/v1/#")
        controller.publish("af/v1/end", END)
        assert later.until(END) == []


@pytest.mark.parametrize(("whose", "delivered"), [("mine", True), ("other", False)])
def test_a_last_will_is_delivered_only_under_its_own_topic(  # noqa: PLR0917  # fixtures
    broker: Broker, mine: IssuedDevice, other: IssuedDevice, controller: Ears, whose: str, delivered: bool
):
    topic = topics.up({"mine": mine, "other": other}[whose].device_id, "gone")
    dying = broker.device_client(mine)
    dying.will_set(topic, b"will", 1)
    with connected(dying, broker.connect_device):
        pass_away(dying)

        # Its place is taken over, so by now the broker has dealt with the will.
        with connected(broker.device_client(mine), broker.connect_device) as next_life:
            next_life.publish(topics.up(mine.device_id, "beat"), END)
            assert ((topic, b"will") in controller.until(END)) is delivered


def pass_away(client: Client) -> None:
    """Break the connection without a goodbye."""
    client.loop_stop()
    sock = client.socket()
    assert sock is not None
    sock.close()


def test_a_device_cannot_take_the_place_of_the_controller(broker: Broker, mine: IssuedDevice):
    with connected(broker.controller_client("controller"), broker.connect_controller) as controller:
        with connected(broker.device_client(mine, client_id="controller"), broker.connect_device) as device:
            assert device.publish(topics.up(mine.device_id, "beat"), END) == UNHEARD

        assert controller.disconnected.empty()


def test_a_password_is_no_use_at_the_devices_listener(broker: Broker):
    stranger = broker.device_client(None)
    stranger.username_pw_set(brokers.CONTROLLER, brokers.controller_password(broker.home))

    assert outcome_of_connecting(broker, stranger) == "refused"


@pytest.mark.parametrize(("user", "password"), [("svc-controller", "wrong"), ("somebody", "x"), (None, None)])
def test_the_local_socket_wants_the_password(broker: Broker, user: str | None, password: str | None):
    client = Client(CallbackAPIVersion.VERSION2, client_id="c", protocol=MQTTv5, transport="unix")
    if user is not None:
        client.username_pw_set(user, password)
    ears = Ears(client)

    broker.connect_controller(client)
    client.loop_start()
    try:
        assert ears.connected.get(timeout=10) == REFUSED
    finally:
        client.disconnect()
        client.loop_stop()
        close_for_good(client)


# -- who may connect at all ------------------------------------------------------------------------------------------


def test_nobody_connects_without_a_certificate(broker: Broker):
    assert outcome_of_connecting(broker, None) == "refused"


def test_a_certificate_of_another_authority_is_refused(broker: Broker):
    device_id = new_device_id()
    key = certificates.new_key()
    with broker_home() as elsewhere:
        issued = authority.ensure(elsewhere).issue_device(key.public_key(), device_id, datetime.now(UTC))
    foreign = broker.write_device(device_id, certificates.key_pem(key), issued.chain, issued.serial)

    assert outcome_of_connecting(broker, foreign) == "refused"


def test_a_certificate_that_has_ended_is_refused(broker: Broker):
    past = datetime.now(UTC) - timedelta(minutes=30)

    ended = broker.issue_device(now=past, lifetime=timedelta(minutes=10))

    assert outcome_of_connecting(broker, ended) == "refused"


def test_a_revoked_certificate_is_refused_after_a_restart_too():
    with running_broker() as broker:
        device, good = broker.issue_device(), broker.issue_device()
        broker.authority.publish_crl({device.serial: datetime.now(UTC)}, datetime.now(UTC))

        broker.restart()

        assert outcome_of_connecting(broker, device) == "refused"
        assert outcome_of_connecting(broker, good) == "Success"


def test_the_services_own_certificate_opens_nothing(broker: Broker):
    certificate, key = authority.service_files(broker.home)
    posing = broker.write_device("svc", key.read_bytes(), certificate.read_bytes(), 1)

    assert outcome_of_connecting(broker, posing) == "refused"


def test_a_name_that_is_no_devices_is_never_certified(broker: Broker):
    key = certificates.new_key().public_key()
    for name in (
        "svc-controller",
        "svc-kicker",
        "d-x",
        "dev1/up",
        "+",
        "#",
        "",
        "D-" + "a" * 26,
        "d-" + "a" * 26 + "\n",
    ):
        with pytest.raises(ValueError, match="not the name of a device"):
            broker.authority.issue_device(key, name, datetime.now(UTC))


def test_the_subject_of_a_request_is_ignored(broker: Broker):
    key = certificates.new_key()
    wanted = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc-controller")])
    request = x509.CertificateSigningRequestBuilder().subject_name(wanted).sign(key, hashes.SHA256())
    device_id = new_device_id()

    issued = broker.authority.issue_device(request.public_key(), device_id, datetime.now(UTC))  # type: ignore[arg-type]

    leaf = x509.load_pem_x509_certificates(issued.chain)[0]
    assert leaf.subject.rfc4514_string() == f"CN={device_id}"
