"""Making a token: leave for some devices to enrol in one annex, until some day."""

import secrets
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from annexfleet_agent.protocol import enrolment
from annexfleet_controller.errors import AnnexfleetError, AnnexUnknown, OutOfService
from annexfleet_controller.store import audit, tokens
from annexfleet_controller.store.tables.devices import Token
from annexfleet_controller.store.tables.places import Annex

ROLES = ("counter", "kiosk", "tablet", "server")
LIFETIME = timedelta(hours=72)
LONGEST_LIFETIME = timedelta(days=14)
MAX_DEVICES = 1000

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class TokenRefused(AnnexfleetError):
    """A token that must not be made; the message says which value is wrong."""

    code = "token_refused"


def create(
    db: Session,
    annex_id: str,
    *,
    role: str,
    max_devices: int,
    expires_at: datetime,
    created_by: str,
    enrol_url: str,
    authority_pin: str,
    now: datetime,
    via: str = "console",
) -> str:
    """The token's text.  It is nowhere else: show it once.

    `role` may be empty: then each device says its own.  `enrol_url` is `https://host:port`, `authority_pin` that of
    `Authority.pin`.  Raises AnnexUnknown or TokenRefused.
    """
    _check(role, max_devices, expires_at - now, enrol_url)
    annex = db.get(Annex, annex_id)
    if annex is None:
        raise AnnexUnknown(annex=annex_id)
    if annex.retired_at is not None:
        raise OutOfService("a closed annex takes no device in", annex=annex_id)
    seed = secrets.token_bytes(32)
    token_id = random_base32(13)
    tokens.insert(
        db,
        Token(
            id=token_id,
            annex_id=annex_id,
            role=role,
            public_key=Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw(),
            max_devices=max_devices,
            created_at=now,
            created_by=created_by,
            expires_at=expires_at,
        ),
    )
    facts: dict[str, audit.Fact] = {"role": role, "devices": max_devices}
    audit.add(
        db, now=now, actor=created_by, via=via, act="token.create", subject=f"token:{token_id}", annex_id=annex_id,
        facts=facts,
    )  # fmt: skip
    text = enrolment.TokenText(token_id, seed, enrol_url.rstrip("/"), bytes.fromhex(authority_pin))
    return enrolment.encode_token(text)


def random_base32(length: int) -> str:
    """5 random bits a character."""
    return "".join(secrets.choice(_BASE32) for _ in range(length))


def _check(role: str, max_devices: int, lifetime: timedelta, enrol_url: str) -> None:
    if role and role not in ROLES:
        raise TokenRefused(f"role: one of {', '.join(ROLES)}", field="role")
    if not 1 <= max_devices <= MAX_DEVICES:
        raise TokenRefused(f"max_devices: from 1 to {MAX_DEVICES}", field="max_devices")
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise TokenRefused(f"expires_at: within {LONGEST_LIFETIME.days} days from now", field="expires_at")
    address = urlsplit(enrol_url)
    if address.scheme != "https" or not address.hostname:
        raise TokenRefused("enrol_url: https://host:port", field="enrol_url")
