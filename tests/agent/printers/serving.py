"""Servers that answer IPP, HTTP or nothing, as a test tells them; real sockets, one thread each."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from annexfleet_agent.printers import ipp


class Server:
    """Hands each request to `answer` and sends what it returns, piece by piece.  Keeps what was asked."""

    def __init__(self, listener: socket.socket, answer: Callable[[bytes], list[bytes]]) -> None:
        self._listener = listener
        self._answer = answer
        self._ended = threading.Event()
        self.requests: list[bytes] = []
        self.heads: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def uri(self) -> str:
        return f"ipp://127.0.0.1:{self.port}/ipp/print"

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                head, body = _request(connection)
                self.heads.append(head)
                self.requests.append(body)
                for piece in self._answer(body):
                    connection.sendall(piece)
                    if piece == HANG:
                        self._ended.wait(10)


HANG = b""
"""A piece of an answer that is not followed by another for a long while."""


@contextlib.contextmanager
def serving(answer: Callable[[bytes], list[bytes]], unix: Path | None = None) -> Iterator[Server]:
    if unix is None:
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
        listener.listen()
    server = Server(listener, answer)
    try:
        yield server
    finally:
        server.close()


def always(*pieces: bytes) -> Callable[[bytes], list[bytes]]:
    return lambda body: list(pieces)


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def printer_says(*attributes: ipp.Attribute, status: int = 0) -> bytes:
    """An HTTP answer to Get-Printer-Attributes."""
    return http(ipp.encode((2, 0), status, 1, [(ipp.OPERATION, []), (ipp.PRINTER, list(attributes))]))


def state(number: int, *reasons: str) -> list[ipp.Attribute]:
    return [
        ipp.Attribute("printer-state", ipp.ENUM, [number]),
        ipp.Attribute("printer-state-reasons", ipp.KEYWORD, list(reasons) or ["none"]),
    ]


def _request(connection: socket.socket) -> tuple[str, bytes]:
    held = b""
    while b"\r\n\r\n" not in held:
        held += connection.recv(4096) or b"\r\n\r\n"
    head, _, body = held.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(4096)
    return head.decode("latin-1") + "\r\n", body
