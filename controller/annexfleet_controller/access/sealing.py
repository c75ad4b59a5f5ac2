"""What is kept in the database under a key of the home, so that a copy of the database alone tells nothing.

The key is made on first need, in a file of its own (mode 0600) that backups hold.  What is sealed is bound to the
account it belongs to: moved to another one it does not open.
"""

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.settings import Home

_KEY_BYTES = 32
_NONCE_BYTES = 12


class Unsealable(AnnexfleetError):
    """The key of this home is gone, or another one than it was sealed with."""


def seal(home: Home, user_id: int, secret: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(_made(home.accounts_key)).encrypt(nonce, secret, _bound(user_id))


def unseal(home: Home, user_id: int, sealed: bytes) -> bytes:
    """Raises Unsealable."""
    try:
        key = _read(home.accounts_key)
    except FileNotFoundError as gone:
        raise Unsealable(f"{home.accounts_key} is gone") from gone
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(user_id))
    except (InvalidTag, ValueError) as wrong:
        raise Unsealable(f"{home.accounts_key} is not the key it was sealed with") from wrong


def _bound(user_id: int) -> bytes:
    return f"annexfleet second factor of {user_id}".encode()


def _made(file: Path) -> bytes:
    """The key, made if there is none.  Of two processes that make one at once, the second takes the first one's."""
    if file.exists():
        return _read(file)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as raw:
            raw.write(secrets.token_bytes(_KEY_BYTES))
            raw.flush()
            os.fsync(raw.fileno())
        with contextlib.suppress(FileExistsError):  # unlike a rename it fails where the other one was faster
            os.link(draft, file)
    finally:
        draft.unlink()
    return _read(file)


def _read(file: Path) -> bytes:
    key = file.read_bytes()
    if len(key) != _KEY_BYTES:
        raise Unsealable(f"{file} is not a key of {_KEY_BYTES} bytes")
    return key
