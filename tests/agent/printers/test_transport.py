"""HTTP by hand, against servers that mean well and others."""

import time

import pytest
from tests.agent.printers.serving import HANG, always, http, serving

from annexfleet_agent.printers import transport
from annexfleet_agent.printers.failure import Failed
from annexfleet_agent.printers.transport import Endpoint

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(server, timeout_s=5.0):
    return transport.post(
        Endpoint("127.0.0.1", server.port, "/ipp/print"), b"ask", timeout_s=timeout_s, mono=time.monotonic
    )


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("content-length", [http(b"answer")]),
        ("in pieces", [b"HTTP/1.1 200", b" OK\r\nContent-Le", b"ngth: 6\r\n\r\nans", b"wer"]),
        ("chunked", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nans\r\n3;x=y\r\nwer\r\n0\r\n\r\n"]),
        ("until it closes", [b"HTTP/1.0 200 OK\r\n\r\nanswer"]),
        ("after a continue", [b"HTTP/1.1 100 Continue\r\n\r\n", http(b"answer")]),
        ("bare line feeds", [b"HTTP/1.1 200 OK\nContent-Length: 6\n\nanswer"]),
    ],
)
def test_an_answer_is_read(name, pieces):
    with serving(always(*pieces)) as server:
        assert post(server) == b"answer"

    assert server.requests == [b"ask"]


@pytest.mark.parametrize(
    ("name", "pieces", "code"),
    [
        ("garbage", [b"\x00\xff" * 5000 + b"\n"], "malformed"),
        ("endless line", [b"x" * 100_000], "malformed"),
        ("nothing", [], "malformed"),
        ("cut short", [b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nanswer"], "malformed"),
        ("cut in a chunk", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nans"], "malformed"),
        ("a chunk of minus one", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"], "malformed"),
        ("a length of no number", [b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n"], "malformed"),
        ("headers without end", [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000], "malformed"),
        ("says 10 MB", [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"], "too_big"),
        ("sends 10 MB", [b"HTTP/1.0 200 OK\r\n\r\n", *[b"x" * 100_000] * 100], "too_big"),
        ("chunks 10 MB", [CHUNKED, *[b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 100], "too_big"),
        ("not allowed", [http(b"", "401 Unauthorized")], "denied"),
        ("not there", [http(b"", "404 Not Found")], "unsupported"),
        ("broken", [http(b"", "500 Internal Server Error")], "failed"),
    ],
)  # fmt: skip
def test_this_is_no_answer(name, pieces, code):
    with serving(always(*pieces)) as server, pytest.raises(Failed) as failed:
        post(server)

    assert failed.value.code == code


@pytest.mark.parametrize("pieces", [[HANG], [b"HTTP/1.1 200 OK\r\n", HANG], [http(b"answer")[:-2], HANG]])
def test_a_server_that_falls_silent_is_given_up(pieces):
    with serving(always(*pieces)) as server, pytest.raises(Failed) as failed:
        post(server, timeout_s=0.2)

    assert failed.value.code == "timed_out"


def test_a_server_that_trickles_is_given_up():
    def trickle(_):
        yield b"HTTP/1.1 200 OK\r\n"
        while True:
            time.sleep(0.02)  # the server's own slowness is what is tested
            yield b"a"

    with serving(trickle) as server, pytest.raises(Failed) as failed:
        post(server, timeout_s=0.3)

    assert failed.value.code == "timed_out"


def test_no_server_is_unreachable():
    with serving(always()) as server:
        port = server.port

    with pytest.raises(Failed) as failed:
        transport.post(Endpoint("127.0.0.1", port), b"ask", timeout_s=5, mono=time.monotonic)

    assert failed.value.code == "unreachable"


@pytest.mark.parametrize("host", ["printer.invalid", "x" * 300, "a..b"])
def test_no_such_host_is_unreachable(host):
    with pytest.raises(Failed) as failed:
        transport.post(Endpoint(host), b"ask", timeout_s=5, mono=time.monotonic)

    assert failed.value.code in {"unreachable", "timed_out"}


def test_tls_to_a_server_without_it_is_malformed():
    with serving(always(http(b"answer"))) as server, pytest.raises(Failed) as failed:
        transport.post(Endpoint("127.0.0.1", server.port, tls=True), b"ask", timeout_s=2, mono=time.monotonic)

    assert failed.value.code in {"malformed", "timed_out"}


def test_a_unix_socket_serves_as_well(tmp_path):
    with serving(always(http(b"answer")), unix=tmp_path / "s") as server:
        assert transport.post(Endpoint(str(tmp_path / "s")), b"ask", timeout_s=5, mono=time.monotonic) == b"answer"

    assert server.requests == [b"ask"]


def test_an_absent_unix_socket_is_unsupported(tmp_path):
    with pytest.raises(Failed) as failed:
        transport.post(Endpoint(str(tmp_path / "none")), b"ask", timeout_s=5, mono=time.monotonic)

    assert failed.value.code == "unsupported"


@pytest.mark.parametrize(
    ("endpoint", "uri"),
    [
        (Endpoint("/run/cups/cups.sock"), "ipp://localhost/"),
        (Endpoint("fe80::1", 631, "/ipp/print"), "ipp://[fe80::1]:631/ipp/print"),
        (Endpoint("printer", 8443, "/p", tls=True), "ipps://printer:8443/p"),
    ],
)
def test_an_endpoint_has_a_uri(endpoint, uri):
    assert endpoint.uri == uri


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("127.0.0.1", "/x HTTP/1.1\r\nHost: localhost\r\n\r\nPUT /"),
        ("127.0.0.1", "/a b"),
        ("127.0.0.1", "/\x7f"),
        ("127.0.0.1", "/\u00e4"),
        ("127.0.0.1\r\nX: y", "/"),
        ("/run/cups.sock", "/a\nb"),
    ],
)
def test_an_address_cannot_add_lines_to_a_request(host, path):
    with serving(always(http(b"answer"))) as server, pytest.raises(Failed) as failed:
        transport.post(Endpoint(host, server.port, path), b"ask", timeout_s=5, mono=time.monotonic)

    assert failed.value.code == "unsupported"
    assert server.requests == []
