"""Requests of a run as parts of a session, and the files of modules that a device still lacks.

    relay  --request (deflated JSON, in as many parts as it needs; the last one is flagged)-->  runner
    relay  <--result `manifest_unknown` (only if it does not know the module)--                  runner
    relay  --request (the same under the next number, with the list of the module's files)-->    runner
    relay  <--missing (SHA-256 digests, 32 bytes each; only if any)--                            runner
    relay  --input (one deflated stream: length (u32) and content of each, in the order asked)-> runner

A module's list of files is longer than all else that a request holds: 3 to 6 KB deflated, and 0.5 without.  So a device
is told its digest first, and the list itself only if it does not know that.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from annexfleet_agent.protocol.channel import DATA_BYTES, Part
from annexfleet_agent.protocol.envelope import Malformed, ModuleFile, Request, parse

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Inflated.  Parameters of a module may hold a page of text; files travel as input."""
MAX_FILES_BYTES = 32 * 1024 * 1024
"""Inflated, of one answer to `missing`.  Ansible's largest module with all it imports is below 2 MB."""
DIGEST_BYTES = 32

MANIFEST_UNKNOWN = "manifest_unknown"
"""The error of a request that told only the manifest of its module, to a device that does not know it: nothing was
done."""

_LENGTH = struct.Struct(">I")


def manifest_of(files: Iterable[ModuleFile]) -> str:
    """What a module consists of, in one digest: SHA-256, hexadecimal, of its names and contents, in whatever order."""
    return hashlib.sha256(msgspec.json.encode(sorted((file.name, file.sha256) for file in files))).hexdigest()


class RequestTooBig(ValueError):
    """More than a device would take."""


def request_parts(number: int, request: Request) -> list[Part]:
    """A request as it travels.  Raises RequestTooBig."""
    json = msgspec.json.encode(request)
    if len(json) > MAX_REQUEST_BYTES:
        raise RequestTooBig(f"a request of {len(json)} bytes")
    return _parts("request", number, zlib.compress(json, 9))


def missing_parts(number: int, digests: Iterable[str]) -> list[Part]:
    """A question for files.  `digests` are SHA-256, hexadecimal."""
    return _parts("missing", number, b"".join(map(bytes.fromhex, digests)))


class RequestGathering:
    """The runner's side of `request_parts`: one for each request."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self._json = bytearray()

    def add(self, part: Part) -> Request | None:
        """The request, once its last part came.  Raises Malformed."""
        _inflate(self._inflate, part.data, self._json, MAX_REQUEST_BYTES)
        if not part.last:
            return None
        if not self._inflate.eof:
            raise Malformed("a request that was cut")
        return parse(bytes(self._json), Request)


class MissingGathering:
    """The relay's side of `missing_parts`."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, part: Part) -> list[str] | None:
        """The digests, once the last part came.  Raises Malformed."""
        self._data += part.data
        if len(self._data) > DIGEST_BYTES * 2000:
            raise Malformed("more files than a module may have")
        if not part.last:
            return None
        if len(self._data) % DIGEST_BYTES:
            raise Malformed("half a digest")
        hexadecimal = self._data.hex()
        return [hexadecimal[at : at + 2 * DIGEST_BYTES] for at in range(0, len(hexadecimal), 2 * DIGEST_BYTES)]


def deflated_files(contents: Iterable[bytes]) -> bytes:
    """The files' contents as one stream, for `input` parts."""
    deflate = zlib.compressobj(9)
    made = [deflate.compress(_LENGTH.pack(len(content)) + content) for content in contents]
    return b"".join((*made, deflate.flush()))


class FilesGathering:
    """The runner's side of `deflated_files`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._inflate = zlib.decompressobj()
        self._plain = bytearray()

    def add(self, part: Part) -> list[bytes] | None:
        """The contents in the order asked, once the last part came; the caller compares digests.  Raises Malformed."""
        _inflate(self._inflate, part.data, self._plain, MAX_FILES_BYTES)
        if not part.last:
            return None
        contents = list(self._split())
        if not self._inflate.eof or len(contents) != self._count:
            raise Malformed("not the files that were asked for")
        return contents

    def _split(self) -> Iterator[bytes]:
        at, plain = 0, bytes(self._plain)
        while at < len(plain):
            if len(plain) - at < _LENGTH.size:
                raise Malformed("a file that was cut")
            (length,) = _LENGTH.unpack_from(plain, at)
            at += _LENGTH.size
            if length > len(plain) - at:
                raise Malformed("a file that was cut")
            yield plain[at : at + length]
            at += length


def _parts(kind: Literal["request", "missing"], number: int, data: bytes) -> list[Part]:
    chunks = [data[at : at + DATA_BYTES] for at in range(0, len(data), DATA_BYTES)] or [b""]
    return [Part(kind, number, chunk, last=chunk is chunks[-1]) for chunk in chunks]


def _inflate(inflate: Any, data: bytes, to: bytearray, limit: int) -> None:
    try:
        to += inflate.decompress(data, limit + 1 - len(to))
    except zlib.error:
        raise Malformed("not deflated") from None
    if len(to) > limit or inflate.unconsumed_tail:
        raise Malformed("too big")
    if inflate.unused_data:
        raise Malformed("something behind the end")
