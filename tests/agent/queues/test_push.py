"""The loopback listener and its client, on a real loop with real sockets, against friends and foes."""

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from annexfleet_agent.clock import SystemClock
from annexfleet_agent.loop import Loop
from annexfleet_agent.queues import PushBoard, push, token
from annexfleet_agent.queues.client import NotSet, set_
from annexfleet_agent.queues.push import MAX_BODY_BYTES, MAX_CONNECTIONS, PushServer
from annexfleet_agent.queues.rows import Row
from annexfleet_agent.queues.source import MAX_ROWS
from annexfleet_agent.settings import Settings

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def server(loop: Loop) -> Iterator[PushServer]:
    server = PushServer(loop, PushBoard(SystemClock()), 0, TOKEN)
    yield server
    server.close()


def connected(server: PushServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def said(loop: Loop, client: socket.socket) -> bytes:
    """All that the server says until it ends."""
    client.setblocking(False)
    heard = bytearray()

    def ended() -> bool:
        try:
            piece = client.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        heard.extend(piece)
        return not piece

    assert loop.run_until(ended, timeout_s=10)
    return bytes(heard)


def asked(loop: Loop, server: PushServer, request: bytes) -> bytes:
    with connected(server) as client:
        client.sendall(request)
        return said(loop, client)


def put(service: str = "acts", body: bytes = b'{"waiting": 3}', *, bearer: str = TOKEN, more: str = "") -> bytes:
    head = f"PUT /queues/{service} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{more}\r\n".encode() + body


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def rows(server: PushServer) -> list[Row]:
    return [row for row, _ in server.board.rows()]


def test_a_row_is_taken_and_a_newer_one_replaces_it(loop: Loop, server: PushServer):
    first = asked(loop, server, put(body=b'{"waiting": 3, "counters_open": 2}'))
    asked(loop, server, put(body=b'{"waiting": 4}'))

    assert status(first) == 204
    assert rows(server) == [Row(service="acts", waiting=4)]


def test_a_request_in_many_pieces_is_one_request(loop: Loop, server: PushServer):
    with connected(server) as client:
        for byte in put():
            client.sendall(bytes([byte]))
            loop.step(0.001)
        answer = said(loop, client)

    assert status(answer) == 204
    assert rows(server) == [Row(service="acts", waiting=3)]


def test_the_listener_is_on_loopback_only(server: PushServer):
    with connected(server) as client:
        assert client.getpeername()[0] == "127.0.0.1"
    assert server._listener is not None
    assert server._listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (put(bearer="wrong"), 401),
        (put(bearer=TOKEN + "x"), 401),
        (put(bearer=TOKEN[:-1]), 401),
        (put(bearer=""), 401),
        (put().replace(b"Authorization", b"X-Other"), 401),
        (put(body=b"{"), 400),
        (put(body=b""), 400),
        (put(body=b"[" * 10_000), 400),
        (put(body=b"<html>"), 400),
        (put(body=b"[1]"), 422),
        (put(body=b"{}"), 422),
        (put(body=b'{"waiting": -1}'), 422),
        (put(body=b'{"waiting": "3"}'), 422),
        (put(body=b'{"ticket": "A17"}'), 422),
        (put(service="Acts"), 422),
        (put(service="-"), 422),
        (put(service="a/b"), 404),
        (put(service="../etc"), 404),
        (put().replace(b"PUT", b"GET"), 405),
        (b"DELETE " + put()[4:], 405),
        (put().replace(b"Content-Length", b"X-Length"), 411),
        (put(more="Transfer-Encoding: chunked\r\n"), 411),
        (put().replace(b"Length: 14", b"Length: 99999999999999999999"), 413),
        (put().replace(b"Length: 14", b"Length: 20000"), 413),
        (put().replace(b"Length: 14", b"Length: -14"), 400),
        (put(more="Content-Length: 14\r\n"), 400),
        (put(more="No colon\r\n"), 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"PUT http://evil/queues/acts HTTP/1.1\r\n\r\n", 400),
        (b"X" * 20_000, 431),
        (b"PUT /queues/acts HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 431),
    ],
    ids=range(31),
)
def test_what_is_refused_changes_nothing(loop: Loop, server: PushServer, request_: bytes, expected: int):
    answer = asked(loop, server, request_)

    assert status(answer) == expected
    assert rows(server) == []
    assert TOKEN.encode() not in answer
    assert b"A17" not in answer
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=dict[str, str])["error"]


def test_a_body_is_not_read_before_its_token_is_known(loop: Loop, server: PushServer):
    head, _, _ = put(bearer="wrong").partition(b"\r\n\r\n")

    assert status(asked(loop, server, head + b"\r\n\r\n")) == 401


def test_a_refusal_reaches_a_sender_that_goes_on_sending(loop: Loop, server: PushServer):
    answers: list[bytes] = []

    def send() -> None:
        with connected(server) as client:
            client.sendall(put().replace(b"Length: 14", b"Length: 900000") + b"x" * 900_000)
            answers.append(client.recv(65536))

    sender = threading.Thread(target=send)
    sender.start()
    assert loop.run_until(lambda: not sender.is_alive())
    sender.join()

    assert status(answers[0]) == 413


class QuickClock:
    """Time that passes when told."""

    passed = 0.0

    def now(self) -> float:
        return 1e9 + self.passed

    def mono(self) -> float:
        return self.passed


@pytest.mark.parametrize(
    "words", [b"", b"PUT /que", put()[:-1]], ids=["nothing", "half a head", "a body short of a byte"]
)
def test_a_slow_sender_is_dropped_after_some_seconds(words: bytes):
    clock = QuickClock()
    loop = Loop(clock)
    server = PushServer(loop, PushBoard(clock), 0, TOKEN)
    with connected(server) as client:
        client.sendall(words)
        assert loop.run_until(lambda: bool(server._open))
        loop.step()

        clock.passed = push.CONVERSATION_S + 0.1

        assert said(loop, client) == b""
    assert not server._open
    server.close()
    loop.close()


def test_a_crowd_of_slow_senders_does_not_keep_an_honest_one_out(loop: Loop, server: PushServer):
    with ExitStack() as crowd:
        for _ in range(3 * MAX_CONNECTIONS):
            crowd.enter_context(connected(server)).sendall(b"PUT /queues/")
            loop.step(0.01)

        answer = asked(loop, server, put())

        assert status(answer) == 204
        assert len(server._open) <= MAX_CONNECTIONS


def test_a_sender_that_resets_the_connection_spoils_nothing(loop: Loop, server: PushServer):
    with connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sendall(put()[:30])
        loop.step(0.05)
    loop.step(0.05)

    assert status(asked(loop, server, put())) == 204


def test_a_device_has_so_many_queues_and_no_more(loop: Loop, server: PushServer):
    for number in range(MAX_ROWS):
        server.board.put(Row(service=f"s{number}", waiting=0))

    assert status(asked(loop, server, put("one-more"))) == 507
    assert status(asked(loop, server, put("s1"))) == 204


def test_a_port_that_is_taken_is_tried_again(caplog: pytest.LogCaptureFixture):
    clock = QuickClock()
    loop = Loop(clock)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = PushServer(loop, PushBoard(clock), port, TOKEN)
        assert not server.listening
        assert f"port={port}" in caplog.text

    clock.passed = 31
    loop.step()

    assert server.listening
    assert server.port == port
    server.close()
    loop.close()


def test_closing_frees_the_port_and_drops_conversations(loop: Loop, server: PushServer):
    with connected(server) as client:
        assert loop.run_until(lambda: bool(server._open))

        server.close()

        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(server)


def test_an_empty_token_opens_nothing(loop: Loop):
    with pytest.raises(ValueError, match="token"):
        PushServer(loop, PushBoard(SystemClock()), 0, "")


@given(noise=st.binary(max_size=400), known=st.booleans())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_noise_changes_nothing(loop: Loop, server: PushServer, noise: bytes, known: bool):
    head = put(body=noise) if known else noise

    with connected(server) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        answer = said(loop, client)

    assert answer == b"" or status(answer) in {400, 401, 404, 405, 411, 413, 422, 431}
    assert rows(server) == []


# -- the client


@pytest.fixture
def running(loop: Loop, tmp_path: Path) -> Iterator[tuple[Settings, PushServer]]:
    """Settings of an agent, and its listener."""
    base = Settings()
    state = msgspec.structs.replace(base.agent, state_dir=str(tmp_path))
    settings = msgspec.structs.replace(base, agent=state, push=msgspec.structs.replace(base.push, port=1))
    server = PushServer(loop, PushBoard(SystemClock()), 0, token.read_or_make(settings))
    yield msgspec.structs.replace(settings, push=msgspec.structs.replace(base.push, port=server.port)), server
    server.close()


def told(loop: Loop, settings: Settings, row: Row) -> NotSet | None:
    """Run the client as another process would; what it raised."""
    ended: list[NotSet | None] = []

    def run() -> None:
        try:
            set_(settings, row)
        except NotSet as error:
            ended.append(error)
        else:
            ended.append(None)

    thread = threading.Thread(target=run)
    thread.start()
    assert loop.run_until(lambda: bool(ended))
    thread.join()
    return ended[0]


def test_the_client_hands_a_row_to_the_agent(loop: Loop, running: tuple[Settings, PushServer]):
    settings, server = running
    row = Row(service="acts", waiting=12, longest_wait_s=640.0, counters_open=0)

    assert told(loop, settings, row) is None
    assert rows(server) == [row]


def test_the_token_is_made_once_and_is_not_for_everybody(running: tuple[Settings, PushServer]):
    settings, _ = running

    assert len(token.read(settings)) >= 43
    assert token.read_or_make(settings) == token.read(settings)
    assert stat.S_IMODE(token.path_of(settings).stat().st_mode) & 0o007 == 0


Spoil = Callable[[Settings], Settings]


def _without_token(settings: Settings) -> Settings:
    token.path_of(settings).unlink()
    return settings


def _with_other_token(settings: Settings) -> Settings:
    token.path_of(settings).write_text("x" * 40)
    return settings


def _with_bad_token(settings: Settings) -> Settings:
    token.path_of(settings).write_text("short")
    return settings


def _with_port(port: int) -> Spoil:
    return lambda settings: msgspec.structs.replace(settings, push=msgspec.structs.replace(settings.push, port=port))


def _with_free_port(settings: Settings) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return _with_port(free.getsockname()[1])(settings)


@pytest.mark.parametrize(
    ("spoil", "row", "expected"),
    [
        (_with_port(0), Row(service="acts"), ("push_is_off", "push.port")),
        (_without_token, Row(service="acts"), ("no_token", "push.token")),
        (_with_bad_token, Row(service="acts"), ("no_token", "16 to 512")),
        (_with_other_token, Row(service="acts"), ("refused", "token_file")),
        (_with_free_port, Row(service="acts"), ("agent_not_running", "running")),
        (lambda settings: settings, Row(service="acts", waiting=-1), ("refused", "below zero")),
        (lambda settings: settings, Row(service="Ä/x"), ("refused", "lower case")),
        (lambda settings: settings, Row(service="A"), ("refused", "lower case")),
    ],
    ids=["off", "no token", "bad token", "other token", "not running", "below zero", "no id", "upper case"],
)
def test_the_client_says_what_is_wrong(
    loop: Loop, running: tuple[Settings, PushServer], spoil: Spoil, row: Row, expected: tuple[str, str]
):
    error = told(loop, spoil(running[0]), row)

    assert error is not None
    assert error.code == expected[0]
    assert expected[1] in str(error)


def test_a_body_of_the_largest_size_is_taken(loop: Loop, server: PushServer):
    body = b'{"waiting": 3' + b" " * (MAX_BODY_BYTES - 14) + b"}"

    assert status(asked(loop, server, put(body=body))) == 204
