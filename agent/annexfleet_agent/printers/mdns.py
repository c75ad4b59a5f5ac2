"""Finds a printer that its queue knows by service name only (`dnssd://Name._ipp._tcp.local/`): one-shot multicast DNS.

RFC 6762 5.1: a question from an ordinary port is answered to that port.  Answers are hostile input, for anybody on the
network may give one: lengths are checked, names may not jump in circles, and no answer leads to this machine itself, to
what only hears its neighbours, or out of a line of HTTP.
"""

import re
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.transport import is_plain

_GROUP = ("224.0.0.251", 5353)
_A, _TXT, _SRV, _IN_UNICAST = 1, 16, 33, 0x8001
_ASK_AGAIN_S = 1.0
_MAX_RECORDS = 200
_MAX_JUMPS = 32
_SERVICE = re.compile(r"(.+)\.(_[a-z0-9-]+)\.(_tcp)\.([^/]+?)\.?", re.IGNORECASE)


class Found(NamedTuple):
    """Where a service is."""

    host: str
    port: int
    path: str
    """By the service's own record (`rp`); `/` if it does not say."""


class _Record(NamedTuple):
    name: tuple[str, ...]
    type: int
    at: int
    size: int


def is_service(host: str) -> bool:
    """Whether a URI's host is a service's name rather than a host's."""
    return _SERVICE.fullmatch(host) is not None


def resolve(service: str, *, timeout_s: float, mono: Callable[[], float], group: tuple[str, int] = _GROUP) -> Found:
    """Where the service is now.

    Raises Failed: `failed` if nobody on the network answers for it, `denied` if its host's name leads to an address
    that an answer may not lead to.
    """
    name = _labels(service)
    question = _question(name)
    deadline = mono() + timeout_s
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
            while (left_s := deadline - mono()) > 0:
                ear.sendto(question, group)
                found = _heard(ear, name, min(mono() + _ASK_AGAIN_S, mono() + left_s), mono)
                if found is not None:
                    return found._replace(host=_looked_up(found.host))
    except (OSError, UnicodeError) as error:
        raise Failed("failed", f"mDNS: {error}") from None
    raise Failed("failed", "nobody on this network answers for the service's name")


def parse(packet: bytes, name: tuple[str, ...]) -> Found | None:
    """Where a service is, by an answer; None if the answer does not say, or is none."""
    host: tuple[str, ...] = ()
    port, path, addresses = 0, "/", {}
    try:
        for record in _records(packet):
            data = packet[record.at : record.at + record.size]
            if record.type == _SRV and record.name == name:
                (port,) = struct.unpack_from(">H", data, 4)
                host, _ = _name(packet, record.at + 6)
            elif record.type == _TXT and record.name == name:
                path = "/" + _text(data).get("rp", "").lstrip("/")
            elif record.type == _A and record.size == 4:
                addresses[record.name] = socket.inet_ntoa(data)
    except (IndexError, struct.error):
        return None
    address = addresses.get(host, "")
    found = Found(address or ".".join(host), port, path)
    if not host or not port or not is_plain(found.host) or not is_plain(path):
        return None
    return None if address and not _may_be_asked(address) else found


def _looked_up(host: str) -> str:
    """The host's address; its name could be made to lead elsewhere afterwards."""
    address = socket.gethostbyname(host)
    if not _may_be_asked(address):
        raise Failed("denied", f"mDNS: a printer at {address}")
    return address


def _may_be_asked(address: str) -> bool:
    """Not this machine, not link-local, not multicast, broadcast or reserved."""
    first, second, *_ = socket.inet_aton(address)
    return first not in {0, 127} and first < 224 and (first, second) != (169, 254)


def _heard(ear: socket.socket, name: tuple[str, ...], until: float, mono: Callable[[], float]) -> Found | None:
    while (left_s := until - mono()) > 0:
        ear.settimeout(left_s)
        try:
            packet = ear.recv(9000)
        except TimeoutError:
            return None
        found = parse(packet, name)
        if found is not None:
            return found
    return None


def _labels(service: str) -> tuple[str, ...]:
    """The parts of a service's name; the first may itself hold dots.  DNS does not tell letters' case apart."""
    match = _SERVICE.fullmatch(service)
    if match is None:
        raise Failed("unsupported", "no service's name")
    instance, kind, protocol, domain = match.groups()
    labels = (instance, kind, protocol, *domain.split("."))
    if any(not 0 < len(label.encode()) < 64 for label in labels):
        raise Failed("unsupported", "no service's name")
    return tuple(label.lower() for label in labels)


def _question(name: tuple[str, ...]) -> bytes:
    wire = b"".join(bytes([len(raw)]) + raw for raw in (label.encode() for label in name)) + b"\0"
    asked = b"".join(wire + struct.pack(">HH", kind, _IN_UNICAST) for kind in (_SRV, _TXT))
    return struct.pack(">HHHHHH", 0, 0, 2, 0, 0, 0) + asked


def _records(packet: bytes) -> Iterator[_Record]:
    """The answer's records of all sections.  Raises IndexError or struct.error where it is cut short."""
    _, flags, questions, *counts = struct.unpack_from(">HHHHHH", packet)
    if not flags & 0x8000:
        return
    at = 12
    for _ in range(min(questions, _MAX_RECORDS)):
        _, at = _name(packet, at)
        at += 4
    for _ in range(min(sum(counts), _MAX_RECORDS)):
        name, at = _name(packet, at)
        kind, _, _, size = struct.unpack_from(">HHIH", packet, at)
        at += 10
        if at + size > len(packet):
            raise IndexError
        yield _Record(name, kind, at, size)
        at += size


def _name(packet: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """A name, and where what follows it begins."""
    labels: list[str] = []
    after = -1
    for _ in range(128):
        size = packet[at]
        if size >= 0xC0:  # the rest stands elsewhere
            after = at + 2 if after < 0 else after
            at = (size & 0x3F) << 8 | packet[at + 1]
            labels.append("")  # counts the jump; dropped below
            if labels.count("") > _MAX_JUMPS:
                raise IndexError
            continue
        if size == 0:
            return tuple(label for label in labels if label), at + 1 if after < 0 else after
        labels.append(packet[at + 1 : at + 1 + size].decode("utf-8", "replace").lower())
        at += 1 + size
    raise IndexError


def _text(data: bytes) -> dict[str, str]:
    found, at = {}, 0
    while at < len(data):
        key, _, value = data[at + 1 : at + 1 + data[at]].decode("utf-8", "replace").partition("=")
        found[key.lower()] = value
        at += 1 + data[at]
    return found
