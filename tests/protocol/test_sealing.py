"""Only the two sides of a session open what they sealed, each thing in its place."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.rooted import Root, key_set

from annexfleet_agent.protocol.envelope import KEY_SET_PURPOSE, Signed
from annexfleet_agent.protocol.sealing import KeySetWrong, Seal, SealBroken, session_keys, verified_keys

SESSION = "0011223344556677"
DEVICE = "d-" + "a" * 26
SMALL_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def agreed(session: str = SESSION, device_id: str = DEVICE):
    device, ephemeral = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    made = ephemeral.public_key().public_bytes_raw()
    one = session_keys(
        ephemeral, device.public_key().public_bytes_raw(), session=session, device_id=device_id, ephemeral=made
    )
    other = session_keys(device, made, session=session, device_id=device_id, ephemeral=made)
    return one, other


def test_both_sides_have_the_same_keys_one_for_each_direction():
    one, other = agreed()

    assert one == other
    assert one.down != one.up
    assert (len(one.down), len(one.up)) == (32, 32)


@pytest.mark.parametrize("change", [{"session": "0" * 16}, {"device_id": "d-" + "b" * 26}, {"ephemeral": b"x" * 32}])
def test_keys_are_of_one_session_one_device_and_one_envelope(change: dict):
    own, other = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key().public_bytes_raw()
    what = {"session": SESSION, "device_id": DEVICE, "ephemeral": b"e" * 32}

    assert session_keys(own, other, **what) != session_keys(own, other, **(what | change))


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_a_key_with_which_everybody_knows_the_secret_is_none(point: bytes):
    with pytest.raises(SealBroken):
        session_keys(X25519PrivateKey.generate(), point, session=SESSION, device_id=DEVICE, ephemeral=point)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_key_break_the_seal_and_nothing_else(other: bytes):
    try:
        session_keys(X25519PrivateKey.generate(), other, session=SESSION, device_id=DEVICE, ephemeral=b"")
    except SealBroken:
        return
    assert len(other) == 32


def test_every_bit_counts_of_what_is_sealed_its_context_its_number_and_the_key():
    plain, context = b"what nobody else may read", b"context"
    sealed = Seal(b"k" * 32).close(5, plain, context)
    assert Seal(b"k" * 32).open(5, sealed, context) == plain

    def flipped(content: bytes):
        for bit in range(8 * len(content)):
            spoiled = bytearray(content)
            spoiled[bit // 8] ^= 1 << bit % 8
            yield bytes(spoiled)

    tries = [
        *(lambda bad=bad: Seal(b"k" * 32).open(5, bad, context) for bad in flipped(sealed)),
        *(lambda bad=bad: Seal(b"k" * 32).open(5, sealed, bad) for bad in flipped(context)),
        *(lambda bad=bad: Seal(bad).open(5, sealed, context) for bad in flipped(b"k" * 32)),
        *(lambda bit=bit: Seal(b"k" * 32).open(5 ^ 1 << bit, sealed, context) for bit in range(64)),
    ]
    for open_ in tries:
        with pytest.raises(SealBroken):
            open_()


@given(st.binary(max_size=100), st.integers(0, 2**32))
def test_noise_is_not_opened(noise: bytes, number: int):
    with pytest.raises(SealBroken):
        Seal(b"k" * 32).open(number, noise, b"")


# -- the key set


def test_a_key_set_that_the_root_signed_is_taken():
    root = Root()
    keys = key_set(version=3)

    assert verified_keys(root.pem, root.signed(keys)) == keys


def test_every_bit_of_a_key_set_counts():
    root = Root()
    signed = root.signed(key_set())

    for field in ("body", "proof"):
        content = getattr(signed, field)
        for bit in range(8 * len(content)):
            spoiled = bytearray(content)
            spoiled[bit // 8] ^= 1 << bit % 8
            parts = {"body": signed.body, "proof": signed.proof} | {field: bytes(spoiled)}
            with pytest.raises(KeySetWrong):
                verified_keys(root.pem, Signed(**parts))


@pytest.mark.parametrize(
    "keys",
    [
        key_set(ids=["aaaaaaaa", "aaaaaaaa"]),
        key_set(public=b"short"),
        key_set(version=0),
        key_set(ids=[]),
        key_set(ids=[f"{number:08x}" for number in range(9)]),
        key_set(ids=["not hexa"]),
    ],
)
def test_a_key_set_that_cannot_be_is_not_taken_whoever_signed_it(keys):
    root = Root()

    with pytest.raises(KeySetWrong):
        verified_keys(root.pem, root.signed(keys))


def test_a_key_set_of_another_root_or_for_another_purpose_is_not_taken():
    root, other = Root(), Root()

    for signed in (other.signed(key_set()), root.signed(key_set(), purpose=b"annexfleet renew 1\n")):
        with pytest.raises(KeySetWrong, match="did not sign"):
            verified_keys(root.pem, signed)


@pytest.mark.parametrize("pem", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_root_that_cannot_be_read_signed_nothing(pem: str):
    with pytest.raises(KeySetWrong, match="cannot be read"):
        verified_keys(pem, Root().signed(key_set()))


def test_a_root_of_another_kind_signed_nothing():
    with pytest.raises(KeySetWrong, match="another kind"):
        verified_keys(Root(ed25519=True).pem, Root().signed(key_set()))


def test_the_purpose_is_the_one_that_is_written_down():
    root = Root()
    signed = root.signed(key_set(), purpose=KEY_SET_PURPOSE)

    root.key.public_key().verify(signed.proof, b"annexfleet command keys 1\n" + signed.body, ec.ECDSA(root.hash))
