"""Keys of a session, the sealed frames that they protect, and the key set that the root signed.

This is the one module of the protocol that needs `cryptography`; the resident agent never imports it.

The relay's side makes an ephemeral X25519 key for each envelope; with the device's own it gives a secret that nobody
between the two has, from which come two ChaCha20-Poly1305 keys, one a direction.  Frames are numbered from 1 in each
direction and the number is the nonce, so none is used twice; number 0 of the way down seals an envelope's arguments.
"""

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from annexfleet_agent.protocol.envelope import (
    KEY_BYTES,
    KEY_SET_PURPOSE,
    SESSION_PURPOSE,
    KeySet,
    Malformed,
    Signed,
    parse,
)


class SealBroken(ValueError):
    """Bytes that were not sealed by who holds the other key, or not for this place."""


class KeySetWrong(ValueError):
    """A key set that the root did not sign, that cannot be read, or that is not newer than the one in force."""


class SessionKeys(Struct, frozen=True):
    """Both 32 bytes."""

    down: bytes
    up: bytes


def session_keys(own: X25519PrivateKey, other: bytes, *, session: str, device_id: str, ephemeral: bytes) -> SessionKeys:
    """What both sides derive: the relay from the ephemeral key and the device's public one, the device the other way.

    Raises SealBroken for a public key that gives no secret (a point of small order).
    """
    try:
        secret = own.exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise SealBroken("a key that gives no secret") from None
    info = b"\0".join((SESSION_PURPOSE, session.encode(), device_id.encode(), ephemeral))
    both = HKDF(algorithm=SHA256(), length=2 * KEY_BYTES, salt=None, info=info).derive(secret)
    return SessionKeys(both[:KEY_BYTES], both[KEY_BYTES:])


class Seal:
    """One direction: seals, or opens, what bears a number."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def close(self, number: int, plain: bytes, context: bytes) -> bytes:
        """Sealed bytes, 16 longer than `plain`.  A number must never be used for two different texts."""
        return self._cipher.encrypt(_nonce(number), plain, context)

    def open(self, number: int, sealed: bytes, context: bytes) -> bytes:
        """What was sealed under this number and context.  Raises SealBroken."""
        try:
            return self._cipher.decrypt(_nonce(number), sealed, context)
        except InvalidTag:
            raise SealBroken("not sealed by the other side") from None


def root_key(pem: str) -> ec.EllipticCurvePublicKey:
    """The root's key, out of its certificate.  Raises KeySetWrong."""
    from cryptography import x509  # noqa: PLC0415  # 50 ms, and a runner that starts knows the key already

    try:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    except ValueError as error:
        raise KeySetWrong(f"the root cannot be read: {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeySetWrong("the root has a key of another kind")
    return key


def verified_keys(root: str, signed: Signed) -> KeySet:
    """The key set, if this root (PEM) signed it.  Raises KeySetWrong."""
    return keys_signed_by(root_key(root), signed)


def key_at(point: bytes) -> ec.EllipticCurvePublicKey:
    """The key that `point_of` was told.  Raises KeySetWrong."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise KeySetWrong("the root's key cannot be read") from None


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """A key as `key_at` reads it; empty if it lies on another curve than ours."""
    if not isinstance(key.curve, ec.SECP256R1):
        return b""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415  # as above

    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def keys_signed_by(key: ec.EllipticCurvePublicKey, signed: Signed) -> KeySet:
    """The key set, if the root with this key signed it.  Raises KeySetWrong."""
    try:
        key.verify(signed.proof, KEY_SET_PURPOSE + signed.body, ec.ECDSA(SHA256()))
        keys = parse(signed.body, KeySet)
    except InvalidSignature:
        raise KeySetWrong("the root did not sign it") from None
    except Malformed as error:
        raise KeySetWrong(str(error)) from None
    if any(len(one.public) != KEY_BYTES for one in keys.keys) or len({one.id for one in keys.keys}) < len(keys.keys):
        raise KeySetWrong("it names a key twice, or one that is none")
    return keys


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")
