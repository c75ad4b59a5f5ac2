"""Raw servers on loopback that say exactly these bytes, and the hostile ones that do not end."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

Talk = Callable[[socket.socket, threading.Event], None]
"""Speaks with one client; ends early when the event is set."""


class Server(NamedTuple):
    port: int
    heard: list[bytes]
    """What each client said, up to the end of its head."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/figures"


@contextmanager
def serving(talk: Talk | bytes) -> Iterator[Server]:
    """A server that, after a client's request head, sends these bytes and closes, or talks."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    heard: list[bytes] = []

    def converse(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(5)
            head = b""
            while b"\r\n\r\n" not in head and (piece := client.recv(65536)):
                head += piece
            heard.append(head)
            if callable(talk):
                talk(client, over)
            else:
                client.sendall(talk)

    threads: list[threading.Thread] = []

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                threads.append(threading.Thread(target=converse, args=(client,)))
                threads[-1].start()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield Server(listener.getsockname()[1], heard)
    finally:
        over.set()
        server.join()
        listener.close()
        for thread in threads:
            thread.join()


def ok(body: bytes, *, content_type: str = "application/json") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def hang(_client: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def drip(client: socket.socket, over: threading.Event) -> None:
    """A byte now and then, each of them in time, the whole never."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not over.wait(0.02):
        client.sendall(b" ")


def ten_megabytes_in_chunks(client: socket.socket, _over: threading.Event) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(160):
        client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
    client.sendall(b"0\r\n\r\n")
