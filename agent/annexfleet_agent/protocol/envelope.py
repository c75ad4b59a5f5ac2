"""What travels between the controller's relay and a device's runner: knocks, challenges, signed envelopes, refusals.

    relay  --KNOCK-->      device     unsigned: "I would speak with your runner"
    relay  <--CHALLENGE--  device     the runner's fresh random number
    relay  --ENVELOPE-->   device     signed for this device and this challenge, sealed to its key
    relay  <--REFUSAL--    device     or else FRAMEs and ACKs in both directions (`channel`)

Everything goes on `down/run` and `up/run/<channel>`.  A packet is one byte that tells its kind, and its body.  Nothing
is put in canonical form: what is signed are the bytes that travel.

The challenge makes an envelope fresh without a clock that both agree on: the runner made it, takes it once, and knows
by its own monotonic clock how old it is.  A held, copied or replayed envelope names a challenge that is not there.
"""

from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from annexfleet_agent.protocol.actions import ACTION_CLASSES, ActionClass

__all__ = ["ACTION_CLASSES", "ActionClass"]  # and all that stands below: these two only come from elsewhere

KNOCK = b"K"
CHALLENGE = b"C"
ENVELOPE = b"E"
REFUSAL = b"R"
FRAME = b"F"
ACK = b"A"

VERSION = 1
SESSION_BYTES = 8
CHALLENGE_BYTES = 16
KEY_BYTES = 32
MAX_ENVELOPE_BYTES = 32 * 1024
CHALLENGE_LIFETIME_S = 60.0
LONGEST_VALIDITY_S = 120.0
"""No envelope may be good for longer: what takes longer happens inside the session that it opens."""
MAX_KEYS = 8

ENVELOPE_PURPOSE = b"annexfleet envelope 1\n"
KEY_SET_PURPOSE = b"annexfleet command keys 1\n"
SESSION_PURPOSE = b"annexfleet session 1\n"
"""In front of what is signed or derived, so that nothing made for one purpose is good for another."""

RefusalReason = Literal[
    "too_big",  # over MAX_ENVELOPE_BYTES
    "malformed",  # no envelope, or a field that cannot be so
    "keys_wrong",  # a key set that the root did not sign, or an older one
    "unknown_key",  # signed with a key that is not in the set, or not for this class of action, or no longer
    "bad_signature",
    "other_device",
    "stale_boot",  # made for a time before this device started last
    "foreign_challenge",  # no challenge of ours, or one that was used before
    "expired",
    "replayed",  # a sequence number that is not above all before: another envelope overtook it
    "sealed_wrong",  # the arguments do not open with the device's key
    "not_allowed",  # this installation does not take this class of action
    "busy",  # a request of an earlier session still runs; no sign of an attack
    "not_ready",  # the runner has no identity or no key yet, or cannot write; no sign of an attack
    "no_session",  # a frame of a session that this runner does not know: it ended, or was started anew
]
REFUSAL_REASONS: tuple[RefusalReason, ...] = get_args(RefusalReason)
HARMLESS: frozenset[RefusalReason] = frozenset({"busy", "not_ready", "not_allowed", "no_session", "replayed"})
"""Every other refusal is counted as an attempt to forge, and an alert is made of it.  `replayed` is none: it is told
only of what was signed over a challenge of ours that nobody used, so two envelopes overtook each other.  A copy names
a challenge that is gone."""

SessionId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Hex16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Code = Annotated[str, Meta(max_length=64)]
_T = TypeVar("_T")


class _Part(Struct, frozen=True, kw_only=True):
    pass


class _Spare(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of what there is much: what is as it mostly is does not travel."""


class Knock(_Part, frozen=True, kw_only=True):
    """Unsigned, and worth nothing: it starts the runner and asks for a challenge."""

    session: SessionId
    """Random, chosen by the relay; names everything that follows."""
    channel: Annotated[str, Meta(pattern=r"^[a-z0-9]{1,32}\Z")]
    """The last level of the topic on which the relay hears."""


class Challenge(_Part, frozen=True, kw_only=True):
    session: SessionId
    challenge: Hex16
    boot_id: Code
    """The kernel's, as in `Hello.boot_id`."""
    keys_version: Annotated[int, Meta(ge=0, le=2**53)]
    """Of the key set in force; 0 if there is none.  The controller attaches its own if that is newer."""
    exchange_key: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """X25519, public.  Only for a clear message: the signer uses the one that was enrolled."""
    busy: bool = False
    runner_version: Code = ""


class Key(_Part, frozen=True, kw_only=True):
    """A key that may sign."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}\Z")]
    public: bytes
    """Ed25519, 32 bytes."""
    classes: list[str]
    """The action classes it may sign; classes that are not known are ignored."""


class KeySet(_Part, frozen=True, kw_only=True):
    """All keys that may sign now.  A set with a higher version replaces the one before it whole."""

    version: Annotated[int, Meta(ge=1, le=2**53)]
    keys: Annotated[list[Key], Meta(min_length=1, max_length=MAX_KEYS)]


class Signed(_Part, frozen=True, kw_only=True):
    """Bytes and the proof over purpose and bytes; both base64 in JSON."""

    body: bytes
    proof: bytes
    """Of a `KeySet`: ECDSA with SHA-256 by the root.  Of an `Envelope`: Ed25519."""


class Envelope(_Part, frozen=True, kw_only=True):
    """Leave to do something, once, on one device."""

    version: Annotated[int, Meta(ge=1, le=1)]
    key_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{8}\Z")]
    device_id: Code
    action: str
    """An action class."""
    command_id: Annotated[str, Meta(min_length=1, max_length=64)]
    """Of a command: its own id.  Of a run: `run-<id>`."""
    session: SessionId
    sequence: Annotated[int, Meta(ge=1, le=2**53)]
    boot_id: Code
    challenge: Hex16
    issued_at: Annotated[float, Meta(ge=0, le=4e10)]
    expires_at: Annotated[float, Meta(ge=0, le=4e10)]
    """Both Unix time by the controller's clock."""
    bundle_digest: Annotated[str, Meta(max_length=64)] = ""
    """SHA-256, hexadecimal, of what was approved; kept in the device's journal."""
    ephemeral_key: bytes
    """X25519, public, 32 bytes: made for this envelope alone."""
    sealed: bytes
    """`Arguments` as JSON, sealed with the key of the way down under number 0."""


class Delivery(_Part, frozen=True, kw_only=True):
    """The body of an ENVELOPE packet."""

    envelope: Signed
    keys: Signed | None = None


class Arguments(_Part, frozen=True, kw_only=True):
    """What an envelope carries for nobody's eyes but the device's."""

    command: Code = ""
    """The name of a command in `commands`; empty for a run."""
    parameters: dict[str, str | int | float | bool] = {}
    receipt_key: Annotated[bytes, Meta(max_length=64)] = b""
    """Of a command: what proves its receipt (`receipts`)."""
    request_timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0
    """For each request of a run, at most."""
    session_timeout_s: Annotated[float, Meta(gt=0, le=7 * 86_400)] = 4 * 3600.0


class Refusal(_Part, frozen=True, kw_only=True):
    session: SessionId
    reason: Code
    """A RefusalReason; one that is not known is shown as it is."""


# -- inside a session -------------------------------------------------------------------------------------------------


class ModuleFile(Struct, frozen=True, array_like=True):
    """A file of a module's payload: its name in the archive, and its content by digest."""

    name: Annotated[str, Meta(max_length=300)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Module(_Spare, frozen=True, kw_only=True):
    """An Ansible module to be run as it would be by Python reading it from its standard input.

    Its files are told by their list, or only by its digest: a device that does not know that answers
    `requests.MANIFEST_UNKNOWN`.  Raises ValueError if it has neither; whether they fit each other is not looked at.
    """

    files: Annotated[list[ModuleFile], Meta(max_length=2000)] = []
    manifest: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""
    """Of its files: `requests.manifest_of`."""
    fqn: Annotated[str, Meta(max_length=200)]
    """`ansible.modules.stat`"""
    params: str
    """JSON, as Ansible made it."""
    profile: Code
    extensions: str = "{}"
    """JSON"""
    rlimit_nofile: int = 0
    interpreter: Annotated[str, Meta(max_length=200)] = "/usr/bin/python3"
    environment: dict[str, str] = {}
    as_root: bool = False
    """The task asks for root (`become`): a runner that is not root has to ask sudo for it."""

    def __post_init__(self) -> None:
        if not self.files and not self.manifest:
            raise ValueError("a module without files")


class Request(_Spare, frozen=True, kw_only=True):
    """One thing to do inside a session of class `run`."""

    op: Literal["exec", "module", "put", "fetch"]
    argv: Annotated[list[str], Meta(max_length=64)] = []
    """exec: program and arguments.  What follows as input is its standard input."""
    path: Annotated[str, Meta(max_length=4096)] = ""
    """put, fetch: an absolute path.  put: what follows as input is the content; fetch: it comes as output."""
    size_bytes: Annotated[int, Meta(ge=0)] = 0
    """put: so long will the input be."""
    sha256: Annotated[str, Meta(max_length=64)] = ""
    """put: of the whole content; nothing is put in place unless it fits."""
    module: Module | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 3600.0


class Result(_Part, frozen=True, kw_only=True):
    """How a request ended; the last part of its answer."""

    exit_code: int = 0
    error: Code = ""
    """Empty, or why there is no exit code: `timed_out`, `output_too_big`, `memory`, `cancelled`, `malformed`,
    `not_found`, `denied`, `no_space`, `digest_differs`, `failed`, `unknown`, or `manifest_unknown`: nothing was done,
    and the module's files must be named."""
    detail: Annotated[str, Meta(max_length=500)] = ""
    """For a person, in English; a path or an errno's words, never content."""
    sha256: Annotated[str, Meta(max_length=64)] = ""
    """fetch: of all that came as output."""
    receipt: Code = ""
    """command: done, refused, failed or unknown."""


Body = Knock | Challenge | Delivery | Refusal
_KIND_OF: dict[type[Body], bytes] = {Knock: KNOCK, Challenge: CHALLENGE, Delivery: ENVELOPE, Refusal: REFUSAL}
_TYPE_OF: dict[bytes, type[Body]] = {kind: type_ for type_, kind in _KIND_OF.items()}


class Malformed(ValueError):
    """A packet that is none."""


def pack(body: Body) -> bytes:
    """A packet's bytes."""
    return _KIND_OF[type(body)] + msgspec.json.encode(body)


def unpack(packet: bytes) -> Body:
    """The body of a KNOCK, CHALLENGE, ENVELOPE or REFUSAL packet.  Raises Malformed."""
    type_ = _TYPE_OF.get(packet[:1])
    if type_ is None:
        raise Malformed("a packet of unknown kind")
    if len(packet) > MAX_ENVELOPE_BYTES:
        raise Malformed("too big")
    return parse(packet[1:], type_)


def parse(json: bytes, type_: type[_T]) -> _T:
    """JSON as one of this module's structs.  Raises Malformed."""
    try:
        return msgspec.json.decode(json, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)[:200]) from None
