"""Who this device is: where its key and certificate lie, and where its controller is.

    identity/connection.json     replaced in one step; it says which pair is in force
    identity/a/ identity/b/      the pair in force and the one before it: device.key, device.pem, and
                                 authority.pem, the root, which alone is trusted

Enrolment and renewal (`enrolment`) write this in a process of their own; the resident process only reads, so this
module stays light.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

_FILE = "connection.json"
SLOTS = ("a", "b")
EXCHANGE_PUBLIC = "exchange.pub"
"""In the runner's directory: its public key, hexadecimal (`runner.keys`)."""


class IdentityBroken(Exception):
    """The identity's files are there but cannot be used; the message says what to do."""


class Pair(Struct, frozen=True):
    """A key, its certificate with the device branch's behind it, and the root to trust; all PEM."""

    key: Path
    certificate: Path
    authority: Path


class Identity(Struct, frozen=True, kw_only=True):
    """What a device needs to connect."""

    device_id: str
    broker_host: str
    broker_port: int
    enrol_url: str
    pair: Pair
    previous: Pair | None
    """The one before it, still good for some days: to be tried if the broker refuses the new one."""
    expires_at: float
    renew_at: float
    """Unix time.  From here on `annexfleet-agent renew` is due, which replaces the pair."""
    exchange_key: str = ""
    """The runner's public key as the controller knows it, hexadecimal; empty: it knows none."""

    @property
    def key(self) -> Path:
        return self.pair.key

    @property
    def certificate(self) -> Path:
        return self.pair.certificate

    @property
    def authority(self) -> Path:
        return self.pair.authority


class Record(Struct, frozen=True, kw_only=True):
    """connection.json."""

    device_id: Annotated[str, Meta(pattern=r"^d-[a-z2-7]{26}$")]
    broker_host: Annotated[str, Meta(min_length=1, max_length=253)]
    broker_port: Annotated[int, Meta(ge=1, le=65535)]
    enrol_url: str
    slot: str
    previous_slot: str = ""
    expires_at: float
    renew_at: float
    exchange_key: Annotated[str, Meta(max_length=64)] = ""


def path(directory: Path) -> Path:
    """The file whose change tells that the identity changed."""
    return directory / _FILE


def load(directory: Path) -> Identity | None:
    """The identity in this directory; None if the device was never enrolled.

    Raises IdentityBroken if a file is missing or cannot be read.
    """
    record = read(directory)
    if record is None:
        return None
    found = Identity(
        device_id=record.device_id,
        broker_host=record.broker_host,
        broker_port=record.broker_port,
        enrol_url=record.enrol_url,
        pair=pair(directory, record.slot),
        previous=pair(directory, record.previous_slot) if record.previous_slot else None,
        expires_at=record.expires_at,
        renew_at=record.renew_at,
        exchange_key=record.exchange_key,
    )
    for file in (found.authority, found.key, found.certificate):
        try:
            file.open("rb").close()
        except OSError as error:
            raise IdentityBroken(
                f"{file}: {error.strerror}; enrol this device again with a new token and --again"
            ) from error
    return found


def read(directory: Path) -> Record | None:
    """connection.json alone.  Raises IdentityBroken if it cannot be read."""
    file = path(directory)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IdentityBroken(f"{file}: {error.strerror}; does this run as the agent's own user?") from error
    except msgspec.DecodeError as error:
        raise IdentityBroken(f"{file}: {error}; enrol this device again with a new token and --again") from error


def pair(directory: Path, slot: str) -> Pair:
    place = directory / slot
    return Pair(place / "device.key", place / "device.pem", place / "authority.pem")


def owes_exchange_key(known: Identity, runner_directory: Path, *, is_own: bool) -> bool:
    """Whether the controller must be told a key of the runner's: it knows none, or another than lies there now.

    `is_own`: a missing one is made by the renewal; for a runner of root's it is root's to make.
    """
    try:
        lies_there = (runner_directory / EXCHANGE_PUBLIC).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return is_own
    return lies_there != known.exchange_key
