"""A small HTTP/1.1 client over a socket that is already connected, for queue sources, printers and portal checks.

`http.client` and `urllib.request` would each cost the resident agent more than 8 MiB, and neither has a deadline for
the *whole* exchange.  Here every call shares one `Deadline`, every answer has a size cap, and what the other side does
wrong becomes one of three exceptions that know their problem code:

    deadline = Deadline(5.0)
    with dial("queue.local", 80, deadline) as connection:
        answer = request(connection, "GET", "/waiting", host="queue.local", deadline=deadline, max_bytes=1 << 20)

Redirects are not followed: an answer with status 302 comes back as it is, and the caller decides.  Looking a name up
(`dial` with a host name) cannot be interrupted, so `dial` belongs in the worker thread.
"""

import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from annexfleet_agent.protocol.messages import ProblemCode

if TYPE_CHECKING:
    import ssl

MAX_HEAD_BYTES = 32 * 1024
"""Status line and headers together."""
_MAX_CHUNK_LINE_BYTES = 256
_RECEIVE_BYTES = 64 * 1024

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HASH_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")


class Timeout(TimeoutError):
    """The exchange did not end in its time."""

    problem_code: ProblemCode = "timed_out"


class TooBig(Exception):
    """The answer is bigger than the caller allows."""

    problem_code: ProblemCode = "too_big"


class Malformed(Exception):
    """What came back is no HTTP/1 answer, or was cut short."""

    problem_code: ProblemCode = "malformed"


class Deadline:
    """One limit for all the steps of an exchange."""

    def __init__(self, seconds: float, mono: Callable[[], float] = time.monotonic) -> None:
        self._mono = mono
        self._end = mono() + seconds

    def left(self) -> float:
        """Seconds that remain.  Raises Timeout when there are none."""
        left = self._end - self._mono()
        if left <= 0:
            raise Timeout("no time left")
        return left


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    """Names in lower case; of a repeated one the values are joined by `, `."""
    body: bytes
    truncated: bool
    """The body was longer than `max_bytes` and `cut` was asked for."""
    reusable: bool
    """Another request may be sent over the same connection."""


def dial(
    host: str, port: int, deadline: Deadline, *, tls: "ssl.SSLContext | None" = None, server_name: str = ""
) -> socket.socket:
    """A connected TCP socket, or with `tls` an agreed TLS one that has checked the server's name.

    Tries the addresses of `host` in turn.  Raises Timeout, OSError (ConnectionRefusedError, socket.gaierror) or
    ssl.SSLError.
    """
    try:
        connection = socket.create_connection((host, port), timeout=deadline.left())
    except TimeoutError:
        raise Timeout(f"no connection to {host}:{port}") from None
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return connection
        connection.settimeout(deadline.left())
        return tls.wrap_socket(connection, server_hostname=server_name or host)
    except TimeoutError:
        connection.close()
        raise Timeout("no TLS agreement") from None
    except BaseException:
        connection.close()
        raise


@cache
def system_trust() -> "ssl.SSLContext":
    """TLS that believes whom the system believes, made once for everybody who asks.

    Where the system keeps its authorities one in a file named by its hash (Debian does), OpenSSL reads only the one
    that it needs; a bundle of all would stay in memory with 2 MiB.  SSL_CERT_FILE and SSL_CERT_DIR are heeded.
    """
    import ssl  # noqa: PLC0415  # who never asks for https does not pay for it

    paths = ssl.get_default_verify_paths()
    if paths.openssl_cafile_env in os.environ or paths.capath is None or not _is_hashed(paths.capath):
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(capath=paths.capath)
    return context


def _is_hashed(directory: str) -> bool:
    with os.scandir(directory) as entries:
        return any(_HASH_NAME.fullmatch(entry.name) for entry in entries)


def request(
    connection: socket.socket,
    method: str,
    target: str,
    *,
    host: str,
    deadline: Deadline,
    max_bytes: int,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    cut: bool = False,
    keep_alive: bool = False,
) -> Answer:
    """Send one request and read its answer to the end.

    `target` is the path with its query, `host` the Host header.  A body is sent with its Content-Length.  With `cut`
    an answer over `max_bytes` is shortened to it instead of refused.  Interim answers (100 Continue) are skipped.

    Raises Timeout, TooBig, Malformed, ConnectionError; ValueError if a header or the target could smuggle a line.
    """
    message = _head(method, target, host, headers or {}, len(body), keep_alive=keep_alive) + body
    try:
        connection.settimeout(deadline.left())
        connection.sendall(message)
        return _answer(_Reader(connection, deadline), method, max_bytes, cut=cut)
    except Timeout:
        raise
    except TimeoutError:
        raise Timeout("the other side takes too long") from None


def _head(method: str, target: str, host: str, headers: Mapping[str, str], length: int, *, keep_alive: bool) -> bytes:
    told = {name.lower() for name in headers}
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "user-agent" not in told:
        lines.append("User-Agent: annexfleet-agent")
    if "accept-encoding" not in told:
        lines.append("Accept-Encoding: identity")
    if not keep_alive:
        lines.append("Connection: close")
    if length or method in {"POST", "PUT"}:
        lines.append(f"Content-Length: {length}")
    for line in lines:
        if "\r" in line or "\n" in line or "\0" in line:
            raise ValueError("a line break in a request's head")
    if " " in target or not target:
        raise ValueError("the target of a request is empty or has a space")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _answer(reader: "_Reader", method: str, max_bytes: int, *, cut: bool) -> Answer:
    while True:
        minor, status, headers = _read_head(reader)
        if status >= 200:
            break
        if status == 101:
            raise Malformed("the server changed the protocol")
    limit = _Limit(max_bytes, cut=cut)
    closes = "close" in headers.get("connection", "").lower() or minor == 0
    if method == "HEAD" or status in {204, 304}:
        pass
    elif "transfer-encoding" in headers:
        if headers["transfer-encoding"].strip().lower() != "chunked":
            raise Malformed("an unknown transfer encoding")
        _read_chunks(reader, limit)
    elif "content-length" in headers:
        _read_length(reader, _content_length(headers["content-length"]), limit)
    else:
        closes = True
        while limit.wants_more and (piece := reader.some(_RECEIVE_BYTES)):
            limit.take(piece)
    reusable = not closes and not limit.truncated and not reader.leftover
    return Answer(status, headers, bytes(limit.body), limit.truncated, reusable)


def _read_head(reader: "_Reader") -> tuple[int, int, dict[str, str]]:
    """Minor version, status and headers."""
    budget = MAX_HEAD_BYTES
    first = reader.line(budget)
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise Malformed("no HTTP/1 answer")
    headers: dict[str, str] = {}
    budget -= len(first)
    while line := reader.line(budget):
        budget -= len(line) + 2
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise Malformed("a header that is none")
        key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return int(match[1]), int(match[2]), headers


def _content_length(text: str) -> int:
    lengths = {part.strip() for part in text.split(",")}  # repeated and alike is allowed (RFC 9110, 8.6)
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise Malformed("a Content-Length that is none")
    return int(length)


def _read_length(reader: "_Reader", length: int, limit: "_Limit") -> None:
    limit.announce(length)  # refuse 10 MB before it travels
    while length and limit.wants_more:
        piece = reader.some(length)
        if not piece:
            raise Malformed("cut short")
        length -= len(piece)
        limit.take(piece)


def _read_chunks(reader: "_Reader", limit: "_Limit") -> None:
    while limit.wants_more:
        match = _CHUNK_SIZE.fullmatch(reader.line(_MAX_CHUNK_LINE_BYTES))
        if match is None:
            raise Malformed("a chunk without its size")
        size = int(match[1], 16)
        if not size:
            budget = MAX_HEAD_BYTES
            while trailer := reader.line(budget):
                budget -= len(trailer) + 2
            return
        _read_length(reader, size, limit)
        if limit.wants_more and reader.line(2):
            raise Malformed("a chunk longer than its size")


class _Limit:
    """Gathers a body up to its cap."""

    def __init__(self, max_bytes: int, *, cut: bool) -> None:
        self.body = bytearray()
        self.truncated = False
        self._max = max_bytes
        self._cut = cut

    @property
    def wants_more(self) -> bool:
        return not self.truncated

    def announce(self, length: int) -> None:
        if not self._cut and len(self.body) + length > self._max:
            raise TooBig(f"over {self._max} bytes")

    def take(self, piece: bytes) -> None:
        self.announce(len(piece))
        self.body += piece
        if len(self.body) > self._max:
            del self.body[self._max :]
            self.truncated = True


class _Reader:
    """Takes lines and pieces from a socket, within the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = bytearray()

    @property
    def leftover(self) -> bool:
        return bool(self._buffer)

    def some(self, most: int) -> bytes:
        """Between one and `most` bytes; none at the end of the connection."""
        if not self._buffer and not self._fill():
            return b""
        piece = bytes(self._buffer[:most])
        del self._buffer[:most]
        return piece

    def line(self, most: int) -> bytes:
        """The next line without its end.  Raises Malformed if it is longer than this, or cut short."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > most:
                raise Malformed("a line too long")
            if not self._fill():
                raise Malformed("cut short")
        if end > most:
            raise Malformed("a line too long")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _fill(self) -> bool:
        self._connection.settimeout(self._deadline.left())
        piece = self._connection.recv(_RECEIVE_BYTES)
        self._buffer += piece
        return bool(piece)
