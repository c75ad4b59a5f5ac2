"""Who says nothing loses its place, and takes nobody else's."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from tests.flow.broker import free_port

from annexfleet_controller.cli import listening

PATIENCE_S = 10.0


def application() -> FastAPI:
    app = FastAPI()

    @app.post("/", response_class=PlainTextResponse)
    async def who(request: Request) -> str:
        await request.body()
        return request.client.host if request.client else ""

    return app


@contextmanager
def serving(**options: object) -> Iterator[int]:
    port = free_port()
    server = listening.Listener(listening.config(application(), "127.0.0.1", port, **options))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


def eventually(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def connect(port: int, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    connection.sendall(said)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Waits for the other side; true if it says nothing and goes."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def asks(port: int, *headers: str) -> str:
    with connect(port, "\r\n".join(["POST / HTTP/1.1", "Host: x", "Content-Length: 0", "Connection: close",
                                    *headers, "", ""]).encode()) as connection:  # fmt: skip
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    return answer.decode()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_WITHIN_S", 0.2)
    monkeypatch.setattr(listening, "BODY_WITHIN_S", 0.2)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "half of the pieces"],
)
@pytest.mark.usefixtures("hasty")
def test_half_a_request_is_waited_for_only_so_long(said: bytes):
    with serving() as port, connect(port, said) as connection:
        assert is_closed(connection)


@pytest.mark.usefixtures("hasty")
def test_silent_connections_do_not_close_the_listener(capsys: pytest.CaptureFixture[str]):
    with serving(most_at_once=8) as port, ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(connect(port))

        eventually(lambda: asks(port).startswith("HTTP/1.1 200"))


def test_one_address_has_so_many_connections_and_no_more():
    with serving(most_of_an_address=3) as port, ExitStack() as opened:
        held = [opened.enter_context(connect(port)) for _ in range(3)]
        with connect(port) as one_more:
            assert is_closed(one_more)

        held.pop().close()
        eventually(lambda: "200 OK" in answered(port))


def answered(port: int) -> str:
    try:
        return asks(port)
    except ConnectionError:
        return ""


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("", "127.0.0.1"), ("192.0.2.1", "127.0.0.1"), ("127.0.0.1", "203.0.113.5"), ("127.0.0.0/8", "203.0.113.5")],
)
def test_who_asks_is_believed_of_trusted_proxies_only(trusted: str, expected: str):
    with serving(trusted_proxies=trusted) as port:
        assert asks(port, "X-Forwarded-For: 203.0.113.5").endswith(expected)
