"""A signed webhook for other systems: JSON over HTTP, one attempt.  Thin on purpose: the standard library alone.

The receiver checks `X-Annexfleet-Signature`, `v1=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<body>` under the
secret that both know, and refuses a timestamp that is old.  `X-Annexfleet-Notice` is the same at each attempt.

An address is looked up once, judged, and connected to as it was judged.  Redirects are not followed.
"""

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from msgspec import Struct

from annexfleet_controller.notify.outcome import Outcome, again, of_status, permanent, sent

TIMEOUT_S = 10.0
LARGEST_ANSWER_BYTES = 64 * 1024
_METADATA = frozenset({ipaddress.ip_address("100.100.100.200"), ipaddress.ip_address("fd00:ec2::254")})
"""Where clouds tell a machine its own secrets, besides the link-local 169.254.169.254."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def post(
    url: str, body: bytes, *, secret: str, notice_id: str, now: datetime, link_local_allowed: bool = False
) -> Outcome:
    """Deliver `body`, which is JSON, and tell how it went.  Never raises for what the other side does."""
    place = _place(url)
    if place is None:
        return permanent("address_wrong")
    try:
        address = _resolved(place.host, place.port)
    except (OSError, UnicodeError):
        return again("unreachable", "name")
    if not link_local_allowed and is_forbidden(address):
        return permanent("address_forbidden")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "annexfleet",
        **signature_headers(body, secret=secret, notice_id=notice_id, now=now),
    }
    try:
        return _exchange(_connection(place, address), place.target, body, headers)
    except Exception as error:  # whatever goes wrong on a line; `_of_error` knows which are worth another attempt
        return _of_error(error)


class _Place(Struct, frozen=True):
    scheme: str
    host: str
    port: int
    target: str


def _place(url: str) -> _Place | None:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    return _Place(parts.scheme, parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _of_error(error: Exception) -> Outcome:
    if isinstance(error, TimeoutError):
        return again("timed_out")
    if isinstance(error, ssl.SSLError):
        return again("certificate_wrong", error.reason or "")
    if isinstance(error, OSError | http.client.HTTPException):
        return again("unreachable", type(error).__name__)
    if isinstance(error, ValueError):  # a path or a name that cannot stand in a request
        return permanent("address_wrong")
    raise error


def signature_headers(body: bytes, *, secret: str, notice_id: str, now: datetime) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "X-Annexfleet-Notice": notice_id,
        "X-Annexfleet-Timestamp": timestamp,
        "X-Annexfleet-Signature": f"v1={mac}",
    }


def is_forbidden(address: str) -> bool:
    """Whether an address is link-local or a metadata service: no receiver of notices lives there."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and (within := _ipv4_within(found)) is not None:
        return is_forbidden(str(within))
    return found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that it stands for: mapped, or by way of 6to4 or NAT64."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def leads_astray(host: str) -> bool:
    """Whether a name or address leads to a forbidden place; a name that nobody knows does not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(is_forbidden(str(entry[4][0])) for entry in found)


def _resolved(host: str, port: int) -> str:
    return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])


def _connection(place: _Place, address: str) -> http.client.HTTPConnection:
    """Connected to this very address, whatever the name may mean by now; raises OSError."""
    made = http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT_S)
    made.sock = socket.create_connection((address, place.port), timeout=TIMEOUT_S)
    if place.scheme == "https":
        try:
            made.sock = ssl.create_default_context().wrap_socket(made.sock, server_hostname=place.host)
        except BaseException:
            made.close()
            raise
        made.default_port = 443  # so that the Host header leaves it out
    return made


def _exchange(connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str]) -> Outcome:
    assert connection.sock is not None, "connected"
    # A socket's timeout is that of one read; who answers a byte at a time would hold us for hours.
    ended = threading.Timer(TIMEOUT_S, _cut, (connection.sock,))
    ended.daemon = True
    ended.start()
    try:
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        answer.read(LARGEST_ANSWER_BYTES)  # so that the other side is not cut off amid its answer; nobody reads it
        return sent() if 200 <= answer.status < 300 else of_status(answer.status)
    finally:
        ended.cancel()
        connection.close()


def _cut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
