"""Where a printer can be asked, from the URI of a print queue's device or of a [[printer]] setting.  Thinks only.

Of a URI only host, port and path are kept: some bear passwords.
"""

from typing import Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from annexfleet_agent.printers import mdns
from annexfleet_agent.printers.transport import Endpoint

IPP_PORT = 631
SNMP_PORT = 161

Way = Literal["ipp", "guess", "snmp", "service", "none"]
"""ipp: it speaks IPP at this endpoint.  guess: it is on the network, so IPP and SNMP are worth a try.
service: it is known by a service name, which has to be looked up first.
none: only the print server knows it."""

_IPP_PORTS = {"ipp": 631, "ipps": 631, "http": 80, "https": 443}
_RAW_PORTS = {"socket": 9100, "lpd": 515, "hp": 9100, "hpfax": 9100}
_IPP_USB_PORTS = range(60_000, 60_100)
"""ipp-usb gives USB printers IPP on loopback from 60000 on."""


class Where(NamedTuple):
    """A printer's whereabouts.  Two queues that lead to one device have equal ones."""

    way: Way
    address: str = ""
    """`host:port` by which an annex's agents know that they mean the same device; `usb`, `local`, or "" if unknown."""
    endpoint: Endpoint = Endpoint("")
    raw_port: int = 0
    """guess: the port of the queue's own protocol, for telling a switched-off printer from one without IPP."""
    community: str = ""

    @property
    def probe_key(self) -> str:
        """`host:port` even of a printer on this machine."""
        return _host_port(self.endpoint.host, self.endpoint.port) if self.endpoint.host else self.address


def of_uri(uri: str) -> Where:  # noqa: PLR0911  # a list of kinds, each with its answer
    """Where the printer of this device URI is.  What cannot be understood is known to the print server only."""
    scheme, _, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme in {"usb", "ippusb"} or (scheme in {"hp", "hpfax"} and rest.startswith("/usb")):
        return Where("none", "usb")
    if scheme in {"file", "cups-pdf", "parallel", "serial"}:
        return Where("none", "local")
    try:
        parts = urlsplit(uri)
        host, port = unquote(parts.hostname or ""), parts.port
    except ValueError:
        return Where("none")
    if scheme in {"hp", "hpfax"}:
        host, port = (parse_qs(parts.query).get("ip") or [""])[0], None  # hp:/net/LaserJet?ip=192.0.2.7
    if not host:
        return Where("none")
    if mdns.is_service(host):
        return Where("service", "", Endpoint(host, 0))
    if scheme in _IPP_PORTS:
        endpoint = Endpoint(host, port or _IPP_PORTS[scheme], parts.path or "/", scheme in {"ipps", "https"})
        return Where("ipp", _public(endpoint), endpoint)
    if scheme == "snmp":
        endpoint = Endpoint(host, port or SNMP_PORT)
        return Where("snmp", _public(endpoint), endpoint, community=unquote(parts.username or "public"))
    if scheme in _RAW_PORTS:
        endpoint = Endpoint(host, IPP_PORT, "/ipp/print")
        return Where("guess", _public(endpoint), endpoint, raw_port=port or _RAW_PORTS[scheme], community="public")
    return Where("none")  # smb, implicitclass, beh ...: the URI does not say where the device is


def _public(endpoint: Endpoint) -> str:
    """The address as the annex's other agents would write it; on loopback it would mean another printer to each."""
    if _is_loopback(endpoint.host):
        return "usb" if endpoint.port in _IPP_USB_PORTS else "local"
    return _host_port(endpoint.host, endpoint.port)


def _host_port(host: str, port: int) -> str:
    return f"[{host.lower()}]:{port}" if ":" in host else f"{host.lower()}:{port}"


def is_here(host: str) -> bool:
    """Whether a print server's host, or its socket's path, is on this machine."""
    return host.startswith("/") or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.") or host.lower().rstrip(".") == "localhost"
