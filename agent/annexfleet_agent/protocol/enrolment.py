"""How a new device gets its certificate, and an enrolled one its next: what is said over HTTPS, and what a token is.

A request is signed as the exact bytes that travel, so nothing has to be put in canonical form.  A token's proof is made
with an Ed25519 key whose seed is in the token and whose public half is all that the controller keeps; a renewal's proof
is made with the key of the certificate that is to be replaced (ECDSA, SHA-256).
"""

import base64
import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from annexfleet_agent.protocol import envelope

MAX_REQUEST_BYTES = 16 * 1024
NONCE_PATH = "/enrol/nonce"
ENROL_PATH = "/enrol"
RENEW_PATH = "/enrol/renew"

ENROL_PURPOSE = b"annexfleet enrol 1\n"
RENEW_PURPOSE = b"annexfleet renew 1\n"
"""Signed in front of the body, so that a proof of one kind is never one of the other."""

_PREFIX = "aft1."
_CHECK_BYTES = 4
_SEED_BYTES = 32

Pem = Annotated[str, Meta(max_length=6000)]
ExchangeKey = Annotated[bytes, Meta(max_length=32)]
"""X25519, public, 32 bytes; empty: this device takes no commands."""


class TokenWrong(ValueError):
    """A text that is no token: mistyped, cut short, or something else altogether."""


class TokenText(Struct, frozen=True, array_like=True):
    """What a token's text holds."""

    id: Annotated[str, Meta(min_length=1, max_length=16)]
    seed: bytes
    """32 bytes: the Ed25519 private key.  Nobody keeps it but the text."""
    enrol_url: str
    authority_pin: bytes
    """SHA-256 of the root's SubjectPublicKeyInfo."""


class Nonce(Struct, frozen=True, kw_only=True):
    """The answer to POST /enrol/nonce, whose body is empty."""

    nonce: str
    time: float
    """The controller's clock, Unix time."""
    authority: Pem
    """The root.  To be believed only if its key is the one in the token."""


class Signed(Struct, frozen=True, kw_only=True):
    """A request: the bytes of an `EnrolRequest` or `RenewRequest` and the proof over purpose and bytes; both base64."""

    body: bytes
    proof: bytes


class EnrolRequest(Struct, frozen=True, kw_only=True):
    token_id: Annotated[str, Meta(max_length=16)]
    nonce: Annotated[str, Meta(max_length=200)]
    csr: Pem
    """PKCS#10; its subject and extensions are ignored."""
    name: Annotated[str, Meta(max_length=120)] = ""
    role: Annotated[str, Meta(max_length=16)] = ""
    """Counts only if the token says none."""
    hardware_serial: Annotated[str, Meta(max_length=120)] = ""
    model: Annotated[str, Meta(max_length=200)] = ""
    agent_version: Annotated[str, Meta(max_length=64)] = ""
    exchange_key: ExchangeKey = b""


class RenewRequest(Struct, frozen=True, kw_only=True):
    nonce: Annotated[str, Meta(max_length=200)]
    csr: Pem
    """For a new key."""
    certificate: Pem
    """The one to be replaced, whose key signs this."""
    exchange_key: ExchangeKey = b""
    """Replaces the one before it; empty leaves that in force."""


class Enrolled(Struct, frozen=True, kw_only=True):
    """The answer to both."""

    device_id: str
    chain: str
    """PEM: the device's certificate, the device branch's behind it."""
    authority: Pem
    broker_host: str
    broker_port: int
    expires_at: float
    renew_at: float
    """Unix time, spread over six days so that devices enrolled together are not renewed together."""
    annex_id: str = ""
    role: str = ""
    command_keys: envelope.Signed | None = None
    """An `envelope.KeySet` that the root signed: whose envelopes the device shall take.  Without it the controller did
    not take the exchange key either, as it does not know of such or has no keys."""


class Problem(Struct, frozen=True, kw_only=True):
    """RFC 9457 (application/problem+json)."""

    code: str = "unknown"
    status: int = 0
    title: str = ""
    detail: str = ""


def encode_token(token: TokenText) -> str:
    """The text that is shown once: `aft1.` and base64url with four check bytes at the end."""
    body = msgspec.msgpack.encode(token)
    return _PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def decode_token(text: str) -> TokenText:
    """Read a token's text; white space and line breaks from copying are forgiven.

    Raises TokenWrong with a sentence for the person who typed it.
    """
    text = "".join(text.split())
    if not text.startswith(_PREFIX):
        raise TokenWrong(f"a token begins with {_PREFIX}")
    coded = text.removeprefix(_PREFIX)
    try:
        raw = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise TokenWrong("the token has a character that cannot be in it, or some are missing") from None
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    # The last character may have bits that stand for nothing, so the text itself is compared, too.
    if check != _check(body) or base64.urlsafe_b64encode(raw).decode().rstrip("=") != coded:
        raise TokenWrong("the token was mistyped or cut short: its check characters do not fit")
    try:
        token = msgspec.msgpack.decode(body, type=TokenText)
    except msgspec.DecodeError:
        raise TokenWrong("the token is of a kind that this version does not know") from None
    if len(token.seed) != _SEED_BYTES or len(token.authority_pin) != hashlib.sha256().digest_size:
        raise TokenWrong("the token is of a kind that this version does not know")
    if not token.enrol_url.startswith("https://"):
        raise TokenWrong("the token names no https address")
    return token


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"annexfleet token" + body).digest()[:_CHECK_BYTES]
