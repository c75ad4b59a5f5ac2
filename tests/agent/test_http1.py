"""The small HTTP client, against real sockets that say what they should not."""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.queues.servers import Talk, drip, hang, ok, serving, ten_megabytes_in_chunks

from annexfleet_agent.collectors.report import code_for
from annexfleet_agent.http1 import Answer, Deadline, Malformed, Timeout, TooBig, dial, request, system_trust

GET = ("GET", "/")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask(talk: Talk | bytes, *, max_bytes: int = 1000, seconds: float = 5.0, cut: bool = False) -> Answer:
    with serving(talk) as server:
        deadline = Deadline(seconds)
        with dial("127.0.0.1", server.port, deadline) as connection:
            return request(connection, *GET, host="here", deadline=deadline, max_bytes=max_bytes, cut=cut)


def test_an_answer_with_its_length_is_read_and_the_connection_stays_usable():
    answer = ask(ok(b"hello") + b"")

    assert answer == Answer(200, {"content-type": "application/json", "content-length": "5"}, b"hello", False, True)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", b"ok"),
        (CHUNKED + b"2;x=y\r\nok\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n", b"ok0123456789"),
    ],
)
def test_every_way_to_end_a_body(said: bytes, body: bytes):
    assert ask(said).body == body


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"xx\r\n",
        CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_no_answer_is_malformed(said: bytes):
    with pytest.raises(Malformed) as caught:
        ask(said)

    assert code_for(caught.value) == "malformed"


@pytest.mark.parametrize("talk", [hang, drip], ids=["hang", "drip"])
def test_the_deadline_holds_for_the_whole_exchange(talk: Talk):
    with pytest.raises(Timeout) as caught:
        ask(talk, max_bytes=1 << 20, seconds=0.3)

    assert code_for(caught.value) == "timed_out"


@pytest.mark.parametrize("talk", [ok(b"x" * 1001), ten_megabytes_in_chunks, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000])
def test_an_answer_over_the_cap_is_refused_or_cut(talk: Talk | bytes):
    with pytest.raises(TooBig) as caught:
        ask(talk)

    assert code_for(caught.value) == "too_big"
    cut = ask(talk, cut=True)
    assert (len(cut.body), cut.truncated, cut.reusable) == (1000, True, False)


def test_several_requests_travel_over_one_connection():
    def twice(client: socket.socket, _over: threading.Event) -> None:
        client.sendall(ok(b"first"))
        client.recv(65536)
        client.sendall(ok(b"second"))

    with serving(twice) as server:
        deadline = Deadline(5)
        with dial("127.0.0.1", server.port, deadline) as connection:
            ask_again: Callable[[], Answer] = lambda: request(  # noqa: E731
                connection, *GET, host="here", deadline=deadline, max_bytes=100, keep_alive=True
            )
            first, second = ask_again(), ask_again()

    assert (first.body, second.body) == (b"first", b"second")


@pytest.mark.parametrize(
    ("target", "header"), [("/ HTTP/1.1\r\nX:", "v"), ("/", "v\r\nX: y"), ("/a b", "v"), ("", "v")]
)
def test_no_line_can_be_smuggled_into_a_head(target: str, header: str):
    near, far = socket.socketpair()

    with near, far, pytest.raises(ValueError, match="request"):
        request(near, "GET", target, host="h", deadline=Deadline(1), max_bytes=1, headers={"A": header})


@given(st.binary(max_size=300))
def test_hostile_bytes_end_in_one_of_three_ways(noise: bytes):
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"HTTP/1.1 200 OK\r\n" + noise)
        far.shutdown(socket.SHUT_WR)

        try:
            answer = request(near, *GET, host="h", deadline=Deadline(5), max_bytes=100)
        except (Malformed, TooBig):
            return

    assert len(answer.body) <= 100


def test_the_systems_authorities_are_trusted_one_by_one_where_they_are_kept_so(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    (tmp_path / "0a1b2c3d.0").touch()
    system_trust.cache_clear()
    one_by_one = system_trust()
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    system_trust.cache_clear()
    bundled = system_trust()
    system_trust.cache_clear()

    assert one_by_one.cert_store_stats()["x509_ca"] == 0  # read when a server's certificate asks for it
    for context in (one_by_one, bundled):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
