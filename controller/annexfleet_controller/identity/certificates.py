"""How each kind of certificate looks.  Keys are P-256; a beginning lies an hour back, for clocks that differ a little.

The authority has two branches under one root: the device branch may sign clients only and the service branch servers
only, so that no device can pose as the broker and no service as a device.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

AUTHORITY_LIFETIME = timedelta(days=3650)
"""Of the root and of both branches: changing a branch without a visit comes with the rest of the life cycle."""
SERVICE_LIFETIME = timedelta(days=397)
DEVICE_LIFETIME = timedelta(days=45)
BACKDATED = timedelta(hours=1)


def new_key() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def new_serial() -> int:
    """Random, of 128 bits with the highest one set: never zero, always as long."""
    return secrets.randbits(127) | 1 << 127


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(*certificates: x509.Certificate) -> bytes:
    """A chain in the order given."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_digest(key: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def public_key(certificate: x509.Certificate) -> PublicKey:
    key = certificate.public_key()
    assert isinstance(key, PublicKey), "this authority certifies elliptic curves only"
    return key


def root(key: PrivateKey, name: str, now: datetime) -> x509.Certificate:
    subject = _common_name(name)
    draft = _draft(subject, subject, key.public_key(), new_serial(), (now, now + AUTHORITY_LIFETIME))
    draft = _as_authority(draft, path_length=1)
    return draft.sign(key, hashes.SHA256())


def branch(
    key: PrivateKey, name: str, now: datetime, *, of: x509.Certificate, signed_with: PrivateKey, devices: bool
) -> x509.Certificate:
    """An authority below the root that may certify clients (devices) or servers, never both."""
    usage = ExtendedKeyUsageOID.CLIENT_AUTH if devices else ExtendedKeyUsageOID.SERVER_AUTH
    draft = _draft(_common_name(name), of.subject, key.public_key(), new_serial(), (now, of.not_valid_after_utc))
    draft = _as_authority(draft, path_length=0)
    draft = draft.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    draft = draft.add_extension(_issued_by(of), critical=False)
    return draft.sign(signed_with, hashes.SHA256())


def service(
    key: PrivateKey, names: Sequence[x509.GeneralName], now: datetime, *, of: x509.Certificate, signed_with: PrivateKey
) -> x509.Certificate:
    """For the broker and the enrolment listener, under these host names and addresses."""
    ends = min(now + SERVICE_LIFETIME, of.not_valid_after_utc)
    draft = _draft(_common_name("annexfleet service"), of.subject, key.public_key(), new_serial(), (now, ends))
    draft = _as_leaf(draft, of, ExtendedKeyUsageOID.SERVER_AUTH)
    draft = draft.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return draft.sign(signed_with, hashes.SHA256())


def device(
    key: PublicKey,
    device_id: str,
    now: datetime,
    *,
    serial: int,
    of: x509.Certificate,
    signed_with: PrivateKey,
    lifetime: timedelta = DEVICE_LIFETIME,
) -> x509.Certificate:
    """A device's own.  Everything in it was chosen here; nothing is taken over from the request but the key."""
    ends = min(now + lifetime, of.not_valid_after_utc)
    draft = _draft(_common_name(device_id), of.subject, key, serial, (now, ends))
    draft = _as_leaf(draft, of, ExtendedKeyUsageOID.CLIENT_AUTH)
    uri = x509.UniformResourceIdentifier(f"urn:annexfleet:device:{device_id}")
    draft = draft.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    return draft.sign(signed_with, hashes.SHA256())


def general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """Addresses as addresses, the rest as DNS names.  Raises ValueError for what can be neither."""
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name.encode("idna").decode("ascii")))
    return result


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, serial: int, valid: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before((valid[0] - BACKDATED).replace(microsecond=0))
        .not_valid_after(valid[1].replace(microsecond=0))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _as_authority(draft: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return draft.add_extension(_key_usage(authority=True), critical=True)


def _as_leaf(
    draft: x509.CertificateBuilder, of: x509.Certificate, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    draft = draft.add_extension(_key_usage(authority=False), critical=True)
    draft = draft.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return draft.add_extension(_issued_by(of), critical=False)


def _issued_by(of: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key(of))


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
