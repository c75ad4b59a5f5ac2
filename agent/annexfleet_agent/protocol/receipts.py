"""What proves that a receipt is the device's own.

A receipt travels through the outbox and the broker long after the session of its command has ended, so no seal protects
it, and whoever runs the broker could write one.  With each command its envelope brings the device a key, sealed; only
it and the controller can make the proof.
"""

import hashlib
import hmac

PROOF_BYTES = 16
_PURPOSE = b"annexfleet receipt 1\n"


def proof(key: bytes, command_id: str, outcome: str, detail: str) -> str:
    """Hexadecimal; empty without a key.  HMAC-SHA256 over what the receipt says, each part ended by a NUL."""
    if not key:
        return ""
    said = _PURPOSE + b"".join(part.encode() + b"\0" for part in (command_id, outcome, detail))
    return hmac.new(key, said, hashlib.sha256).hexdigest()[: 2 * PROOF_BYTES]


def is_proven(key: bytes, command_id: str, outcome: str, detail: str, told: str) -> bool:
    """Whether that proof fits what the receipt says; never without a key."""
    return bool(key) and hmac.compare_digest(proof(key, command_id, outcome, detail).encode(), told.encode())
