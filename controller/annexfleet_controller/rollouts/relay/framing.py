"""What the connection plugin and the relay say to each other over a Unix stream socket.

    kind (1) | last (1) | length (u32, big endian) | data

    plugin -> relay   R   a request: JSON {"host": device id, "request": {...}, "call": {...}}
                      I   its input, in pieces; the last one is flagged
    relay -> plugin   O   output, or a file's content
                      E   what it wrote to its standard error
                      Z   how it ended: JSON {"exit_code": n}, {"error": text, "code": code} or {"unreachable": text}

`request` is a `protocol.envelope.Request`; of op `module` without its module, which the relay makes of `call`: what
Ansible would have run, as its wrapper calls it.  One request at a time on a connection; closing it cancels.
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from annexfleet_agent.protocol.envelope import Request

HEAD = struct.Struct(">ccI")
MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""A module with everything it imports, in base64."""
MAX_INPUT_BYTES = 1024 * 1024
"""In one piece."""
_MOST = {b"R": MAX_REQUEST_BYTES, b"I": MAX_INPUT_BYTES}


class PluginWrong(ValueError):
    """What came is no message of the plugin's."""


class Asked(Struct, frozen=True):
    """A request as the plugin makes it."""

    host: str
    request: Request
    call: dict[str, Any] | None = None


class Piece(Struct, frozen=True):
    kind: bytes
    last: bool
    data: bytes


class Verdict(Struct, frozen=True, omit_defaults=True):
    """How a request ended, for the plugin."""

    exit_code: int | None = None
    error: str = ""
    code: str = ""
    """Of the error, as in `protocol.envelope.Result`."""
    unreachable: str = ""


class Gatherer:
    """Bytes as they come, to messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def add(self, data: bytes) -> Iterator[Piece]:
        """The messages that are whole now.  Raises PluginWrong."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            kind, last, length = HEAD.unpack_from(self._buffer)
            if length > _MOST.get(kind, -1):
                raise PluginWrong(f"a message of kind {kind!r} with {length} bytes")
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                data = bytes(view[HEAD.size : end])
            del self._buffer[:end]
            yield Piece(kind, last == b"\1", data)


def piece(kind: bytes, data: bytes, *, last: bool = True) -> bytes:
    return HEAD.pack(kind, b"\1" if last else b"\0", len(data)) + data


def asked(data: bytes) -> Asked:
    """Raises PluginWrong."""
    try:
        return msgspec.json.decode(data, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PluginWrong(f"a request that cannot be read: {str(error)[:200]}") from None


def verdict(ended: Verdict) -> bytes:
    return piece(b"Z", msgspec.json.encode(ended))
