"""Packets between relay and runner: what is none is refused, and nothing but what was signed is ever believed."""

import random

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.protocol import envelope as wire
from annexfleet_agent.protocol.envelope import (
    Challenge,
    Delivery,
    Envelope,
    Knock,
    Malformed,
    Refusal,
    Signed,
    pack,
    parse,
    unpack,
)

SESSION = "0011223344556677"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
ENVELOPE = Envelope(
    version=1, key_id="01234567", device_id="d-" + "a" * 26, action="run", command_id="run-12", session=SESSION,
    sequence=1_800_000_000_000, boot_id="0123456789ab", challenge="ab" * 16, issued_at=1_800_000_000.0,
    expires_at=1_800_000_060.0, bundle_digest="cd" * 32, ephemeral_key=b"e" * 32, sealed=b"s" * 120,
)  # fmt: skip


def delivered(envelope: Envelope = ENVELOPE) -> bytes:
    body = msgspec.json.encode(envelope)
    return pack(Delivery(envelope=Signed(body=body, proof=KEY.sign(wire.ENVELOPE_PURPOSE + body))))


def believed(packet: bytes) -> Envelope | None:
    """What a runner would take for signed; None if nothing."""
    try:
        delivery = unpack(packet)
        if not isinstance(delivery, Delivery):
            return None
        KEY.public_key().verify(delivery.envelope.proof, wire.ENVELOPE_PURPOSE + delivery.envelope.body)
        return parse(delivery.envelope.body, Envelope)
    except (Malformed, InvalidSignature):
        return None


PACKETS = [
    Knock(session=SESSION, channel="abc123"),
    Challenge(session=SESSION, challenge="ab" * 16, boot_id="b", keys_version=3, exchange_key="cd" * 32, busy=True),
    unpack(delivered()),
    Refusal(session=SESSION, reason="replayed"),
]


@pytest.mark.parametrize("body", PACKETS, ids=lambda body: type(body).__name__)
def test_what_is_packed_comes_out_again(body: wire.Body):
    assert unpack(pack(body)) == body


def test_an_envelope_is_believed_as_it_was_signed():
    assert believed(delivered()) == ENVELOPE


def test_no_bit_of_an_envelope_can_be_turned():
    """A packet may spell the same in other words (base64 has bits that mean nothing); it never says anything else."""
    packet = delivered()
    same = 0
    for bit in range(8 * len(packet)):
        spoiled = bytearray(packet)
        spoiled[bit // 8] ^= 1 << bit % 8
        found = believed(bytes(spoiled))
        assert found in (None, ENVELOPE)
        same += found is not None

    assert same < 100


def test_ten_thousand_spoiled_envelopes_say_nothing_else():
    packet = delivered()
    rng = random.Random(5)
    for _ in range(10_000):
        spoiled = bytearray(packet)
        for _ in range(rng.randint(1, 4)):
            act, at = rng.randrange(4), rng.randrange(len(spoiled))
            if act == 0:
                spoiled[at] = rng.randrange(256)
            elif act == 1:
                del spoiled[at : at + rng.randint(1, 40)]
            elif act == 2:
                spoiled[at:at] = rng.randbytes(rng.randint(1, 10))
            else:
                spoiled[at:at] = spoiled[at : at + rng.randint(1, 40)]
            spoiled = spoiled or bytearray(b"E")
        assert believed(bytes(spoiled)) in (None, ENVELOPE)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"key_id": "0123"}, {"key_id": "01234567\n"}, {"session": SESSION + "\n"}, {"session": "x"},
        {"sequence": 0}, {"sequence": 2**53 + 1}, {"challenge": "ab" * 15}, {"command_id": ""},
        {"command_id": "c" * 65}, {"device_id": "d" * 65}, {"issued_at": -1.0}, {"expires_at": 1e11},
    ],
)  # fmt: skip
def test_an_envelope_with_a_field_that_cannot_be_is_none_even_if_it_is_signed(change: dict):
    assert believed(delivered(msgspec.structs.replace(ENVELOPE, **change))) is None


@pytest.mark.parametrize("channel", ["", "a" * 33, "A", "a/b", "+", "#", "a\n", "é"])
def test_a_channel_is_one_level_of_a_topic(channel: str):
    with pytest.raises(Malformed):
        unpack(pack(Knock(session=SESSION, channel=channel)))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed(noise: bytes):
    for kind in (b"K", b"C", b"E", b"R", b""):
        with pytest.raises(Malformed):
            unpack(kind + noise)


@pytest.mark.parametrize(
    "packet", [b"", b"F", b"X{}", b"K" + b"[" * 30_000, b"K" + b" " * wire.MAX_ENVELOPE_BYTES, b"K{}", b"Knull"]
)
def test_what_is_no_packet_is_malformed(packet: bytes):
    with pytest.raises(Malformed):
        unpack(packet)


def test_fields_of_a_newer_version_are_no_obstacle():
    packet = pack(Knock(session=SESSION, channel="abc"))

    assert unpack(packet[:-1] + b',"color":"red"}') == Knock(session=SESSION, channel="abc")


def test_the_longest_validity_is_longer_than_a_challenge_lives():
    assert wire.CHALLENGE_LIFETIME_S <= wire.LONGEST_VALIDITY_S
    assert set(wire.REFUSAL_REASONS) >= wire.HARMLESS
