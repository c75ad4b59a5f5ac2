"""Asks one printer by whatever way leads to it."""

import socket
from collections.abc import Callable

from annexfleet_agent.printers import device, mdns, snmp
from annexfleet_agent.printers.address import IPP_PORT, SNMP_PORT, Where
from annexfleet_agent.printers.failure import SILENT, Failed
from annexfleet_agent.printers.seen import Seen
from annexfleet_agent.printers.transport import Endpoint


def printer(where: Where, *, timeout_s: float, mono: Callable[[], float]) -> Seen:
    """What the printer says of itself.  Blocks for up to four timeouts.

    Raises Failed; `unsupported` for a printer that is there and speaks neither IPP nor SNMP as far as we can.
    """
    if where.way == "service":
        where = _looked_up(where.endpoint.host, timeout_s, mono)
    endpoint = where.endpoint
    if where.way == "ipp":
        return device.ask(endpoint, timeout_s=timeout_s, mono=mono)
    if where.way == "snmp":
        return snmp.ask(endpoint.host, endpoint.port, community=where.community, timeout_s=timeout_s, mono=mono)
    try:
        return device.ask(endpoint, guess=True, timeout_s=timeout_s, mono=mono)
    except Failed as failed:
        not_by_ipp = failed
    try:
        return snmp.ask(endpoint.host, SNMP_PORT, community=where.community, timeout_s=timeout_s, mono=mono)
    except Failed as failed:
        not_by_snmp = failed
    if not_by_ipp.code in SILENT and _listens(endpoint.host, where.raw_port, timeout_s):
        # It is on, and only the print server can talk to it.
        raise Failed("unsupported", f"no IPP ({not_by_ipp.detail}); SNMP: {not_by_snmp.detail}")
    raise not_by_ipp


def _looked_up(service: str, timeout_s: float, mono: Callable[[], float]) -> Where:
    found = mdns.resolve(service, timeout_s=timeout_s, mono=mono)
    kind = service.lower()
    if "._ipp" in kind:
        endpoint = Endpoint(found.host, found.port, found.path, tls="._ipps." in kind)
        return Where("ipp", endpoint=endpoint)
    guessed = Endpoint(found.host, IPP_PORT, "/ipp/print")
    return Where("guess", endpoint=guessed, raw_port=found.port, community="public")


def _listens(host: str, port: int, timeout_s: float) -> bool:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except (OSError, UnicodeError, OverflowError):
        return False
    return True
