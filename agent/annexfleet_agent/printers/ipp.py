"""The Internet Printing Protocol's encoding (RFC 8010): requests to bytes, bytes to answers.

Thinks only; `transport` carries.  What a printer says is hostile input: lengths are checked before they are used, a
value of the wrong size or a message that ends early is refused as a whole, and nesting is bounded.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from annexfleet_agent.printers.failure import Failed

CUPS_GET_PRINTERS = 0x4002
GET_JOBS = 0x000A
GET_PRINTER_ATTRIBUTES = 0x000B
RESUME_PRINTER = 0x0011

OK_BELOW = 0x0100
"""Statuses below are successes, some with remarks."""
FORBIDDEN = frozenset({0x0401, 0x0402, 0x0403})
NOT_FOUND = 0x0406
UNSUPPORTED = frozenset({0x0501, 0x0405, NOT_FOUND})
VERSION_REFUSED = frozenset({0x0503, 0x0400})
"""Version-not-supported; old firmware says bad-request to a version it does not know."""

# Group delimiters
OPERATION, JOB, END, PRINTER = 0x01, 0x02, 0x03, 0x04
_FIRST_VALUE_TAG = 0x10

# Value tags
_NO_VALUE_UP_TO = 0x1F  # "out of band": unsupported, unknown, no-value
INTEGER, BOOLEAN, ENUM = 0x21, 0x22, 0x23
OCTETS, DATE_TIME, RESOLUTION, RANGE, COLLECTION = 0x30, 0x31, 0x32, 0x33, 0x34
TEXT_LANG, NAME_LANG, END_COLLECTION = 0x35, 0x36, 0x37
TEXT, NAME, KEYWORD, URI, CHARSET, LANGUAGE, MEMBER = 0x41, 0x42, 0x44, 0x45, 0x47, 0x48, 0x4A
NO_VALUE = 0x13
_STRINGS = range(0x40, 0x60)
_NUMBERS = {INTEGER: ">i", ENUM: ">i", BOOLEAN: ">?", RANGE: ">ii", RESOLUTION: ">iib"}

_MAX_DEPTH = 8

Value = int | bool | str | bytes | tuple[int, ...] | dict[str, list["Value"]] | None
Attributes = dict[str, list[Value]]


class Attribute(NamedTuple):
    """An attribute to send: its values all have one tag."""

    name: str
    tag: int
    values: Sequence[Value]


class Group(NamedTuple):
    tag: int
    attributes: Attributes


class Answer(NamedTuple):
    version: tuple[int, int]
    status: int
    request_id: int
    groups: list[Group]

    def of(self, tag: int) -> list[Attributes]:
        """The attributes of each group with this delimiter."""
        return [group.attributes for group in self.groups if group.tag == tag]


def request(
    operation: int, uri: str, more: Sequence[Attribute] = (), *, version: tuple[int, int] = (2, 0), request_id: int = 1
) -> bytes:
    """A request about the printer (or server) of this URI."""
    attributes = [
        # RFC 8011 4.1.4: these two first, and in this order.
        Attribute("attributes-charset", CHARSET, ["utf-8"]),
        Attribute("attributes-natural-language", LANGUAGE, ["en"]),
        Attribute("printer-uri", URI, [uri]),
        *more,
    ]
    return encode(version, operation, request_id, [(OPERATION, attributes)])


def encode(
    version: tuple[int, int], code: int, request_id: int, groups: Sequence[tuple[int, Sequence[Attribute]]]
) -> bytes:
    """A message; `code` is the operation of a request or the status of an answer."""
    out = bytearray(struct.pack(">BBHI", *version, code, request_id))
    for tag, attributes in groups:
        out.append(tag)
        for attribute in attributes:
            name = attribute.name
            for value in attribute.values:
                _put(out, attribute.tag, name, value)
                name = ""  # further values of the same attribute bear no name
    out.append(END)
    return bytes(out)


def parse(message: bytes) -> Answer:
    """The answer in a message.  Raises Failed `malformed`; what follows the attributes' end is not looked at."""
    if len(message) < 9:
        raise Failed("malformed", "shorter than an IPP header")
    major, minor, status, request_id = struct.unpack_from(">BBHI", message)
    if major not in {1, 2}:
        raise Failed("malformed", f"IPP version {major}.{minor}")
    groups: list[Group] = []
    records = _records(message, 8)
    name = ""
    for tag, key, raw in records:
        if tag < _FIRST_VALUE_TAG:
            groups.append(Group(tag, {}))
            name = ""
            continue
        if not groups:
            raise Failed("malformed", "a value before the first group")
        value = _collection(records, 1) if tag == COLLECTION else _value(tag, raw)
        name = key or name
        if not name:
            raise Failed("malformed", "a value without a name")
        groups[-1].attributes.setdefault(name, []).append(value)
    return Answer((major, minor), status, request_id, groups)


def _records(message: bytes, at: int) -> Iterator[tuple[int, str, bytes]]:
    """(tag, name, value) of each field; of a group delimiter only the tag counts."""
    try:
        while (tag := message[at]) != END:
            at += 1
            if tag < _FIRST_VALUE_TAG:
                yield tag, "", b""
                continue
            name, at = _counted(message, at)
            value, at = _counted(message, at)
            yield tag, name.decode("utf-8", "replace"), value
    except (IndexError, struct.error):
        raise Failed("malformed", "cut short") from None


def _counted(message: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", message, at)
    end = at + 2 + length
    if end > len(message):
        raise IndexError
    return message[at + 2 : end], end


def _collection(records: Iterator[tuple[int, str, bytes]], depth: int) -> dict[str, list[Value]]:
    """The members up to the end of a collection whose beginning was read."""
    if depth > _MAX_DEPTH:
        raise Failed("malformed", "collections nest too deep")
    members: dict[str, list[Value]] = {}
    current: list[Value] | None = None
    for tag, _, raw in records:
        if tag == END_COLLECTION:
            return members
        if tag == MEMBER:
            current = members.setdefault(raw.decode("utf-8", "replace"), [])
        elif current is None or tag < _FIRST_VALUE_TAG:
            raise Failed("malformed", "a collection without members' names")
        else:
            current.append(_collection(records, depth + 1) if tag == COLLECTION else _value(tag, raw))
    raise Failed("malformed", "a collection without an end")


def _value(tag: int, raw: bytes) -> Value:
    if tag <= _NO_VALUE_UP_TO:
        return None
    try:
        if tag in _NUMBERS:
            numbers = struct.unpack(_NUMBERS[tag], raw)
            return numbers if len(numbers) > 1 else numbers[0]
        if tag in {TEXT_LANG, NAME_LANG}:
            _, at = _counted(raw, 0)
            raw, _ = _counted(raw, at)
            tag = TEXT
    except (struct.error, IndexError):
        raise Failed("malformed", f"a value of {len(raw)} bytes for the tag {tag:#x}") from None
    return raw.decode("utf-8", "replace") if tag in _STRINGS else raw


def _put(out: bytearray, tag: int, name: str, value: Value) -> None:
    if isinstance(value, dict):
        _put_bytes(out, COLLECTION, name, b"")
        for member, values in value.items():
            _put_bytes(out, MEMBER, "", member.encode())
            for inner in values:
                _put(out, _natural_tag(inner), "", inner)
        _put_bytes(out, END_COLLECTION, "", b"")
        return
    _put_bytes(out, tag, name, _raw(tag, value))


def _put_bytes(out: bytearray, tag: int, name: str, raw: bytes) -> None:
    key = name.encode()
    out += struct.pack(f">BH{len(key)}sH", tag, len(key), key, len(raw)) + raw


def _natural_tag(value: Value) -> int:
    """A tag for a collection's member, whose tag nobody gives."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, bytes):
        return OCTETS
    if isinstance(value, tuple):
        return RANGE if len(value) == 2 else RESOLUTION
    return NO_VALUE if value is None else KEYWORD


def _raw(tag: int, value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    return struct.pack(_NUMBERS[tag], *(value if isinstance(value, tuple) else (value,)))
