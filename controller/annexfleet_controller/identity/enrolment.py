"""Who gets a certificate.  Deciders that are told everything, and two transactions: `enrol` and `renew`.

Approval is automatic in this version: whoever proves to hold a good token is let in, up to its count.

A request that was answered but whose answer was lost may be sent again: the same key gets the same certificate, and
takes no second place of the token.  A stolen request is no use to anybody else, as it certifies a key they do not hold.
"""

import hashlib
import hmac
import logging
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import envelope
from annexfleet_agent.protocol.enrolment import (
    ENROL_PURPOSE,
    RENEW_PURPOSE,
    Enrolled,
    EnrolRequest,
    RenewRequest,
    Signed,
)
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity.authority import Authority, Issued
from annexfleet_controller.identity.certificates import PublicKey, key_digest, public_key
from annexfleet_controller.identity.tokens import ROLES, random_base32
from annexfleet_controller.settings import Settings
from annexfleet_controller.store import certificates, devices, tokens
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Certificate, Device, Token

log = logging.getLogger(__name__)

NONCE_LIFETIME = timedelta(minutes=5)
RENEWAL_AFTER = timedelta(days=30)
RENEWAL_SPREAD = timedelta(days=3)
"""to either side"""
LATE_RENEWAL = timedelta(days=30)
"""How long after its end a certificate may still be replaced without anybody's leave."""

_REFUSALS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read."),
    "csr_wrong": (400, "The certificate request is not one for a P-256 key, signed with that key."),
    "exchange_key_wrong": (400, "The exchange key is no public key of X25519."),
    "nonce_expired": (400, "The nonce is not ours or is older than five minutes; ask for a new one."),
    "role_wrong": (400, f"The role must be one of {', '.join(ROLES)}."),
    "token_unknown": (403, "This controller knows no such token."),
    "proof_wrong": (403, "The proof was not made with this token's secret."),
    "token_locked": (403, "The token is locked after too many wrong proofs; ask for a new one."),
    "token_revoked": (403, "The token was withdrawn; ask for a new one."),
    "token_expired": (403, "The token has expired; ask for a new one."),
    "token_used_up": (403, "The token was used for as many devices as it was made for; ask for a new one."),
    "key_used": (409, "This key was certified before, for another purpose; make a new one."),
    "certificate_unknown": (403, "This authority did not issue that certificate."),
    "device_revoked": (403, "The device was revoked; it needs a new token and a new name."),
    "certificate_too_old": (403, "The certificate ended more than 30 days ago; enrol with a new token."),
    "clock_wrong": (503, "The controller's clock is wrong, so it signs nothing; tell the administrator."),
    "too_big": (413, "The request is too big."),
    "too_many_requests": (429, "Too many requests from this address; wait a minute."),
}


class Refused(AnnexfleetError):
    """An answer other than a certificate.  `code` is stable, `status` is HTTP's."""

    def __init__(self, code: str) -> None:
        self.status, sentence = _REFUSALS[code]
        super().__init__(sentence)
        self.code = code


class TokenState(NamedTuple):
    """What counts about a token."""

    used: int
    max_devices: int
    failed_proofs: int
    expires_at: datetime
    revoked_at: datetime | None


# -- deciding ---------------------------------------------------------------------------------------------------------


def token_refusal(token: TokenState, now: datetime) -> str | None:
    """Why a token lets nobody in, as a code; None if it does.  The order is that of what a person can do about it."""
    if token.failed_proofs >= tokens.MAX_FAILED_PROOFS:
        return "token_locked"
    if token.revoked_at is not None:
        return "token_revoked"
    if token.expires_at <= now:
        return "token_expired"
    if token.used >= token.max_devices:
        return "token_used_up"
    return None


def new_nonce(key: bytes, now: datetime) -> str:
    """A nonce that is recognised by its seal and kept nowhere.

    Within its five minutes it could be used twice; what makes a repeat harmless is that a key is certified once.
    """
    stamp = int(now.timestamp()).to_bytes(8) + secrets.token_bytes(16)
    return (stamp + _seal(key, stamp)).hex()


def nonce_is_good(key: bytes, nonce: str, now: datetime) -> bool:
    """Whether this controller gave it within the last five minutes."""
    try:
        raw = bytes.fromhex(nonce)
    except ValueError:
        return False
    stamp, seal = raw[:24], raw[24:]
    if len(stamp) != 24 or not hmac.compare_digest(seal, _seal(key, stamp)):
        return False
    age_s = now.timestamp() - int.from_bytes(stamp[:8])
    return -1 <= age_s <= NONCE_LIFETIME.total_seconds()


def key_of_request(csr_pem: str) -> PublicKey:
    """The key that a certificate request is for; nothing else of it counts.

    Raises Refused(csr_wrong) unless it is P-256 and the request was signed with it.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        good = isinstance(key, PublicKey) and isinstance(key.curve, ec.SECP256R1) and request.is_signature_valid
    except Exception:  # hostile bytes: the parser raises whatever it likes, and all of it means the same
        raise Refused("csr_wrong") from None
    if not good or not isinstance(key, PublicKey):
        raise Refused("csr_wrong")
    return key


def check_exchange_key(key: bytes) -> None:
    """Raises Refused(exchange_key_wrong) unless it is empty, or a key with which a secret can be agreed."""
    if not key:
        return
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:  # of another length, or a point of small order, with which everybody knows the secret
        raise Refused("exchange_key_wrong") from None


def renew_at(issued: Issued) -> datetime:
    """30 days after the issue, give or take 3, by the serial number so that a repeat says the same."""
    spread_s = RENEWAL_SPREAD.total_seconds()
    ratio = (issued.serial % 10_007) / 10_006
    return issued.issued_at + RENEWAL_AFTER + timedelta(seconds=spread_s * (2 * ratio - 1))


def plain(text: str, limit: int) -> str:
    """A device's own words: without control and direction characters, white space folded, cut."""
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(kept.split())[:limit]


# -- doing ------------------------------------------------------------------------------------------------------------


def enrol(
    engine: Engine,
    authority: Authority,
    settings: Settings,
    signed: Signed,
    now: datetime,
    *,
    command_keys: envelope.Signed | None = None,
) -> Enrolled:
    """Let a new device in.  Raises Refused; then nothing has changed but the token's count of wrong proofs.

    `command_keys` goes to devices that told an exchange key: it says that the key was taken.
    """
    try:
        request = msgspec.json.decode(signed.body, type=EnrolRequest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("malformed") from None
    if not nonce_is_good(authority.nonce_key, request.nonce, now):
        raise Refused("nonce_expired")
    key = key_of_request(request.csr)
    check_exchange_key(request.exchange_key)
    _check_proof(engine, request.token_id, signed)
    try:
        with writing(engine) as db:
            token = tokens.find(db, request.token_id)
            if token is None:
                raise Refused("token_unknown")
            known = certificates.find_by_key(db, key_digest(key))
            if known is not None:
                device = _same_device(db, known, token)
                issued = _issue_again(authority, key, device, known)
            else:
                if not tokens.claim(db, token.id, now):
                    raise Refused(token_refusal(_state(token), now) or "token_used_up")
                device = devices.insert(db, _new_device(request, token, now))
                issued = authority.issue_device(key, device.id, now)
                _keep(db, device, key, issued)
            # Of a request that was sent again the first exchange key stays, so that a copied one changes nothing.
            taken = request.exchange_key != b"" and request.exchange_key == device.exchange_key
            return _answer(authority, settings, device, issued, command_keys if taken else None)
    except IntegrityError:
        # Two requests for one key at once: the other one has it, and a repeat will be given the same.
        raise Refused("key_used") from None


def renew(
    engine: Engine,
    authority: Authority,
    settings: Settings,
    signed: Signed,
    now: datetime,
    *,
    command_keys: envelope.Signed | None = None,
) -> Enrolled:
    """Certify an enrolled device's new key under its old name.  Raises Refused; then nothing has changed.

    An exchange key replaces the one before it.  `command_keys`: as for `enrol`.
    """
    try:
        request = msgspec.json.decode(signed.body, type=RenewRequest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("malformed") from None
    if not nonce_is_good(authority.nonce_key, request.nonce, now):
        raise Refused("nonce_expired")
    old = _own_certificate(authority, request.certificate)
    try:
        public_key(old).verify(signed.proof, RENEW_PURPOSE + signed.body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("proof_wrong") from None
    key = key_of_request(request.csr)
    check_exchange_key(request.exchange_key)
    try:
        with writing(engine) as db:
            device = _device_of(db, old, now)
            known = certificates.find_by_key(db, key_digest(key))
            if known is None:
                issued = authority.issue_device(key, device.id, now)
                _keep(db, device, key, issued)
            elif known.device_number != device.number or known.serial == f"{old.serial_number:x}":
                raise Refused("key_used")
            else:
                issued = _issue_again(authority, key, device, known)
            _take_exchange_key(db, device, request.exchange_key)
            return _answer(authority, settings, device, issued, command_keys if request.exchange_key else None)
    except IntegrityError:
        raise Refused("key_used") from None


def _check_proof(engine: Engine, token_id: str, signed: Signed) -> None:
    """Before anything of the token's state is told: whoever does not hold it learns nothing but that."""
    with reading(engine) as db:
        token = tokens.find(db, token_id)
        if token is None:
            raise Refused("token_unknown")
        if token.failed_proofs >= tokens.MAX_FAILED_PROOFS:
            raise Refused("token_locked")
        key = Ed25519PublicKey.from_public_bytes(token.public_key)
    try:
        key.verify(signed.proof, ENROL_PURPOSE + signed.body)
    except InvalidSignature:
        with writing(engine) as db:
            tokens.count_failed_proof(db, token_id)
        raise Refused("proof_wrong") from None


def _state(token: Token) -> TokenState:
    return TokenState(token.used, token.max_devices, token.failed_proofs, token.expires_at, token.revoked_at)


def _new_device(request: EnrolRequest, token: Token, now: datetime) -> Device:
    role = token.role or request.role or "counter"
    if role not in ROLES:
        raise Refused("role_wrong")
    device_id = "d-" + random_base32(26)
    return Device(
        id=device_id,
        annex_id=token.annex_id,
        name=plain(request.name, 120) or device_id[:8],
        role=role,
        hardware_serial=plain(request.hardware_serial, 120),
        model=plain(request.model, 200),
        token_id=token.id,
        enrolled_at=now,
        exchange_key=request.exchange_key or None,
    )


def _take_exchange_key(db: Session, device: Device, key: bytes) -> None:
    if not key or key == device.exchange_key:
        return
    # Whoever holds the key opens what is meant for the device: when it changed, somebody may want to know.
    log.warning(
        "exchange key taken device=%s key=%s before=%s",
        device.id, key.hex()[:16], device.exchange_key.hex()[:16] if device.exchange_key else "none",
    )  # fmt: skip
    devices.set_exchange_key(db, device.number, key)


def _same_device(db: Session, known: Certificate, token: Token) -> Device:
    """The device that this very token let in with this very key: it missed the answer.  Otherwise Refused."""
    device = devices.by_number(db, known.device_number)
    if device is None or device.token_id != token.id:
        raise Refused("key_used")
    if device.revoked_at is not None or known.revoked_at is not None:
        raise Refused("device_revoked")
    return device


def _issue_again(authority: Authority, key: PublicKey, device: Device, known: Certificate) -> Issued:
    return authority.issue_device(key, device.id, known.issued_at, serial=int(known.serial, 16))


def _keep(db: Session, device: Device, key: PublicKey, issued: Issued) -> None:
    certificates.insert(
        db,
        serial=issued.serial,
        device_number=device.number,
        public_key_digest=key_digest(key),
        issued_at=issued.issued_at,
        expires_at=issued.expires_at,
    )


def _own_certificate(authority: Authority, pem: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        certificate.verify_directly_issued_by(authority.device_ca)
    except Exception:  # hostile bytes: whatever the parser raises means the same
        raise Refused("certificate_unknown") from None
    return certificate


def _device_of(db: Session, old: x509.Certificate, now: datetime) -> Device:
    row = certificates.find_by_serial(db, old.serial_number)
    device = None if row is None else devices.by_number(db, row.device_number)
    if row is None or device is None or row.public_key_digest != key_digest(public_key(old)):
        raise Refused("certificate_unknown")
    # Held until the new certificate is kept, so that whoever revokes the device meanwhile finds that one, too.
    db.refresh(device, with_for_update=True)
    if device.revoked_at is not None or row.revoked_at is not None:
        raise Refused("device_revoked")
    if now > row.expires_at + LATE_RENEWAL:
        raise Refused("certificate_too_old")
    return device


def _answer(
    authority: Authority, settings: Settings, device: Device, issued: Issued, command_keys: envelope.Signed | None
) -> Enrolled:
    return Enrolled(
        device_id=device.id,
        chain=issued.chain.decode(),
        authority=authority.root_pem.decode(),
        broker_host=settings.broker_host,
        broker_port=settings.broker_port,
        expires_at=issued.expires_at.timestamp(),
        renew_at=renew_at(issued).timestamp(),
        annex_id=device.annex_id,
        role=device.role,
        command_keys=command_keys,
    )


def _seal(key: bytes, stamp: bytes) -> bytes:
    return hmac.new(key, b"annexfleet nonce\n" + stamp, hashlib.sha256).digest()[:16]
