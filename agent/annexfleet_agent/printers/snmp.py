"""Asks a printer over SNMP v2c (Printer-MIB, Host-Resources-MIB), for those that speak no IPP.

Needs the extra `snmp`: puresnmp, which brings asyncio along.  Both are imported when the first such printer is asked,
and by nobody else.  v1 and v3 are not spoken.
"""

import socket
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

from msgspec import Struct, field

from annexfleet_agent.printers import alerts
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.seen import MAX_WORDS, Seen, State, Supply, Tray, ratio, unique, word
from annexfleet_agent.printers.supplies import runs_low
from annexfleet_agent.protocol import causes

HOW_TO_INSTALL = "install the extra: pip install 'annexfleet-agent[snmp]'"

_HR_DESCR, _HR_STATUS = "1.3.6.1.2.1.25.3.2.1.3", "1.3.6.1.2.1.25.3.2.1.5"
_PRINTER_STATUS, _ERROR_STATE = "1.3.6.1.2.1.25.3.5.1.1", "1.3.6.1.2.1.25.3.5.1.2"
_PRT = "1.3.6.1.2.1.43"
_LIFE_COUNT = f"{_PRT}.10.2.1.4"
_SUPPLY = f"{_PRT}.11.1.1"  # .3 colorant .4 class .5 type .6 description .8 capacity .9 level
_COLORANT = f"{_PRT}.12.1.1.4"
_INPUT = f"{_PRT}.8.2.1"  # .9 capacity .10 level .12 media .13 name .18 description
_ALERT_CODE = f"{_PRT}.18.1.1.7"

# Asked together, since an answer should fit into one packet of a small device.
_WALKS = (
    (_HR_DESCR, _HR_STATUS, _PRINTER_STATUS, _ERROR_STATE, _LIFE_COUNT),
    (*(f"{_SUPPLY}.{column}" for column in (3, 4, 5, 6, 8, 9)), _COLORANT),
    tuple(f"{_INPUT}.{column}" for column in (9, 10, 12, 13, 18)),
    (_ALERT_CODE,),
)
_BULK = 8
_MAX_VALUES = 400
"""Of one walk; a device that never ends its table is not a printer."""

_RESEND_AFTER_S = 1.5

_HR_OTHER, _HR_PRINTING, _HR_WARMUP = 1, 4, 5
_HR_DOWN = 5
_STATES: dict[object, State] = {3: "idle", _HR_PRINTING: "processing", _HR_WARMUP: "idle"}
_BIT_LABELS = (
    "lowPaper", "noPaper", "lowToner", "noToner", "doorOpen", "jammed", "offline", "serviceRequested",
    "inputTrayMissing", "outputTrayMissing", "markerSupplyMissing", "outputNearFull", "outputFull", "inputTrayEmpty",
    "overduePreventMaint",
)  # fmt: skip

_RECEPTACLE = 4
_SUPPLY_KINDS = {
    1: "other", 2: "unknown", 3: "toner", 4: "waste-toner", 5: "ink", 6: "ink-cartridge", 7: "ink-ribbon",
    8: "waste-ink", 9: "opc", 10: "developer", 11: "fuser-oil", 12: "solid-wax", 13: "ribbon-wax", 14: "waste-wax",
    15: "fuser", 16: "corona-wire", 17: "fuser-oil-wick", 18: "cleaner-unit", 19: "fuser-cleaning-pad",
    20: "transfer-unit", 21: "toner-cartridge", 22: "fuser-oiler", 23: "water", 24: "waste-water", 32: "staples",
}  # fmt: skip


class Tables(Struct):
    """What a printer answered: by column, by the rest of the object's number (its row)."""

    columns: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, oid: str, value: object) -> None:
        column = next((c for walk in _WALKS for c in walk if oid.startswith(f"{c}.")), None)
        if column is not None:
            self.columns.setdefault(column, {})[oid[len(column) + 1 :]] = value

    def of(self, column: str) -> dict[str, Any]:
        return self.columns.get(column, {})


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("puresnmp") is not None


def ask(host: str, port: int, *, community: str, timeout_s: float, mono: Callable[[], float]) -> Seen:
    """What the printer says of itself.  Raises Failed; `unsupported` without the extra."""
    if not installed():
        raise Failed("unsupported", HOW_TO_INSTALL)
    return seen(_fetch(host, port, community, timeout_s, mono))


def seen(tables: Tables) -> Seen:
    """A printer from its tables.  Raises Failed `malformed` if they are not those of a printer."""
    if not tables.of(_PRINTER_STATUS) and not tables.of(f"{_SUPPLY}.9"):
        raise Failed("unsupported", "answers SNMP, but not as a printer")
    row, status = next(iter(tables.of(_PRINTER_STATUS).items()), ("1", None))
    codes = [code for code in tables.of(_ALERT_CODE).values() if isinstance(code, int)][:MAX_WORDS]
    supplies, trays = _supplies(tables), _trays(tables)
    bits = _octets(tables.of(_ERROR_STATE).get(row, b""))
    # Careless bits are better than nothing, and nothing is what such a printer says otherwise.
    doubtful = not codes and not any(supply.level is not None for supply in supplies)
    asleep = ["sleep_or_warmup"] if status == _HR_WARMUP else []
    return Seen(
        source="device_snmp",
        state=_state(status, tables.of(_HR_STATUS).get(row)),
        reasons=list(dict.fromkeys([*map(alerts.label, codes), *_bit_labels(bits)])),
        alert_causes=causes.from_alert_codes(codes),
        causes=causes.in_order([*causes.from_snmp_bits(bits, doubtful=doubtful), *asleep]),
        pages=_pages(tables.of(_LIFE_COUNT).values()),
        model=_text(tables.of(_HR_DESCR).get(row)),
        supplies=supplies,
        trays=trays,
    )


def _state(printer_status: object, device_status: object) -> State:
    # "Other" is both asleep and out of order (RFC 3805, appendix): the device's status tells them apart.
    if printer_status == _HR_OTHER:
        return "stopped" if device_status == _HR_DOWN else "idle"
    return _STATES.get(printer_status, "unknown")


def _bit_labels(bits: bytes) -> list[str]:
    return [name for n, name in enumerate(_BIT_LABELS) if n < 8 * len(bits) and bits[n // 8] & (0x80 >> n % 8)]


def _pages(counts: Iterable[object]) -> int | None:
    """The sum over a printer's marking engines."""
    known = [count for count in counts if isinstance(count, int) and count >= 0]
    return sum(known) if known else None


def _supplies(tables: Tables) -> list[Supply]:
    colorant, class_, kind_of, text, capacity, level = (tables.of(f"{_SUPPLY}.{n}") for n in (3, 4, 5, 6, 8, 9))
    rows = list(level)[:MAX_WORDS]
    kinds = [_SUPPLY_KINDS.get(kind_of.get(row, 2), "unknown") for row in rows]
    names = unique([_text(text.get(row)) or kind for row, kind in zip(rows, kinds, strict=True)])
    found = []
    for row, name, kind in zip(rows, names, kinds, strict=True):
        left = _ratio(level[row], capacity.get(row))  # of a receptacle (RFC 3805), the room left: what we want, too
        # A colorant's row is that of its device and its own number: 1.2 for the supply 1.5 of the colorant 2.
        colour = _text(tables.of(_COLORANT).get(f"{row.partition('.')[0]}.{colorant.get(row)}"))
        low = class_.get(row) != _RECEPTACLE and runs_low(kind, left)
        found.append(Supply(name=name, kind=kind, colour=colour.lower(), level=left, low=low))
    return found


def _trays(tables: Tables) -> list[Tray]:
    capacity, level, media, name, text = (tables.of(f"{_INPUT}.{n}") for n in (9, 10, 12, 13, 18))
    rows = list(level)[:MAX_WORDS]
    names = unique([_text(name.get(row)) or _text(text.get(row)) or f"tray {row.rpartition('.')[2]}" for row in rows])
    trays = [
        Tray(name=name, level=_ratio(level[row], capacity.get(row)), media=_text(media.get(row)))
        for name, row in zip(names, rows, strict=True)
    ]
    return [tray for tray in trays if tray.level is not None or tray.media]


def _ratio(level: object, capacity: object) -> float | None:
    if not isinstance(level, int) or not isinstance(capacity, int):
        return None
    return ratio(level, capacity)


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: object) -> str:
    text = value.rstrip(b"\0").decode("utf-8", "replace") if isinstance(value, bytes) else value
    return word(text, 60).replace("/", "-") if isinstance(text, str) else ""


def _fetch(host: str, port: int, community: str, timeout_s: float, mono: Callable[[], float]) -> Tables:
    import asyncio  # noqa: PLC0415  # 11 MiB that only an SNMP printer needs

    from puresnmp import V2C, Client, PyWrapper  # noqa: PLC0415
    from puresnmp.exc import SnmpError  # noqa: PLC0415

    deadline = mono() + timeout_s

    # The library's own sender leaves its socket to the garbage collector, and its timeouts count whole seconds.
    async def send(_endpoint: object, packet: bytes, **_more: object) -> bytes:
        connection.send(packet)
        return _received(connection, packet, deadline, mono)

    async def walk_all() -> Tables:
        client = PyWrapper(Client(connection.getpeername()[0], V2C(community), port, sender=send))  # type: ignore[arg-type]  # its other arguments are not used
        tables = Tables()
        for columns in _WALKS:
            count = 0
            async for row in client.bulkwalk(list(columns), bulk_size=_BULK):
                tables.put(row.oid, row.value)
                count += 1
                if count >= _MAX_VALUES:
                    break
        return tables

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.connect(address)
            return asyncio.run(walk_all())
    except TimeoutError:
        detail = f"no SNMP answer within {timeout_s:g} s; a wrong community is met with silence, too"
        raise Failed("timed_out", detail) from None
    except SnmpError as error:
        raise Failed("failed", f"SNMP: {type(error).__name__}") from None
    except (OSError, UnicodeError) as error:
        raise Failed("unreachable", str(error)) from None
    except Exception as error:  # the library has no one error for bytes that are no SNMP
        raise Failed("malformed", f"SNMP: {type(error).__name__}") from None


def _received(connection: socket.socket, packet: bytes, deadline: float, mono: Callable[[], float]) -> bytes:
    """The answer to a packet, which is sent again while none comes.  Raises TimeoutError."""
    while (left_s := deadline - mono()) > 0:
        connection.settimeout(min(left_s, _RESEND_AFTER_S))
        try:
            return connection.recv(65_536)
        except TimeoutError:
            connection.send(packet)
    raise TimeoutError
