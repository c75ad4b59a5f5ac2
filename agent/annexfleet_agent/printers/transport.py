"""Carries IPP over HTTP/1.1, by hand: http.client would cost the resident agent 8 MiB.

One request a connection, over a Unix socket, TCP or TLS.  A printer's certificate is its own work nearly always, so it
is not checked: TLS keeps listeners out here, not impostors, and nothing secret is sent.  Answers are bounded in size
and in time, the time of a server that trickles included.
"""

import socket
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from annexfleet_agent.printers.failure import Failed

if TYPE_CHECKING:
    import ssl

MAX_ANSWER_BYTES = 1024 * 1024
"""A server's answer on 100 queues is about 120 KB, a printer's about 2 KB."""

_MAX_LINE_BYTES = 8 * 1024
_MAX_HEADERS = 100
_UPGRADE_REQUIRED = 426
_CODES = {401: "denied", 403: "denied", 404: "unsupported", 405: "unsupported", 501: "unsupported"}


class Endpoint(NamedTuple):
    """Where IPP is spoken."""

    host: str
    """A host's name or address, or a Unix socket's path (which begins with a slash)."""
    port: int = 631
    path: str = "/"
    tls: bool = False

    @property
    def uri(self) -> str:
        """The printer-uri of questions; over a Unix socket the host is this one."""
        if self.host.startswith("/"):
            return f"ipp://localhost{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'ipps' if self.tls else 'ipp'}://{host}:{self.port}{self.path}"


def is_plain(text: str) -> bool:
    """Whether a host or path can stand in a line of HTTP: an address of somebody else's choice must not add lines."""
    return all(" " < character < "\x7f" for character in text)


def post(endpoint: Endpoint, body: bytes, *, timeout_s: float, mono: Callable[[], float], as_user: str = "") -> bytes:
    """The body of the answer to an IPP request.

    `as_user`, over a Unix socket only: the account this process runs as.  CUPS asks the kernel whether that is true
    (its scheme `PeerCred`), so no password is involved.

    Raises Failed: `unreachable`, `timed_out`, `malformed`, `too_big`, `denied`, `unsupported` or `failed`.
    """
    if not is_plain(endpoint.path) or not (endpoint.host.startswith("/") or is_plain(endpoint.host)):
        raise Failed("unsupported", "an address with a blank or a letter that cannot be in it")
    try:
        status, answer = _exchange(endpoint, body, mono() + timeout_s, mono, as_user)
        if status == _UPGRADE_REQUIRED and not endpoint.tls:
            status, answer = _exchange(endpoint._replace(tls=True), body, mono() + timeout_s, mono)
    except TimeoutError:
        raise Failed("timed_out", f"no answer within {timeout_s:g} s") from None
    except FileNotFoundError:
        raise Failed("unsupported", f"there is no {endpoint.host}") from None
    except PermissionError:
        raise Failed("denied", f"may not open {endpoint.host}") from None
    except OSError as error:
        # Whatever TLS complains about came from something that answers.
        code: str = "malformed" if type(error).__module__ == "ssl" else "unreachable"
        raise Failed(code, str(error)) from None  # type: ignore[arg-type]  # both are problem codes
    if status != 200:
        raise Failed(_CODES.get(status, "failed"), f"HTTP status {status}")  # type: ignore[arg-type]  # see _CODES
    return answer


def _exchange(
    endpoint: Endpoint, body: bytes, deadline: float, mono: Callable[[], float], as_user: str = ""
) -> tuple[int, bytes]:
    """Status and body."""
    host = "localhost" if endpoint.host.startswith("/") else endpoint.host
    host = f"[{host}]" if ":" in host else host
    is_local = endpoint.host.startswith("/") and as_user and is_plain(as_user)
    who = f"Authorization: PeerCred {as_user}\r\n" if is_local else ""
    head = (
        f"POST {endpoint.path} HTTP/1.1\r\nHost: {host}:{endpoint.port}\r\nContent-Type: application/ipp\r\n"
        f"Content-Length: {len(body)}\r\n{who}Connection: close\r\n\r\n"
    )
    with _connect(endpoint, deadline - mono()) as connection:
        connection.settimeout(max(deadline - mono(), 0.001))
        connection.sendall(head.encode("ascii", "replace") + body)
        return _Reader(connection, deadline, mono).answer()


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    if endpoint.host.startswith("/"):
        family = getattr(socket, "AF_UNIX", None)  # absent on Windows
        if family is None:
            raise Failed("unsupported", "no Unix sockets on this system")
        connection = socket.socket(family)
        try:
            connection.settimeout(timeout_s)
            connection.connect(endpoint.host)
        except BaseException:
            connection.close()
            raise
        return connection
    try:
        connection = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
    except (UnicodeError, OverflowError):  # a host or port that cannot be one
        raise Failed("unreachable", f"no such host: {endpoint.host[:80]}") from None
    if not endpoint.tls:
        return connection
    try:
        return _tls().wrap_socket(connection, server_hostname=endpoint.host)
    except BaseException:
        connection.close()
        raise


@lru_cache(maxsize=1)
def _tls() -> "ssl.SSLContext":
    import ssl  # noqa: PLC0415  # 6 MiB that only an ipps printer needs

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED  # printers live long
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


class _Reader:
    """Reads one HTTP answer from a socket, within a deadline."""

    def __init__(self, connection: socket.socket, deadline: float, mono: Callable[[], float]) -> None:
        self._connection = connection
        self._deadline = deadline
        self._mono = mono
        self._held = bytearray()

    def answer(self) -> tuple[int, bytes]:
        status, headers = self._head()
        while status == 100:  # "continue", which was not asked for; CUPS may send it all the same
            status, headers = self._head()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, self._chunks()
        length = headers.get("content-length")
        if length is None:
            return status, self._rest()
        return status, self._exactly(_number(length, 10))

    def _head(self) -> tuple[int, dict[str, str]]:
        words = self._line().split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not (words[1].isascii() and words[1].isdigit()):
            raise Failed("malformed", "the answer is no HTTP")
        headers: dict[str, str] = {}
        while line := self._line():
            if len(headers) >= _MAX_HEADERS:
                raise Failed("malformed", "too many headers")
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(words[1][:3]), headers

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := _number(self._line().partition(";")[0], 16):
            if len(body) + size > MAX_ANSWER_BYTES:
                raise Failed("too_big", f"over {MAX_ANSWER_BYTES} bytes")
            body += self._exactly(size)
            if self._line():
                raise Failed("malformed", "a chunk longer than it says")
        return bytes(body)

    def _exactly(self, size: int) -> bytes:
        if size > MAX_ANSWER_BYTES:
            raise Failed("too_big", f"{size} bytes")
        while len(self._held) < size:
            if not self._more():
                raise Failed("malformed", f"ended {size - len(self._held)} bytes early")
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _rest(self) -> bytes:
        while self._more():
            if len(self._held) > MAX_ANSWER_BYTES:
                raise Failed("too_big", f"over {MAX_ANSWER_BYTES} bytes")
        return bytes(self._held)

    def _line(self) -> str:
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > _MAX_LINE_BYTES:
                raise Failed("malformed", "a line without an end")
            if not self._more():
                raise Failed("malformed", "ended within the headers")
        line = self._held[:end].rstrip(b"\r").decode("latin-1")
        del self._held[: end + 1]
        return line

    def _more(self) -> bool:
        left_s = self._deadline - self._mono()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
        data = self._connection.recv(65_536)
        self._held += data
        return bool(data)


def _number(text: str, base: int) -> int:
    """A length.  Raises Failed for what is none; int() alone would take signs, spaces and underscores."""
    text = text.strip()
    if not text or len(text) > 16 or not text.isascii() or not text.isalnum():
        raise Failed("malformed", "a length that is no number")
    try:
        return int(text, base)
    except ValueError:
        raise Failed("malformed", "a length that is no number") from None
