"""A small SNMP v2c agent for tests: GET, GETNEXT and GETBULK over a table of values, in plain BER."""

import contextlib
import socket
import threading
from collections.abc import Iterator

OidValue = int | bytes
_GET, _GET_NEXT, _RESPONSE, _GET_BULK = 0xA0, 0xA1, 0xA2, 0xA5
_NO_SUCH_OBJECT, _END_OF_VIEW = b"\x80\x00", b"\x82\x00"


class Counter(int):
    """An integer that goes out as Counter32."""


@contextlib.contextmanager
def snmp_agent(values: dict[str, OidValue], community: bytes = b"public") -> Iterator[int]:
    """Serves the values on the port that it yields."""
    table = sorted((tuple(map(int, oid.split("."))), value) for oid, value in values.items())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        ended = threading.Event()
        thread = threading.Thread(target=_serve, args=(server, table, community, ended), daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join(5)


def _serve(server, table, community, ended):
    while not ended.is_set():
        try:
            packet, sender = server.recvfrom(65_536)
        except TimeoutError:
            continue
        answer = _answer(packet, table, community)
        if answer is not None:
            server.sendto(answer, sender)


def _answer(packet, table, community):
    message = _items(_item(packet, 0)[1])
    version, told_community, (pdu_tag, pdu) = message[0], message[1][1], message[2]
    if told_community != community:
        return None  # as real agents do
    request_id, first, second, bindings = _items(pdu)
    names = [_oid(_items(binding)[0][1]) for _, binding in _items(bindings[1])]
    found = []
    if pdu_tag == _GET:
        values = dict(table)
        found = [(name, _value(values[name]) if name in values else _NO_SUCH_OBJECT) for name in names]
    elif pdu_tag == _GET_NEXT:
        found = [_next(table, name) for name in names]
    elif pdu_tag == _GET_BULK:
        alone = int.from_bytes(first[1], "big")
        found = [_next(table, name) for name in names[:alone]]
        at = names[alone:]
        for _ in range(int.from_bytes(second[1], "big")):
            row = [_next(table, name) for name in at]
            found += row
            at = [name for name, _ in row]
    bound = b"".join(_tlv(0x30, _tlv(0x06, _oid_bytes(name)) + value) for name, value in found)
    zero = _tlv(0x02, b"\x00")
    pdu = _tlv(_RESPONSE, _tlv(*request_id) + zero + zero + _tlv(0x30, bound))
    return _tlv(0x30, _tlv(*version) + _tlv(0x04, community) + pdu)


def _next(table, after):
    return next(((name, _value(value)) for name, value in table if name > after), (after, _END_OF_VIEW))


def _value(value):
    if isinstance(value, bytes):
        return _tlv(0x04, value)
    tag = 0x41 if isinstance(value, Counter) else 0x02
    return _tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _tlv(tag, content):
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _item(data, at):
    tag, size, at = data[at], data[at + 1], at + 2
    if size & 0x80:
        more = size & 0x7F
        size, at = int.from_bytes(data[at : at + more], "big"), at + more
    return tag, data[at : at + size], at + size


def _items(data):
    found, at = [], 0
    while at < len(data):
        tag, content, at = _item(data, at)
        found.append((tag, content))
    return found


def _oid(data):
    numbers, number = [data[0] // 40, data[0] % 40], 0
    for byte in data[1:]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    return tuple(numbers)


def _oid_bytes(oid):
    out = bytearray([oid[0] * 40 + oid[1]])
    for number in oid[2:]:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return bytes(out)
