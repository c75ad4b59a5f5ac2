"""A controller's root and command keys, and devices that trust them, made for the test."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from annexfleet_agent.protocol.envelope import (
    ACTION_CLASSES,
    ENVELOPE_PURPOSE,
    KEY_SET_PURPOSE,
    Arguments,
    Delivery,
    Envelope,
    Key,
    KeySet,
    Signed,
    pack,
)
from annexfleet_agent.protocol.sealing import Seal, session_keys
from annexfleet_agent.runner import keys

DEVICE = "d-" + "a" * 26
NOW = 1_780_000_000.0


class Signer:
    """One command key."""

    def __init__(self, classes=ACTION_CLASSES):
        self.private = Ed25519PrivateKey.generate()
        self.public = self.private.public_key().public_bytes_raw()
        self.id = hashlib.sha256(self.public).hexdigest()[:8]
        self.key = Key(id=self.id, public=self.public, classes=list(classes))

    def sign(self, body):
        return Signed(body=body, proof=self.private.sign(ENVELOPE_PURPOSE + body))


class Root:
    """The one that devices trust."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(Encoding.PEM).decode()

    def key_set(self, version, *signers):
        body = msgspec.json.encode(KeySet(version=version, keys=[signer.key for signer in signers]))
        return Signed(body=body, proof=self.key.sign(KEY_SET_PURPOSE + body, ec.ECDSA(hashes.SHA256())))


class Enrolled:
    """A device whose runner trusts this root; `directory` is the runner's."""

    def __init__(self, directory, *, device_id=DEVICE):
        self.directory = directory
        self.device_id = device_id
        self.root = Root()
        self.signer = Signer()
        self.public = keys.ensure(directory)
        keys.remember(directory, device_id=device_id, root=self.root.pem, signed=self.root.key_set(1, self.signer))
        self.sequence = 0

    def next_sequence(self):
        self.sequence += 1
        return self.sequence


class Made:
    """An envelope as the controller's signer makes it; whatever a test wants otherwise is given."""

    def __init__(self, device, asked, /, *, signer=None, arguments=None, keys_=None, public=None, **other):
        """`asked` is what the device answered to a knock."""
        signer = signer or device.signer
        ephemeral = X25519PrivateKey.generate()
        ephemeral_public = ephemeral.public_key().public_bytes_raw()
        session = other.get("session", asked.session)
        device_id = other.get("device_id", device.device_id)
        self.keys = session_keys(
            ephemeral, public or device.public, session=session, device_id=device_id, ephemeral=ephemeral_public
        )
        arguments = arguments or Arguments()
        fields = {
            "version": 1,
            "key_id": signer.id,
            "device_id": device_id,
            "action": "run",
            "command_id": "run-1",
            "session": session,
            "boot_id": asked.boot_id,
            "challenge": asked.challenge,
            "issued_at": NOW,
            "expires_at": NOW + 60,
            "ephemeral_key": ephemeral_public,
            "sealed": Seal(self.keys.down).close(0, msgspec.json.encode(arguments), session.encode()),
        } | other
        if "sequence" not in fields:
            fields["sequence"] = device.next_sequence()
        self.body = msgspec.json.encode(Envelope(**fields))
        self.session = session
        self.delivery = Delivery(envelope=signer.sign(self.body), keys=keys_)
        self.packet = pack(self.delivery)
