"""Finding a printer by its service's name."""

import socket
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.printers.serving import always, printer_says, serving, state

from annexfleet_agent.printers import ask, mdns
from annexfleet_agent.printers.address import of_uri
from annexfleet_agent.printers.failure import Failed

SERVICE = "HP LaserJet 4.2 [AB]._ipp._tcp.local"
NAME = ("hp laserjet 4.2 [ab]", "_ipp", "_tcp", "local")


def wire(*labels):
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def record(name, kind, data):
    return name + struct.pack(">HHIH", kind, 0x8001, 120, len(data)) + data


def answer(port, *, text=b"\x06rp=ipp", address="192.0.2.42", flags=0x8400):
    pointer = b"\xc0\x0c"  # to the first record's name
    records = [
        record(
            wire("HP LaserJet 4.2 [AB]", "_ipp", "_tcp", "local"),
            33,
            struct.pack(">HHH", 0, 0, port) + wire("HP42", "local"),
        ),
        record(pointer, 16, text),
        *([record(wire("hp42", "LOCAL"), 1, socket.inet_aton(address))] if address else []),
    ]
    return struct.pack(">HHHHHH", 0, flags, 0, 1, 0, len(records) - 1) + b"".join(records)


def test_an_answer_tells_host_port_and_path():
    assert mdns.parse(answer(631), NAME) == mdns.Found("192.0.2.42", 631, "/ipp")
    assert mdns.parse(answer(631, text=b"\x00", address=""), NAME) == mdns.Found("hp42.local", 631, "/")


def test_what_is_no_answer_about_the_service_says_nothing():
    assert mdns.parse(answer(631, flags=0), NAME) is None
    assert mdns.parse(answer(631), ("other", "_ipp", "_tcp", "local")) is None
    assert mdns.parse(answer(0), NAME) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "224.0.0.251", "239.1.2.3", "255.255.255.255"]
)
def test_an_answer_that_leads_to_this_machine_or_to_no_single_one_says_nothing(address):
    assert mdns.parse(answer(631, address=address), NAME) is None


@pytest.mark.parametrize(
    "path", [b"x HTTP/1.1\r\nHost: localhost\r\n\r\nPUT /", b"x y", b"x\x00", b"x\x7f", b"\xc3\xa4"]
)
def test_a_path_that_would_add_lines_to_a_request_says_nothing(path):
    text = b"rp=" + path

    assert mdns.parse(answer(631, text=bytes([len(text)]) + text), NAME) is None


def test_a_name_without_an_address_may_not_lead_to_this_machine_either(monkeypatch):
    monkeypatch.setattr(mdns, "_heard", lambda *_: mdns.Found("localhost", 631, "/ipp"))

    with pytest.raises(Failed) as failed:
        mdns.resolve(SERVICE, timeout_s=1, mono=time.monotonic, group=("127.0.0.1", 9))

    assert failed.value.code == "denied"


def test_a_name_that_jumps_in_circles_ends():
    assert mdns.parse(struct.pack(">HHHHHH", 0, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c", NAME) is None


@given(st.binary(max_size=200), st.data())
def test_any_bytes_are_an_answer_or_none(noise, data):
    good = answer(631)
    cut = data.draw(st.integers(0, len(good)))

    mdns.parse(noise, NAME)
    mdns.parse(good[:cut] + noise, NAME)


@pytest.mark.parametrize(
    "service", ["plain.host", "._ipp._tcp.local", "x" * 64 + "._ipp._tcp.local", "a._ipp._tcp.b..c"]
)
def test_what_is_no_service_is_not_asked_for(service):
    with pytest.raises(Failed) as failed:
        mdns.resolve(service, timeout_s=1, mono=time.monotonic)

    assert failed.value.code == "unsupported"


def test_a_service_is_found_and_its_printer_asked(monkeypatch):
    with (
        serving(always(printer_says(*state(4)))) as printer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as responder,
    ):
        responder.bind(("127.0.0.1", 0))
        responder.settimeout(5)
        asked = []

        def respond():
            question, asker = responder.recvfrom(9000)
            asked.append(question)
            responder.sendto(b"noise", asker)
            responder.sendto(answer(printer.port, address="127.0.0.1"), asker)

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        monkeypatch.setattr(mdns, "_may_be_asked", lambda address: address == "127.0.0.1")
        monkeypatch.setattr(mdns.resolve, "__kwdefaults__", {"group": responder.getsockname()})

        seen = ask.printer(
            of_uri("dnssd://HP%20LaserJet%204.2%20%5BAB%5D._ipp._tcp.local/"), timeout_s=5, mono=time.monotonic
        )
        thread.join(5)

    assert seen.state == "processing"
    assert wire(*NAME) + struct.pack(">HH", 33, 0x8001) in asked[0]


def test_a_service_that_nobody_knows_is_not_called_unreachable():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))

        with pytest.raises(Failed) as failed:
            mdns.resolve(SERVICE, timeout_s=0.2, mono=time.monotonic, group=deaf.getsockname())

    assert failed.value.code == "failed"
