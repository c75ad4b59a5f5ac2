"""What the runner trusts, and the key to which its orders are sealed.

    exchange.key   X25519, 32 bytes, for the runner's user alone
    exchange.pub   its public half, hexadecimal: enrolment and renewal tell it to the controller
    trust.json     who this device is, its controller's root, and the newest key set that this root signed

A runner that acts as the agent's own user gets all this from `enrol` and `renew`.  A runner of root's has a directory
that only root can write, or whoever takes over the agent's user could name a root of his own and be root: there
`annexfleet-agent runner trust` writes it once, as root.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Struct

from annexfleet_agent.identity import EXCHANGE_PUBLIC
from annexfleet_agent.protocol.envelope import KEY_BYTES, KeySet, Signed, parse
from annexfleet_agent.protocol.sealing import KeySetWrong, key_at, keys_signed_by, point_of, root_key

__all__ = ["KeySetWrong", "KeysUnusable", "Trust", "adopt", "ensure", "load", "remember", "told", "trust"]

EXCHANGE_KEY = "exchange.key"
TRUST = "trust.json"
_OF_OTHERS_WRITE = 0o022


class KeysUnusable(Exception):
    """A file is missing, cannot be read, or could have been written by somebody else; the message is for a person."""


class Trust(Struct, frozen=True, kw_only=True):
    """trust.json.  What `trust` returns is checked: the key set is one that the root signed."""

    device_id: str
    root: str
    """PEM"""
    root_point: bytes = b""
    """The root's key out of `root`, so that a runner that starts need not read certificates."""
    signed: Signed | None = None

    def verified(self, signed: Signed) -> KeySet:
        """A key set, if our root signed it.  Raises KeySetWrong."""
        return keys_signed_by(key_at(self.root_point) if self.root_point else root_key(self.root), signed)

    @property
    def keys(self) -> KeySet | None:
        """The key set in force; None until the first comes, with enrolment or with an envelope."""
        return None if self.signed is None else parse(self.signed.body, KeySet)

    @property
    def keys_version(self) -> int:
        """0 if there is none."""
        keys = self.keys
        return 0 if keys is None else keys.version


def ensure(directory: Path, *, seen_by_all: bool = False) -> bytes:
    """The exchange key's public half, 32 bytes; the key is made when missing, and anew when it cannot be one.

    `seen_by_all`: the agent runs as another user and must reach the public half and the socket.
    Raises OSError if the directory cannot be written.
    """
    _directory(directory, seen_by_all=seen_by_all)
    with _locked(directory):
        try:
            key = _private(directory)
        except FileNotFoundError:
            key = None
        if key is None:
            key = X25519PrivateKey.generate()
            _write(directory / EXCHANGE_KEY, key.private_bytes_raw())
        public = key.public_key().public_bytes_raw()
        if told(directory) != public:
            _write(directory / EXCHANGE_PUBLIC, public.hex().encode() + b"\n", mode=0o644 if seen_by_all else 0o600)
    return public


def told(directory: Path) -> bytes:
    """The public half as it lies there for the agent to read, 32 bytes; empty if there is none."""
    try:
        public = bytes.fromhex((directory / EXCHANGE_PUBLIC).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return b""
    return public if len(public) == KEY_BYTES else b""


def load(directory: Path) -> X25519PrivateKey:
    """The exchange key.  Raises KeysUnusable."""
    file = directory / EXCHANGE_KEY
    try:
        _demand_safe(directory)
        key = _private(directory)
    except OSError as error:
        raise KeysUnusable(f"{file}: {error.strerror}") from error
    if key is None:
        raise KeysUnusable(f"{file} holds no key")
    return key


def trust(directory: Path) -> Trust:
    """Whom the runner obeys.  Raises KeysUnusable: nobody."""
    file = directory / TRUST
    try:
        _demand_safe(directory)
        found = msgspec.json.decode(file.read_bytes(), type=Trust)
        if found.signed is not None:
            found.verified(found.signed)
    except OSError as error:
        raise KeysUnusable(f"{file}: {error.strerror}") from error
    except (msgspec.DecodeError, KeySetWrong) as error:
        raise KeysUnusable(f"{file}: {error}") from error
    return found


def adopt(directory: Path, signed: Signed) -> KeySet:
    """Put a newer key set in force; on return it is on disk.

    Raises KeySetWrong unless the root signed it and it is newer than the one in force; KeysUnusable, or OSError if it
    cannot be written.
    """
    with _locked(directory):
        current = trust(directory)
        keys = current.verified(signed)
        if keys.version <= current.keys_version:
            raise KeySetWrong(f"version {keys.version}, while {current.keys_version} is in force")
        _write_trust(directory, msgspec.structs.replace(current, signed=signed))
    return keys


def remember(directory: Path, *, device_id: str, root: str, signed: Signed | None, seen_by_all: bool = False) -> Trust:
    """Write whom to obey, as enrolment learned it; of the same root the newer key set stays.

    Raises KeySetWrong for one that this root did not sign, and OSError.
    """
    _directory(directory, seen_by_all=seen_by_all)
    new = Trust(device_id=device_id, root=root, root_point=point_of(root_key(root)), signed=signed)
    if signed is not None:
        new.verified(signed)
    with _locked(directory):
        try:
            current = trust(directory)
        except KeysUnusable:
            current = None
        if current is not None and current.root == root and current.keys_version >= new.keys_version:
            new = msgspec.structs.replace(new, signed=current.signed)
        if new != current:
            _write_trust(directory, new, mode=0o644 if seen_by_all else 0o600)
    return new


def _directory(path: Path, *, seen_by_all: bool) -> None:
    mode = 0o755 if seen_by_all else 0o700
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)


def _private(directory: Path) -> X25519PrivateKey | None:
    """None if what lies there can be no key."""
    raw = (directory / EXCHANGE_KEY).read_bytes()
    return X25519PrivateKey.from_private_bytes(raw) if len(raw) == KEY_BYTES else None


def _demand_safe(directory: Path) -> None:
    """Whoever acts as root must not obey files that another user could have written.  Raises KeysUnusable, OSError."""
    if os.name != "posix":
        return
    for place in (directory, directory / EXCHANGE_KEY, directory / TRUST):
        try:
            found = place.stat()
        except FileNotFoundError:
            continue  # whoever needs it says so
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & _OF_OTHERS_WRITE:
            raise KeysUnusable(f"{place} belongs to another user, or others may write it: it is not trusted")


def _write_trust(directory: Path, content: Trust, *, mode: int | None = None) -> None:
    file = directory / TRUST
    if mode is None:
        mode = file.stat().st_mode & 0o777
    _write(file, msgspec.json.format(msgspec.json.encode(content)) + b"\n", mode=mode)


def _write(file: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace in one step; on return it survives a power cut."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            if os.name == "posix":
                os.fchmod(out.fileno(), mode)  # whatever the umask is
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """The runner and a renewal may both bring a key set."""
    if os.name != "posix":
        yield
        return
    import fcntl  # noqa: PLC0415  # there is none elsewhere

    with os.fdopen(os.open(directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
