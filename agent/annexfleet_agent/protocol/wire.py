"""Messages to bytes and back.

A payload is JSON, or byte 0x01 followed by raw deflate of JSON with the preset dictionary of version 1.  JSON never
begins with that byte, so both are told apart by looking.  A dictionary is never changed: a better one gets the next
number, and every number stays readable for ever.
"""

import zlib
from typing import Any, get_args

import msgspec

from annexfleet_agent.protocol import dictionaries, messages, topics

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_INFLATED_BYTES = 512 * 1024
"""Of an inventory: a package list of 3,000 names is about 110 KB of JSON."""
_MAX_INFLATED_BYTES_OF = {"inventory": MAX_INFLATED_BYTES, "change": 128 * 1024}
"""A change holds a whole collector: a printer with its supplies and trays is about 2 KB of JSON, so a print server may
have 60.  No other kind says more than a page."""
_USUAL_MAX_INFLATED_BYTES = 64 * 1024
MAX_DEPTH = 32

_DEFLATE_FROM_BYTES = 48
"""Below this, deflating costs time and gains nothing."""

_UP: dict[str, type[Any]] = {
    "hello": messages.Hello,
    "beat": messages.Beat,
    "change": messages.Change,
    "inventory": messages.Inventory,
    "receipt": messages.Receipt,
    "gap": messages.Gap,
    "live": messages.Live,
    "gone": messages.Gone,
}
_DOWN: dict[str, type[Any]] = {"ack": messages.Ack, "config": messages.Config, "command": messages.Command}
assert set(_UP) == set(get_args(topics.Up))
assert set(_DOWN) == set(get_args(topics.Down)) - {"run"}  # whose packets are not JSON: `envelope`

_encode = msgspec.json.Encoder().encode
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(type_) for kind, type_ in {**_UP, **_DOWN}.items()
}
_kinds = {type_: kind for kind, type_ in {**_UP, **_DOWN}.items()}

_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Malformed(Exception):
    """A payload that is no message.  `reason` is a code; `detail` says where, without the payload's values."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def kind_of(message: messages.UpMessage | messages.DownMessage) -> str:
    """The last word of the topic on which such a message travels."""
    return _kinds[type(message)]


def encode(message: messages.UpMessage | messages.DownMessage) -> bytes:
    """The payload for a message, deflated where that is shorter."""
    return pack(_encode(message))


def pack(json: bytes) -> bytes:
    """JSON as a payload: deflated with the newest dictionary where that is shorter."""
    if len(json) < _DEFLATE_FROM_BYTES:
        return json
    version = dictionaries.NEWEST
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=dictionaries.BY_VERSION[version])
    packed = bytes([version]) + deflater.compress(json) + deflater.flush()
    return packed if len(packed) < len(json) else json


def max_inflated_bytes(kind: str) -> int:
    """How long the JSON of a message of this kind may be.

    A few hundred bytes of deflate can become a thousand times as many, and objects in memory twenty times that.
    """
    return _MAX_INFLATED_BYTES_OF.get(kind, _USUAL_MAX_INFLATED_BYTES)


def unpack(payload: bytes, *, at_most: int = MAX_INFLATED_BYTES) -> bytes:
    """The JSON in a payload, if it is no longer than `at_most` bytes.

    Raises Malformed: `too_big`, `unknown_encoding`, `not_deflate`, `inflates_too_far` or `too_deep`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Malformed("too_big", f"{len(payload)} bytes")
    json = payload
    if payload[:1] and payload[0] < 0x09:  # JSON begins with white space (from 0x09) or a printable character
        json = _inflate(payload[0], payload[1:], at_most)
    if _deeper_than(json, MAX_DEPTH):
        raise Malformed("too_deep", f"over {MAX_DEPTH} levels")
    return json


def unpack_own(payload: bytes) -> bytes:
    """The JSON in a payload that we packed ourselves: it may be longer than what is believed of a device."""
    return _inflate(payload[0], payload[1:], -1) if payload[:1] and payload[0] < 0x09 else payload


def decode_up(kind: topics.Up, payload: bytes) -> messages.UpMessage:
    """What a device said.  Raises Malformed with the codes of `unpack`, `not_json` or `not_a_message`."""
    return parse_up(kind, unpack(payload, at_most=max_inflated_bytes(kind)))


def parse_up(kind: topics.Up, json: bytes) -> messages.UpMessage:
    """What a device said, from what `unpack` gave.  Raises Malformed: `not_json`, `not_a_message` or `too_deep`."""
    message: messages.UpMessage = _parse(kind, json)
    return message


def decode_down(kind: topics.Down, payload: bytes) -> messages.DownMessage:
    """What the controller said.  Raises Malformed as `decode_up` does."""
    message: messages.DownMessage = _parse(kind, unpack(payload, at_most=max_inflated_bytes(kind)))
    return message


def _parse(kind: str, json: bytes) -> Any:
    try:
        return _decoders[kind].decode(json)
    except msgspec.ValidationError as error:
        raise Malformed("not_a_message", str(error)[:200]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed("not_json", str(error)[:200]) from None
    except RecursionError:
        raise Malformed("too_deep") from None


def _inflate(version: int, data: bytes, at_most: int) -> bytes:
    """At most so many bytes; below 0: as many as there are."""
    dictionary = dictionaries.BY_VERSION.get(version)
    if dictionary is None:
        raise Malformed("unknown_encoding", f"dictionary {version}")
    inflater = zlib.decompressobj(-15, zdict=dictionary)
    try:
        json = inflater.decompress(data, at_most + 1)
    except zlib.error:
        raise Malformed("not_deflate") from None
    if 0 <= at_most < len(json):
        raise Malformed("inflates_too_far", f"over {at_most} bytes")
    if not inflater.eof or inflater.unused_data:
        raise Malformed("not_deflate", "cut short" if not inflater.eof else "bytes after the end")
    return json


def _deeper_than(json: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than this."""
    # Brackets inside strings may mislead the quick look: only then look again without the strings.
    return _nests_deeper(json, limit) and _nests_deeper(_without_strings(json), limit)


def _without_strings(json: bytes) -> bytes:
    """What stands outside of strings; in one pass, whatever the bytes are.  An open string lasts to the end."""
    unescaped = json.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(unescaped.split(b'"')[::2])


def _nests_deeper(json: bytes, limit: int) -> bool:
    brackets = json.translate(_ONE_BRACKET, _NOT_BRACKETS)
    for _ in range(limit):
        peeled = brackets.replace(b"[]", b"")  # the innermost level; a message in use has four
        if len(peeled) == len(brackets):
            return False  # nothing left, or unbalanced: then it is no JSON, and the decoder says so better
        brackets = peeled
    return bool(brackets)
