"""Answers packed with gzip, for lines on which a page of 200 kB takes seconds.

Packed are pages, scripts, sheets and JSON, and never a stream of events, which has to arrive piece by piece.

Who can watch the length of packed answers, and have a browser ask for pages with words of their choosing, could guess
secrets in them (BREACH).  Cookies that browsers send to no foreign frame (`SameSite=Lax`) are the first wall; the
second is that every packed answer is longer by a random number of bytes, which are a file name in gzip's own header.
"""

import secrets
import struct
import time
import zlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

LEAST_BYTES = 1000
"""What is shorter fits into one packet anyway."""
LEVEL = 5
_MOST_PADDING = 100
_PACKED = (
    "text/html",
    "text/css",
    "text/csv",
    "text/plain",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/problem+json",
    "image/svg+xml",
)


def packed(scope: Scope, send: Send) -> Send:
    """Sends to who asked, packed if that is a use and wanted."""
    if not accepts_gzip(Headers(scope=scope).get("accept-encoding", "")):
        return send
    return _Packer(send, is_head=scope["method"] == "HEAD").send


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding names gzip, and not only to refuse it."""
    for part in header.lower().split(","):
        coding, _, rest = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip", "*"):
            name, _, value = rest.partition("=")
            return not (name.strip() == "q" and value.strip().rstrip("0") in ("", "0", "0."))
    return False


class _Packer:
    """One answer on its way."""

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self._start: Message | None = None
        self._pack: zlib._Compress | None = None
        self._checksum = zlib.crc32(b"")
        self._length = 0

    async def send(self, message: Message) -> None:
        # A stream of events begins before there is an event: of what is not packed nothing is held up.
        if message["type"] == "http.response.start" and _is_packed(MutableHeaders(scope=message)):
            self._start = message  # until its body shows how long it is
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            head = self._begin(start, body, is_last=is_last)
            await self._send(start)
            await self._send(self._next(head, message, body, is_last=is_last))
            return
        await self._send(self._next(b"", message, body, is_last=is_last))

    def _begin(self, start: Message, body: bytes, *, is_last: bool) -> bytes:
        """Decide, and change the headers; the first bytes of what is packed, or none if it is not."""
        headers = MutableHeaders(raw=start["headers"])
        headers.add_vary_header("Accept-Encoding")
        is_short = is_last and len(body) < LEAST_BYTES
        if self._is_head or is_short or "content-encoding" in headers or start["status"] in (204, 206, 304):
            return b""
        self._pack = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        headers["Content-Encoding"] = "gzip"
        if "content-length" in headers:
            del headers["content-length"]
        if (tag := headers.get("etag", "")).startswith('"'):
            headers["etag"] = f"W/{tag}"  # the same thing, by other bytes
        if "accept-ranges" in headers:
            del headers["accept-ranges"]
        padding = b"a" * (1 + secrets.randbelow(_MOST_PADDING))
        # RFC 1952: magic, deflate, "has a name", when, no flags, unknown system; then the name.
        return b"\x1f\x8b\x08\x08" + struct.pack("<I", int(time.time())) + b"\x00\xff" + padding + b"\x00"

    def _next(self, head: bytes, message: Message, body: bytes, *, is_last: bool) -> Message:
        if self._pack is None:
            return message
        self._checksum = zlib.crc32(body, self._checksum)
        self._length += len(body)
        packed = head + self._pack.compress(body)
        if is_last:
            packed += self._pack.flush() + struct.pack("<II", self._checksum, self._length & 0xFFFFFFFF)
        return {"type": "http.response.body", "body": packed, "more_body": not is_last}


def _is_packed(headers: Headers) -> bool:
    """Of a kind that shrinks.  JSON with a tag stays as it is: programs send that tag back as the version they read."""
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return kind in _PACKED and not (kind == "application/json" and "etag" in headers)
