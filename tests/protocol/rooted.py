"""A root of a test's own, and key sets that it signs."""

from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from annexfleet_agent.protocol.envelope import KEY_SET_PURPOSE, Key, KeySet, Signed


class Root:
    hash = hashes.SHA256()

    def __init__(self, *, ed25519: bool = False) -> None:
        self.key = Ed25519PrivateKey.generate() if ed25519 else ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a root")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
            .sign(self.key, None if ed25519 else self.hash)
        )
        self.pem = certificate.public_bytes(Encoding.PEM).decode()

    def signed(self, keys: KeySet, *, purpose: bytes = KEY_SET_PURPOSE) -> Signed:
        body = msgspec.json.encode(keys)
        return Signed(body=body, proof=self.key.sign(purpose + body, ec.ECDSA(self.hash)))


def key_set(version: int = 1, *, ids: list[str] | None = None, public: bytes = b"p" * 32) -> KeySet:
    """Keys of which nobody has the private half; nothing is checked."""
    named = ["01234567"] if ids is None else ids
    return KeySet(version=version, keys=[Key(id=one, public=public, classes=["run", "command"]) for one in named])
