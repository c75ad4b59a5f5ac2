"""Where a printer is, from the URIs that print queues really have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.printers import address
from annexfleet_agent.printers.transport import Endpoint


@pytest.mark.parametrize(
    ("uri", "way", "public", "endpoint"),
    [
        ("ipp://10.0.0.5/ipp/print", "ipp", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp/print")),
        ("ipps://Desk.local:443/ipp", "ipp", "desk.local:443", Endpoint("desk.local", 443, "/ipp", True)),
        ("http://10.0.0.5:631/ipp", "ipp", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp")),
        ("ipp://[2001:db8::7]/ipp/print", "ipp", "[2001:db8::7]:631", Endpoint("2001:db8::7", 631, "/ipp/print")),
        ("ipp://localhost:60000/ipp/print", "ipp", "usb", Endpoint("localhost", 60000, "/ipp/print")),
        ("ipp://127.0.0.1:8631/ipp/print", "ipp", "local", Endpoint("127.0.0.1", 8631, "/ipp/print")),
        ("socket://10.0.0.5", "guess", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp/print")),
        ("socket://10.0.0.5:9101", "guess", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp/print")),
        ("lpd://10.0.0.5/queue", "guess", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp/print")),
        ("hp:/net/LaserJet_P2055?ip=10.0.0.5", "guess", "10.0.0.5:631", Endpoint("10.0.0.5", 631, "/ipp/print")),
        ("snmp://10.0.0.5", "snmp", "10.0.0.5:161", Endpoint("10.0.0.5", 161)),
        ("usb://HP/LaserJet?serial=1", "none", "usb", Endpoint("")),
        ("hp:/usb/LaserJet?serial=1", "none", "usb", Endpoint("")),
        ("file:///dev/null", "none", "local", Endpoint("")),
        ("cups-pdf:/", "none", "local", Endpoint("")),
        ("implicitclass://printer/", "none", "", Endpoint("")),
        ("dnssd://HP%20LaserJet._ipp._tcp.local/?uuid=1", "service", "", Endpoint("hp LaserJet._ipp._tcp.local", 0)),
        ("ipps://HP%20LaserJet._ipps._tcp.local/", "service", "", Endpoint("hp LaserJet._ipps._tcp.local", 0)),
        ("smb://clerk:secret@server/printer", "none", "", Endpoint("")),
        ("ipp://host:port/", "none", "", Endpoint("")),
        ("ipp://[::1", "none", "", Endpoint("")),
        ("", "none", "", Endpoint("")),
    ],
)  # fmt: skip
def test_a_uri_tells_where_its_printer_is(uri, way, public, endpoint):
    where = address.of_uri(uri)

    assert (where.way, where.address, where.endpoint) == (way, public, endpoint)


def test_snmp_has_a_community():
    assert address.of_uri("snmp://10.0.0.5").community == "public"
    assert address.of_uri("snmp://reading%40annex@10.0.0.5").community == "reading@annex"


def test_a_raw_queue_remembers_its_own_port():
    assert address.of_uri("socket://10.0.0.5:9101").raw_port == 9101
    assert address.of_uri("lpd://10.0.0.5/q").raw_port == 515


def test_an_address_on_loopback_is_told_to_nobody_but_can_be_asked_for():
    where = address.of_uri("ipp://localhost:8631/ipp/print")

    assert where.address == "local"
    assert where.probe_key == "localhost:8631"


@given(
    st.one_of(
        st.text(max_size=80), st.text(max_size=60).map("ipp://".__add__), st.text(max_size=60).map("hp:/".__add__)
    )
)
def test_any_text_is_a_place_or_none(uri):
    assert address.of_uri(uri).way in {"ipp", "guess", "snmp", "service", "none"}


def test_no_password_is_kept():
    for scheme in ("ipp", "socket", "smb", "lpd"):
        assert "secret" not in repr(address.of_uri(f"{scheme}://clerk:secret@server/printer"))
