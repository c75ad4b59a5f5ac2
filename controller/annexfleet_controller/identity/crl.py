"""The list of revoked device certificates, as the broker reads it.

mosquitto fails open on a list that it cannot read, and refuses the whole fleet when the list is out of date.  So no
list reaches the broker that was not read back and checked here, its number never goes back (not even when an older
database is restored), and it is renewed long before it ends.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity.certificates import BACKDATED, PrivateKey, public_key

LIFETIME = timedelta(days=30)
RENEW_BELOW = timedelta(days=29)
"""Daily, so that 29 days are left for somebody to notice that it no longer happens."""
LEAST_LEFT = timedelta(days=20)
"""A list that ends sooner is not given to the broker."""


class CrlWrong(AnnexfleetError):
    code = "crl_wrong"


def build(
    revoked: Mapping[int, datetime], number: int, now: datetime, *, of: x509.Certificate, signed_with: PrivateKey
) -> bytes:
    """The list as PEM.  `revoked` tells since when, by serial number."""
    draft = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(of.subject)
        .last_update((now - BACKDATED).replace(microsecond=0))
        .next_update((now + LIFETIME).replace(microsecond=0))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key(of)), critical=False)
    )
    for serial, since in sorted(revoked.items()):
        row = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since.replace(microsecond=0))
        draft = draft.add_revoked_certificate(row.build())
    return draft.sign(signed_with, hashes.SHA256()).public_bytes(Encoding.PEM)


def check(content: bytes, now: datetime, *, of: x509.Certificate) -> x509.CertificateRevocationList:
    """Read a list back.  Raises CrlWrong unless it is whole, signed by this authority and good for 20 days more."""
    try:
        crl = x509.load_pem_x509_crl(content)
        signed = crl.is_signature_valid(public_key(of))
    except ValueError as error:
        raise CrlWrong(f"the list of revoked certificates cannot be read: {error}") from error
    if not signed:
        raise CrlWrong("the list of revoked certificates was not signed by this authority")
    ends = crl.next_update_utc
    if ends is None or ends < now + LEAST_LEFT:
        raise CrlWrong(f"the list of revoked certificates is out of date: it ends {ends}")
    return crl


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
