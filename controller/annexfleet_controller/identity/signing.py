"""The keys that sign envelopes, and the number that rises with each envelope.

Everything lies in `signer/` of the home, for the owner's eyes alone and apart from the authority:

    keys.json    the key set that devices obey, signed by the root: no secret
    <id>.key     a private key of it, Ed25519, 32 bytes
    sequence     no envelope has borne a higher number than this

Devices take a key set with a higher version from enrolment, from a renewal and from any envelope, so rotating keys
needs no visit.  Versions are moments (Unix seconds) where that is higher than the last plus one: a home that lost its
keys still makes a set that is newer than what devices have.
"""

import hashlib
import threading
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from annexfleet_agent.protocol.envelope import ACTION_CLASSES, KEY_SET_PURPOSE, MAX_KEYS, Key, KeySet, Signed
from annexfleet_agent.protocol.sealing import KeySetWrong, verified_keys
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity import files
from annexfleet_controller.identity.certificates import PrivateKey
from annexfleet_controller.settings import Home

KEYS = "keys.json"
SEQUENCE = "sequence"
_RESERVED = 60_000
"""So many numbers are reserved at once, a minute of them: the disk is asked once a minute and not for each envelope."""
_HIGHEST = 2**53 - 1


class SigningBroken(AnnexfleetError):
    """A file of `signer/` is missing or cannot be used; nothing is made anew over it."""

    code = "signing_broken"


class RootKeyAway(SigningBroken):
    """A key set must be signed, and root.key is not in the home."""

    code = "root_key_away"


class Signing(NamedTuple):
    """The key set in force, and the key of it that signs here."""

    root: x509.Certificate
    signed: Signed
    keys: KeySet
    key_id: str
    private: Ed25519PrivateKey


def ensure(home: Home, *, clock: Clock = SYSTEM) -> Signing:
    """The keys as they stand, made when missing; called at every start, after `authority.ensure`.

    A key set that another root signed is of no use to any device of this one, and is made anew.
    Raises SigningBroken, and RootKeyAway if a set must be made and root.key is kept elsewhere.
    """
    path = files.private_directory(home.signer_dir)
    with files.locked(path):
        if (path / KEYS).exists():
            try:
                return load(home)
            except _ForeignRoot:
                pass
        _publish(home, [], clock.now(), root_key=None)
    return load(home)


def load(home: Home) -> Signing:
    """The keys as they stand.  Raises SigningBroken, saying which file is at fault."""
    path = home.signer_dir
    root = _root(home)
    signed = published(home)
    if signed is None:
        raise SigningBroken(f"{path / KEYS} is missing: `annexfleet keys rotate` makes it")
    try:
        keys = verified_keys(root.public_bytes(Encoding.PEM).decode(), signed)
    except KeySetWrong as error:
        raise _ForeignRoot(f"{path / KEYS}: {error}; `annexfleet keys rotate` makes it anew") from None
    # The newest of those that are ours: another signer may have one of its own in the set.
    for key in reversed(keys.keys):
        file = _private_file(path, key.id)
        if not file.exists():
            continue
        private = _private(file)
        if private.public_key().public_bytes_raw() != key.public:
            raise SigningBroken(f"{file} is not the key that {KEYS} names; restore it from a backup, or rotate")
        return Signing(root, signed, keys, key.id, private)
    raise SigningBroken(f"{path} has no private key of the set in {KEYS}: `annexfleet keys rotate` makes a new one")


def published(home: Home) -> Signed | None:
    """The signed key set as devices get it; None if there is none yet.  Raises SigningBroken if it cannot be read."""
    file = home.signer_dir / KEYS
    try:
        return msgspec.json.decode(file.read_bytes(), type=Signed)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SigningBroken(f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SigningBroken(f"{file}: {error}; restore it from a backup, or rotate the keys") from error


def rotate(home: Home, now: datetime, *, root_key: Path | None = None, keep_old: bool = False) -> Signing:
    """Publish a new key set with a new key; the running signer takes it up by itself.

    The keys before it are dropped and their private halves deleted: what they sign is refused as soon as a device has
    the new set.  `keep_old` keeps them in the set, so that other signers go on until the next rotation; over MAX_KEYS
    the oldest goes.  `root_key`: a file with the root's key, where it is kept elsewhere than in the home.
    Raises SigningBroken, RootKeyAway.
    """
    path = files.private_directory(home.signer_dir)
    with files.locked(path):
        kept: list[Key] = []
        if keep_old:
            kept = load(home).keys.keys[-(MAX_KEYS - 1) :]
        _publish(home, kept, now, root_key=root_key)
        made = load(home)
        current = {_private_file(path, key.id) for key in made.keys.keys}
        for file in path.glob("*.key"):
            if file not in current:
                file.unlink()
        files.sync_directory(path)
    return made


def stamp(home: Home) -> tuple[int, int, int] | None:
    """Differs whenever another key set was published; None if there is none."""
    try:
        found = (home.signer_dir / KEYS).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Sequence:
    """Numbers that only rise: over restarts, crashes, restored backups and clocks that were set back.

    A number is the last one plus one, or this moment in milliseconds if that is higher.  Which numbers may have been
    given is on disk before any of them is: none is given twice, and after a crash a minute of them is skipped.  A home
    that was restored lost at most what its backup is old, and time has gone on by as much.

    One process at a time may have it; within that any thread.
    """

    def __init__(self, path: Path) -> None:
        """`path` is the file.  Raises SigningBroken if it holds no number."""
        self._path = path
        self._lock = threading.Lock()
        self._reserved = reserved(path)
        self._last = self._reserved

    def next(self, now: datetime) -> int:
        """A number that is higher than all before.  Raises OSError if it cannot be kept; then none was given."""
        with self._lock:
            number = max(self._last + 1, int(now.timestamp() * 1000))
            if number > self._reserved:
                files.write(self._path, str(number + _RESERVED).encode())
                self._reserved = number + _RESERVED
            self._last = number
            return number


def reserved(path: Path) -> int:
    """What a sequence's file says; 0 if there is none.  Raises SigningBroken."""
    try:
        number = int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
    except (ValueError, OSError) as error:
        raise SigningBroken(f"{path}: holds no number ({error}); write one in milliseconds since 1970") from error
    if not 0 <= number < _HIGHEST:
        raise SigningBroken(f"{path}: {number} can be no sequence number")
    return number


class _ForeignRoot(SigningBroken):
    """The key set is not signed by the root of this home."""


def _publish(home: Home, kept: list[Key], now: datetime, *, root_key: Path | None) -> None:
    path = home.signer_dir
    root = _root_key(home, root_key)
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    key = Key(id=hashlib.sha256(public).hexdigest()[:8], public=public, classes=list(ACTION_CLASSES))
    version = max(_last_version(home) + 1, int(now.timestamp()))
    body = msgspec.json.encode(KeySet(version=version, keys=[*kept, key]))
    proof = root.sign(KEY_SET_PURPOSE + body, ec.ECDSA(hashes.SHA256()))
    # The private half first: after a power cut in between it is one that nobody names.
    files.write(_private_file(path, key.id), private.private_bytes_raw())
    files.write(path / KEYS, msgspec.json.encode(Signed(body=body, proof=proof)))


def _last_version(home: Home) -> int:
    """Of the set that lies there, whoever signed it; 0 if none can be read."""
    try:
        signed = published(home)
        return 0 if signed is None else msgspec.json.decode(signed.body, type=KeySet).version
    except (SigningBroken, msgspec.DecodeError):
        return 0


def _root(home: Home) -> x509.Certificate:
    file = home.authority_dir / "root.pem"
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise SigningBroken(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise SigningBroken(f"{file}: holds no certificate") from error


def _root_key(home: Home, file: Path | None) -> PrivateKey:
    place = file or home.authority_dir / "root.key"
    try:
        key = load_pem_private_key(place.read_bytes(), None)
    except FileNotFoundError:
        raise RootKeyAway(
            f"{place} is not there, and a set of command keys must be signed with it. Bring it to this machine for a "
            "moment and run: annexfleet keys rotate --root-key FILE"
        ) from None
    except OSError as error:
        raise SigningBroken(f"{place}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SigningBroken(f"{place}: holds no key") from error
    if not isinstance(key, PrivateKey) or key.public_key() != _root(home).public_key():
        raise SigningBroken(f"{place} is not the key of this home's root")
    return key


def _private_file(path: Path, key_id: str) -> Path:
    return path / f"{key_id}.key"


def _private(file: Path) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(file.read_bytes())
    except OSError as error:
        raise SigningBroken(f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise SigningBroken(f"{file}: holds no key") from error
