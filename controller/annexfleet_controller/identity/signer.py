"""The one process that signs envelopes, and how others ask it.

It (`signer_service`) listens on `signer/signer.sock` of the home, takes one request a connection, and looks up by
itself whether what is asked for may be done: the database is asked, and the asking process believed in nothing but what
the device said to it.  Whoever takes over a relay or the broker gets no signature for what nobody ordered.

    asks     Request, then the end of the stream
    hears    Reply, then the end of the stream
"""

import logging
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from msgspec import Meta, Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from annexfleet_agent.protocol.envelope import (
    ENVELOPE_PURPOSE,
    VERSION,
    Code,
    Delivery,
    Envelope,
    Hex16,
    SessionId,
    Signed,
    pack,
)
from annexfleet_agent.protocol.sealing import Seal, SealBroken, SessionKeys, session_keys
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.errors import AnnexfleetError
from annexfleet_controller.identity import authority, granting, signing
from annexfleet_controller.identity.granting import Grant, Refused
from annexfleet_controller.identity.signing import Sequence, Signing, SigningBroken
from annexfleet_controller.identity.unix_streams import BrokenOff, address, all_of
from annexfleet_controller.settings import Home
from annexfleet_controller.store import signable
from annexfleet_controller.store.database import reading

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 4096
MAX_REPLY_BYTES = 128 * 1024
ASK_WITHIN_S = 10.0
"""Longer than the database is waited for."""
_NAME = r"^[A-Za-z0-9-]{1,64}\Z"
_LONGEST_RUN_ID = 15
"""Digits"""


class SignerAway(AnnexfleetError):
    """The signer does not answer: it is not running, or is stuck.  Trying again may help."""

    code = "signer_away"


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a relay asks for, with what the device's challenge said."""

    what: Literal["run", "command"]
    id: Annotated[str, Meta(pattern=_NAME)]
    """The run's number or the command's id."""
    device_id: Annotated[str, Meta(pattern=_NAME)]
    session: SessionId
    boot_id: Code
    challenge: Hex16
    keys_version: Annotated[int, Meta(ge=0)] = 0
    exchange_key: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """As the challenge said, for a clear refusal; what was enrolled is what counts."""


class Answer(Struct, frozen=True, kw_only=True):
    """Leave, for this one session."""

    delivery: bytes
    """The whole ENVELOPE packet."""
    down: bytes
    up: bytes
    """The keys of both directions (`sealing.SessionKeys`)."""
    sequence: int


class Status(Struct, frozen=True, kw_only=True):
    """How the signer is."""

    keys_version: int
    """0: it has no keys that can be used, and signs nothing."""
    key_id: str = ""
    problem: str = ""


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the three."""

    answer: Answer | None = None
    status: Status | None = None
    refused: str = ""
    """A `granting.Reason`."""
    detail: str = ""


ASKS_STATUS = b"status"
"""Instead of a Request"""


# -- asking -----------------------------------------------------------------------------------------------------------


def ask(home: Home, request: Request, *, timeout_s: float = ASK_WITHIN_S) -> Answer:
    """An envelope and the keys of its session.  Blocks for at most about `timeout_s`.

    Raises Refused, whose `reason` is a `granting.Reason`, and SignerAway.
    """
    reply = _exchange(home, msgspec.json.encode(request), timeout_s)
    if reply.answer is None:
        raise Refused(reply.refused or "malformed", reply.detail)
    return reply.answer


def status(home: Home, *, timeout_s: float = ASK_WITHIN_S) -> Status:
    """How the signer is.  Raises SignerAway."""
    reply = _exchange(home, ASKS_STATUS, timeout_s)
    if reply.status is None:
        raise SignerAway(f"what answers at {socket_path(home)} is another version's")
    return reply.status


def socket_path(home: Home) -> Path:
    return home.signer_dir / "signer.sock"


def _exchange(home: Home, content: bytes, timeout_s: float) -> Reply:
    place = socket_path(home)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, address(place) as where:
            line.settimeout(timeout_s)
            line.connect(where)
            line.sendall(content)
            line.shutdown(socket.SHUT_WR)
            heard = all_of(line, MAX_REPLY_BYTES, timeout_s)
        return msgspec.json.decode(heard, type=Reply)
    except OSError as error:
        raise SignerAway(
            f"the signer does not answer at {place} ({error.strerror or error}): annexfleet serve starts it"
        ) from error
    except (msgspec.DecodeError, BrokenOff) as error:
        raise SignerAway(f"the signer at {place} broke off or is another version's: {error}") from error


# -- deciding ---------------------------------------------------------------------------------------------------------


class Signer:
    """Judges requests and signs.  Any thread may call `judge`."""

    def __init__(self, home: Home, engine: Engine, *, clock: Clock = SYSTEM) -> None:
        """One process at a time may have the home's sequence (`held`).  Raises SigningBroken if it cannot be read."""
        self._home = home
        self._engine = engine
        self._clock = clock
        self._sequence = Sequence(home.signer_dir / signing.SEQUENCE)
        self._lock = threading.Lock()
        self._stamp: object = ()
        self._signing: Signing | None = None
        self._problem = ""

    def status(self) -> Status:
        found = self._current()
        if found is None:
            return Status(keys_version=0, problem=self._problem)
        return Status(keys_version=found.keys.version, key_id=found.key_id)

    def judge(self, request: Request) -> Answer:
        """Look everything up, and sign.  Raises Refused."""
        now = self._clock.now()
        found = self._current()
        if found is None:
            raise Refused("no_keys", self._problem)
        try:
            authority.check_clock(found.root, now)
        except authority.ClockWrong as error:
            raise Refused("clock_wrong", str(error)) from None
        if request.keys_version > found.keys.version:
            raise Refused("keys_behind", "this home's keys are older than the device's: annexfleet keys rotate")
        try:
            device, grant = self._looked_up(request, now)
        except SQLAlchemyError as error:
            log.exception("the database cannot be asked")
            raise Refused("database", type(error).__name__) from None
        try:
            sequence = self._sequence.next(now)
        except OSError as error:
            log.exception("the sequence cannot be kept")
            raise Refused("sequence", error.strerror or "") from None
        return _signed(found, request, grant, device.exchange_key, sequence=sequence, now=now)

    def _looked_up(self, request: Request, now: datetime) -> tuple[signable.SignableDevice, Grant]:
        with reading(self._engine) as db:
            device = granting.check_device(signable.device(db, request.device_id), request.exchange_key)
            if request.what == "command":
                found = signable.command(db, request.id)
                return device, granting.for_command(request.id, found, device, now)
            if not (request.id.isdecimal() and len(request.id) <= _LONGEST_RUN_ID):
                raise Refused("run_unknown")
            run_id = int(request.id)
            return device, granting.for_run(run_id, signable.run(db, run_id, device.number), now)

    def _current(self) -> Signing | None:
        """The keys, read anew when they changed; None while there are none that can be used."""
        with self._lock:
            # Taken before reading: if the files change meanwhile they are read again next time.
            stamp = signing.stamp(self._home)
            if self._signing is None or stamp != self._stamp:
                self._load(stamp)
            return self._signing

    def _load(self, stamp: object) -> None:
        try:
            self._signing = signing.load(self._home)
        except SigningBroken as error:
            if stamp != self._stamp:
                log.error("nothing can be signed reason=%s", error)  # noqa: TRY400  # a sentence for a person
            self._signing, self._problem = None, str(error)
        else:
            log.info("keys in force version=%s key=%s", self._signing.keys.version, self._signing.key_id)
        self._stamp = stamp


def _signed(
    found: Signing, request: Request, grant: Grant, exchange_key: bytes, *, sequence: int, now: datetime
) -> Answer:
    ephemeral = X25519PrivateKey.generate()
    ephemeral_key = ephemeral.public_key().public_bytes_raw()
    try:
        keys = session_keys(
            ephemeral, exchange_key, session=request.session, device_id=request.device_id, ephemeral=ephemeral_key
        )
    except SealBroken as error:
        raise Refused("no_exchange_key", str(error)) from None
    envelope = Envelope(
        version=VERSION,
        key_id=found.key_id,
        device_id=request.device_id,
        action=grant.action,
        command_id=grant.command_id,
        session=request.session,
        sequence=sequence,
        boot_id=request.boot_id,
        challenge=request.challenge,
        issued_at=now.timestamp(),
        expires_at=grant.expires_at.timestamp(),
        bundle_digest=grant.bundle_digest,
        ephemeral_key=ephemeral_key,
        sealed=_sealed(keys, request.session, grant),
    )
    body = msgspec.json.encode(envelope)
    delivery = Delivery(
        envelope=Signed(body=body, proof=found.private.sign(ENVELOPE_PURPOSE + body)),
        keys=found.signed if request.keys_version < found.keys.version else None,
    )
    return Answer(delivery=pack(delivery), down=keys.down, up=keys.up, sequence=sequence)


def _sealed(keys: SessionKeys, session: str, grant: Grant) -> bytes:
    return Seal(keys.down).close(0, msgspec.json.encode(grant.arguments), session.encode())
