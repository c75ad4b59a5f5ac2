"""The runner's key, as devices tell it when they enrol and renew; on both databases."""

from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Engine, select
from tests.controller.identity.test_enrolment import (  # noqa: F401  # fixtures among them
    SETTINGS,
    START,
    Enrolled,
    fleet,
    new_token,
    ours,
    refusal,
    renewal_refusal,
    signed,
)

from annexfleet_agent.protocol import enrolment as wire
from annexfleet_agent.protocol.envelope import Signed
from annexfleet_controller.identity import authority, certificates, enrolment
from annexfleet_controller.store.database import reading
from annexfleet_controller.store.tables.devices import Device

KEYS = Signed(body=b"a key set", proof=b"its proof")
ONE, OTHER = (X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2))


def kept(engine: Engine) -> bytes | None:
    with reading(engine) as db:
        return db.scalars(select(Device.exchange_key)).one()


def enrolled(engine: Engine, ours: authority.Authority, request: wire.Signed) -> wire.Enrolled:  # noqa: F811
    return enrolment.enrol(engine, ours, SETTINGS, request, START, command_keys=KEYS)


def renewed(engine: Engine, ours: authority.Authority, device: Enrolled, exchange_key: bytes) -> wire.Enrolled:  # noqa: F811
    request = renewal(ours, device, exchange_key)
    return enrolment.renew(engine, ours, SETTINGS, request, START + timedelta(minutes=1), command_keys=KEYS)


def renewal(ours: authority.Authority, device: Enrolled, exchange_key: bytes) -> wire.Signed:  # noqa: F811
    plain = msgspec.json.decode(device.renewal(ours).body, type=wire.RenewRequest)
    body = msgspec.json.encode(msgspec.structs.replace(plain, exchange_key=exchange_key))
    return wire.Signed(body=body, proof=device.key.sign(wire.RENEW_PURPOSE + body, ec.ECDSA(hashes.SHA256())))


def test_a_key_told_at_enrolment_is_kept_and_answered_with_the_command_keys(fleet, ours):  # noqa: F811
    answer = enrolled(fleet, ours, signed(new_token(fleet, ours), ours, exchange_key=ONE))

    assert (kept(fleet), answer.command_keys) == (ONE, KEYS)


def test_an_older_agent_enrols_and_renews_as_before(fleet, ours):  # noqa: F811
    device = Enrolled(fleet, ours)

    answer = renewed(fleet, ours, device, b"")

    assert (device.answer.command_keys, answer.command_keys, kept(fleet)) == (None, None, None)


def test_a_renewal_brings_a_key_and_replaces_it(fleet, ours, caplog):  # noqa: F811
    device = Enrolled(fleet, ours)

    first = renewed(fleet, ours, device, ONE)
    assert (kept(fleet), first.command_keys) == (ONE, KEYS)
    renewed(fleet, ours, device, OTHER)

    assert kept(fleet) == OTHER
    assert f"exchange key taken device={device.answer.device_id} key={OTHER.hex()[:16]}" in caplog.text
    renewed(fleet, ours, device, b"")
    assert kept(fleet) == OTHER


def test_a_request_that_is_sent_again_changes_no_key(fleet, ours):  # noqa: F811
    """Who can copy a request and holds the token gets no commands sealed to a key of his own."""
    token, key = new_token(fleet, ours), certificates.new_key()
    enrolled(fleet, ours, signed(token, ours, key=key, exchange_key=ONE))

    same = enrolled(fleet, ours, signed(token, ours, key=key, exchange_key=ONE))
    changed = enrolled(fleet, ours, signed(token, ours, key=key, exchange_key=OTHER))

    assert kept(fleet) == ONE
    assert (same.command_keys, changed.command_keys) == (KEYS, None)


@pytest.mark.parametrize("key", [b"short", bytes(32), b"\1" + bytes(31)])
def test_a_key_with_which_no_secret_is_kept_is_refused(fleet, ours, key: bytes):  # noqa: F811
    assert refusal(fleet, ours, signed(new_token(fleet, ours), ours, exchange_key=key)) == "exchange_key_wrong"
    assert renewal_refusal(fleet, ours, renewal(ours, Enrolled(fleet, ours), key)) == "exchange_key_wrong"


def test_a_longer_key_is_no_request(fleet, ours):  # noqa: F811
    assert refusal(fleet, ours, signed(new_token(fleet, ours), ours, exchange_key=b"x" * 33)) == "malformed"


def test_the_key_is_part_of_what_the_proof_covers(fleet, ours):  # noqa: F811
    request = signed(new_token(fleet, ours), ours, exchange_key=ONE)
    plain = msgspec.json.decode(request.body, type=wire.EnrolRequest)
    forged = msgspec.json.encode(msgspec.structs.replace(plain, exchange_key=OTHER))

    assert refusal(fleet, ours, wire.Signed(body=forged, proof=request.proof)) == "proof_wrong"
