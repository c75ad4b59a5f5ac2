"""One check of one portal, step by step: name, connection, keys, answer, and whether it is the expected one.

All steps share one deadline, the answer has a size cap, and redirects are not followed: a portal that sends people to a
login page instead of answering is worth knowing.  Looking a name up cannot be interrupted, so `portal` runs this in a
thread that it may give up.
"""

import base64
import errno
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct, field

from annexfleet_agent import http1
from annexfleet_agent.collectors.report import code_for
from annexfleet_agent.protocol.messages import ProblemCode
from annexfleet_agent.settings import PortalCheck

_MOST_BYTES = 1024 * 1024
"""The expected text must stand within these; a page whose text does not matter is left after a quarter."""
_EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED"""
_NO_WAY = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class Finding(Struct):
    """What a check found, filled in as it goes: what is set was reached."""

    stage: str = "none"
    """Where it stopped: `none` if all was as expected, else `dns`, `tcp`, `tls`, `http`, `status` or `text`; while it
    runs, where it is."""
    code: ProblemCode = "failed"
    """Why it stopped; without meaning if it did not."""
    detail: str = ""
    status: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    """By step that came to its end, and `total` if there was an answer."""
    certificate_days: int | None = None
    """Whole days left; 0 if it has ended."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.stage = name
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began


class Wrong(Exception):
    """The portal answers, but not as it should."""


def parse_url(url: str) -> SplitResult:
    """The parts of an address of the scheme http or https.

    Raises ValueError; its text does not repeat the address, which may bear a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = None, None
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("a portal's url begins with http:// or https:// and names a host")
    return parts


def check(
    portal: PortalCheck, finding: Finding, *, trust: Callable[[], ssl.SSLContext], now: Callable[[], float]
) -> None:
    """Fill the finding; raises nothing.

    `trust` gives the certificates to believe in; `now` is Unix time, for the days that a certificate has left.
    """
    try:
        _walk(portal, finding, trust, now)
    except Wrong as error:
        finding.code, finding.detail = "failed", str(error)
    except Exception as error:  # the fence: a portal may answer anything
        finding.code, finding.detail = _why(error)
        if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code == _EXPIRED:
            finding.certificate_days = 0  # how long ago, a refused certificate does not tell
    else:
        finding.stage = "none"


def _walk(portal: PortalCheck, finding: Finding, trust: Callable[[], ssl.SSLContext], now: Callable[[], float]) -> None:
    url = parse_url(portal.url)
    context = trust() if url.scheme == "https" else None  # before the watch starts: the first time it takes 40 ms
    deadline = http1.Deadline(portal.timeout_s)
    began = time.monotonic()
    # As bytes: for a str Python loads its tables of international names, a megabyte, even if the name is plain.
    host = (url.hostname or "").encode("idna" if not (url.hostname or "").isascii() else "ascii")
    with finding.step("dns"):
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with finding.step("tcp"):
        connection = _connect(addresses, deadline)
    try:
        if context is not None:
            with finding.step("tls"):
                connection.settimeout(deadline.left())
                connection = context.wrap_socket(connection, server_hostname=host)
            finding.certificate_days = _days_left(connection, now())
        with finding.step("http"):
            answer = http1.request(
                connection,
                "GET",
                (url.path or "/") + (f"?{url.query}" if url.query else ""),
                host=url.netloc.rpartition("@")[2],
                deadline=deadline,
                max_bytes=_MOST_BYTES if portal.expect_text else _MOST_BYTES // 4,
                headers=_headers(url),
                cut=True,
            )
    finally:
        connection.close()
    finding.status = answer.status
    finding.seconds["total"] = time.monotonic() - began
    finding.stage = "status"
    if answer.status != portal.expect_status:
        raise Wrong(f"status {answer.status}, expected {portal.expect_status}")
    finding.stage = "text"
    if _encoded(portal.expect_text, answer.headers.get("content-type", "")) not in answer.body:
        raise Wrong("the expected text is not there" + (" within the first MiB" if answer.truncated else ""))


def _connect(
    addresses: Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, _Place]], deadline: http1.Deadline
) -> socket.socket:
    """The first address that answers; each gets its share of the time that is left."""
    last: OSError = OSError("the name has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(deadline.left() / (len(addresses) - tried))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    raise last


def _days_left(connection: socket.socket, now: float) -> int | None:
    assert isinstance(connection, ssl.SSLSocket)
    certificate = connection.getpeercert() or {}
    ends = certificate.get("notAfter")
    return None if not isinstance(ends, str) else int((moment_of(ends) - now) // 86_400)


def moment_of(text: str) -> float:
    """Unix time of a moment as ssl words it, such as `Jan  5 09:34:43 2028 GMT`.  Raises ValueError.

    ssl.cert_time_to_seconds does the same with strptime, which brings calendar and locale into memory for good.
    """
    month, day, clock, year, _gmt = text.split()
    hour, minute, second = map(int, clock.split(":"))
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC).timestamp()


def _headers(url: SplitResult) -> dict[str, str]:
    headers = {"Accept": "*/*"}
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    return headers


def _encoded(text: str, content_type: str) -> bytes:
    """The text as the page writes it: some portals still send windows-1256."""
    charset = content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    try:
        return text.encode(charset or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return text.encode()


def _why(error: Exception) -> tuple[ProblemCode, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "failed", f"certificate: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "unreachable", f"name: {error.strerror}"
    if isinstance(error, ssl.SSLError):
        return "failed", f"tls: {error.reason or error}"
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return "unreachable", str(error)
    return code_for(error), f"{type(error).__name__}: {error}"
