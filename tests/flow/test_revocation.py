"""A revoked device is out: at once, and for good."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine
from tests.flow.broker import Broker, IssuedDevice
from tests.flow.enrolling import ANNEX, new_annex
from tests.flow.talking import connected, outcome_of_connecting

from annexfleet_agent.protocol import topics
from annexfleet_controller.clock import SYSTEM
from annexfleet_controller.errors import DeviceUnknown
from annexfleet_controller.identity import broker as brokers
from annexfleet_controller.identity import revocation
from annexfleet_controller.identity import revoked as lists
from annexfleet_controller.settings import Home
from annexfleet_controller.store import certificates, devices
from annexfleet_controller.store.database import writing
from annexfleet_controller.store.tables.devices import Device


@pytest.fixture
def fleet(broker: Broker, sqlite_engine: Engine) -> tuple[IssuedDevice, IssuedDevice]:
    """Two devices that the database knows."""
    new_annex(sqlite_engine)
    pair = broker.issue_device(), broker.issue_device()
    now = SYSTEM.now()
    with writing(sqlite_engine) as db:
        for device in pair:
            row = devices.insert(
                db, Device(id=device.device_id, annex_id=ANNEX, name="one", role="counter", enrolled_at=now)
            )
            certificates.insert(
                db,
                serial=device.serial,
                device_number=row.number,
                public_key_digest=device.device_id,
                issued_at=now,
                expires_at=now + timedelta(days=45),
            )
    return pair


def test_a_revoked_device_is_kicked_and_does_not_come_back(
    broker: Broker, sqlite_engine: Engine, fleet: tuple[IssuedDevice, IssuedDevice]
):
    revoked, good = fleet
    with (
        connected(broker.device_client(revoked), broker.connect_device) as victim,
        connected(broker.device_client(good), broker.connect_device) as neighbour,
    ):
        victim.client.reconnect_delay_set(600, 600)

        revocation.revoke(broker.home, revoked.device_id, engine=sqlite_engine)

        victim.disconnected.get(timeout=10)
        assert neighbour.publish(topics.up(good.device_id, "beat"), b"{}") == "No matching subscribers"
        assert neighbour.disconnected.empty()
    assert outcome_of_connecting(broker, revoked) == "refused"
    assert outcome_of_connecting(broker, good) == "Success"


def test_it_stays_out_after_the_broker_was_killed(
    broker: Broker, sqlite_engine: Engine, fleet: tuple[IssuedDevice, IssuedDevice]
):
    revoked, good = fleet
    revocation.revoke(broker.home, revoked.device_id, engine=sqlite_engine)

    broker.kill()
    broker.start()

    assert outcome_of_connecting(broker, revoked) == "refused"
    assert outcome_of_connecting(broker, good) == "Success"


def test_it_is_revoked_while_the_broker_is_down_too(
    broker: Broker, sqlite_engine: Engine, fleet: tuple[IssuedDevice, IssuedDevice]
):
    revoked, _ = fleet
    broker.stop()

    revocation.revoke(broker.home, revoked.device_id, engine=sqlite_engine)

    broker.start()
    assert outcome_of_connecting(broker, revoked) == "refused"


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_spoiled_list_is_made_anew_from_the_database(
    broker: Broker, sqlite_engine: Engine, fleet: tuple[IssuedDevice, IssuedDevice], content: bytes | None
):
    revoked, good = fleet
    revocation.revoke(broker.home, revoked.device_id, engine=sqlite_engine)
    broker.stop()
    broker.authority.crl_path.unlink()
    if content is not None:
        broker.authority.crl_path.write_bytes(content)

    brokers.write(broker.home, engine=sqlite_engine)

    broker.start()
    assert outcome_of_connecting(broker, revoked) == "refused"
    assert outcome_of_connecting(broker, good) == "Success"


def test_the_canary_tells_whether_the_newest_list_is_in_force(broker: Broker, sqlite_engine: Engine):
    at_start = revocation.is_heeded(broker.home)
    lists.publish(broker.home, sqlite_engine, SYSTEM.now())
    brokers.install_certificates(broker.home)

    not_yet_told = revocation.is_heeded(broker.home, within_s=0)
    brokers.reload(broker.home)
    told = revocation.is_heeded(broker.home)

    assert (at_start, not_yet_told, told) == (True, False, True)


def test_a_broker_that_fails_open_is_noticed(
    broker: Broker, sqlite_engine: Engine, fleet: tuple[IssuedDevice, IssuedDevice], monkeypatch: pytest.MonkeyPatch
):
    revoked, _ = fleet

    def spoiled_before(home: Home) -> bool:
        (brokers.directory(home) / "device.crl").write_bytes(b"")
        return reload(home)

    reload = brokers.reload
    monkeypatch.setattr(brokers, "reload", spoiled_before)
    monkeypatch.setattr(revocation, "_HEEDED_WITHIN_S", 0.5)
    with connected(broker.device_client(revoked), broker.connect_device) as victim:
        victim.client.reconnect_delay_set(600, 600)

        with pytest.raises(revocation.NotHeeded):
            revocation.revoke(broker.home, revoked.device_id, engine=sqlite_engine)

        victim.disconnected.get(timeout=10)


def test_a_device_that_nobody_knows(broker: Broker, sqlite_engine: Engine):
    with pytest.raises(DeviceUnknown):
        revocation.revoke(broker.home, "d-" + "a" * 26, engine=sqlite_engine)


def test_the_kicker_may_neither_say_nor_hear_anything(broker: Broker, fleet: tuple[IssuedDevice, IssuedDevice]):
    device, _ = fleet
    kicker = broker.controller_client("kicker")
    kicker.username_pw_set(brokers.KICKER, brokers.kicker_password(broker.home))
    with (
        connected(kicker, broker.connect_controller) as ears,
        connected(broker.controller_client(), broker.connect_controller) as controller,
    ):
        ears.subscribe("#")
        controller.publish(topics.down(device.device_id, "ack"), b"secret")

        assert ears.publish(topics.up(device.device_id, "beat"), b"forged") == "Not authorized"

        assert ears.heard.empty()
