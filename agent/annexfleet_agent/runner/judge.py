"""Whether an envelope is obeyed.  Thinks only: it is told all that is known, and touches nothing.

The order is that of the trust: nothing that a field says is heeded before the signature over it holds.  Whoever may be
allowed what is not decided here: a valid signature says that the controller decided it.
"""

from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from annexfleet_agent.protocol.envelope import (
    ACTION_CLASSES,
    CHALLENGE_LIFETIME_S,
    ENVELOPE,
    ENVELOPE_PURPOSE,
    KEY_BYTES,
    LONGEST_VALIDITY_S,
    MAX_ENVELOPE_BYTES,
    Arguments,
    Delivery,
    Envelope,
    KeySet,
    Malformed,
    RefusalReason,
    Signed,
    parse,
)
from annexfleet_agent.protocol.sealing import Seal, SealBroken, SessionKeys, session_keys

ARGUMENTS_NUMBER = 0
"""Under which an envelope's arguments are sealed, with the key of the way down."""


class Refused(Exception):
    """The envelope is not obeyed."""

    def __init__(self, reason: RefusalReason, session: str = "") -> None:
        super().__init__(reason)
        self.reason: RefusalReason = reason
        self.session = session


class Asked(Struct, frozen=True):
    """A challenge of ours that was not used yet."""

    session: str
    made_at: float
    """Monotonic, in seconds."""


class Known(Struct, frozen=True, kw_only=True):
    """All that the judgement rests on."""

    device_id: str
    boot_id: str
    key: X25519PrivateKey
    """The device's own, to which arguments are sealed."""
    keys: KeySet | None
    verify_keys: Callable[[Signed], KeySet]
    """The key set, if the root signed it; raises ValueError."""
    asked: Mapping[str, Asked]
    """By challenge."""
    sequence: int
    newest_issued_at: float
    allowed: frozenset[str]
    """Action classes that this installation takes."""
    busy: bool
    now: float
    """Monotonic, in seconds."""


class Accepted(Struct, frozen=True, kw_only=True):
    """The envelope is obeyed, once its sequence number is stored."""

    envelope: Envelope
    arguments: Arguments
    session_keys: SessionKeys
    new_keys: Signed | None
    """A key set to be put in force first."""


def opened(packet: bytes) -> tuple[Delivery, Envelope]:
    """What an ENVELOPE packet holds, before anything of it is believed.  Raises Refused."""
    if len(packet) > MAX_ENVELOPE_BYTES:
        raise Refused("too_big")
    if packet[:1] != ENVELOPE:
        raise Refused("malformed")
    try:
        delivery = parse(packet[1:], Delivery)
        envelope = parse(delivery.envelope.body, Envelope)
    except Malformed:
        raise Refused("malformed") from None
    if (
        envelope.action not in ACTION_CLASSES
        or len(envelope.ephemeral_key) != KEY_BYTES
        or envelope.expires_at - envelope.issued_at > LONGEST_VALIDITY_S
    ):
        raise Refused("malformed", envelope.session)
    return delivery, envelope


def cheap(envelope: Envelope, known: Known) -> RefusalReason | None:
    """What is wrong with it as far as can be said without any arithmetic: for a time in which many are refused.

    Not to be believed of an envelope whose signature was not verified: it may only refuse.
    """
    if envelope.device_id != known.device_id:
        return "other_device"
    if envelope.boot_id != known.boot_id:
        return "stale_boot"
    asked = known.asked.get(envelope.challenge)
    if asked is None or asked.session != envelope.session:
        return "foreign_challenge"
    if envelope.sequence <= known.sequence:
        return "replayed"
    elapsed_s = known.now - asked.made_at
    if (
        elapsed_s > CHALLENGE_LIFETIME_S
        or elapsed_s > envelope.expires_at - envelope.issued_at
        or envelope.expires_at <= known.newest_issued_at
    ):
        return "expired"
    return None


def verdict(packet: bytes, known: Known) -> Accepted:
    """Raises Refused, with the first reason in the order of the wire's description."""
    delivery, envelope = opened(packet)
    keys, new_keys = _keys(delivery, known, envelope.session)
    _verify(delivery.envelope, envelope, keys)
    reason = cheap(envelope, known)
    if reason is not None:
        raise Refused(reason, envelope.session)
    accepted = _unsealed(envelope, known, new_keys)
    if envelope.action not in known.allowed:
        raise Refused("not_allowed", envelope.session)
    if known.busy:
        raise Refused("busy", envelope.session)
    return accepted


def _keys(delivery: Delivery, known: Known, session: str) -> tuple[KeySet, Signed | None]:
    """The key set by which to judge, and the same again if it is new."""
    if delivery.keys is not None:
        try:
            attached = known.verify_keys(delivery.keys)
        except ValueError:
            raise Refused("keys_wrong", session) from None
        current = known.keys.version if known.keys is not None else 0
        if attached.version > current:
            return attached, delivery.keys
        if attached.version < current:
            raise Refused("keys_wrong", session)
    if known.keys is None:
        raise Refused("unknown_key", session)
    return known.keys, None


def _verify(signed: Signed, envelope: Envelope, keys: KeySet) -> None:
    key = next((key for key in keys.keys if key.id == envelope.key_id), None)
    if key is None or envelope.action not in key.classes:
        raise Refused("unknown_key", envelope.session)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signed.proof, ENVELOPE_PURPOSE + signed.body)
    except (InvalidSignature, ValueError):
        raise Refused("bad_signature", envelope.session) from None


def _unsealed(envelope: Envelope, known: Known, new_keys: Signed | None) -> Accepted:
    try:
        both = session_keys(
            known.key,
            envelope.ephemeral_key,
            session=envelope.session,
            device_id=known.device_id,
            ephemeral=envelope.ephemeral_key,
        )
        plain = Seal(both.down).open(ARGUMENTS_NUMBER, envelope.sealed, envelope.session.encode())
        arguments = parse(plain, Arguments)
    except (SealBroken, Malformed):
        raise Refused("sealed_wrong", envelope.session) from None
    return Accepted(envelope=envelope, arguments=arguments, session_keys=both, new_keys=new_keys)
