"""A listener on loopback to which queue systems hand their figures.

    PUT /queues/<service> HTTP/1.1
    Authorization: Bearer <token>

    {"waiting": 12, "longest_wait_s": 640, "counters_open": 3}

The answer is 204, or a status with `{"error": code, "detail": …}`.  A row is taken whole or not at all: its sender is
there to be told.  Whatever is on the other side may be hostile: few connections, a few seconds for each, a small head
and body, and the token is compared in constant time before anything of the body is looked at.  All of it runs on the
agent's loop; nothing here blocks.
"""

import hmac
import logging
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from annexfleet_agent.clock import Clock
from annexfleet_agent.queues.rows import FIELDS, Row, canonical, service_id
from annexfleet_agent.queues.source import MAX_ROWS, SourceFailed, parse_json

if TYPE_CHECKING:
    from annexfleet_agent.loop import Loop, Timer

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_CONNECTIONS = 16
"""When one more comes, the oldest goes: it has had its chance."""
CONVERSATION_S = 5.0
_BACKLOG = 16
_TRY_AGAIN_S = 30.0
_REASONS = {
    204: "No Content", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
    411: "Length Required", 413: "Content Too Large", 422: "Unprocessable Content",
    431: "Request Header Fields Too Large", 507: "Insufficient Storage",
}  # fmt: skip
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,512}) HTTP/1\.[01]")


class BoardFull(Exception):
    """More queues than a device can have were pushed."""


class PushBoard:
    """The newest pushed row of each service.  Filled on the loop's thread, read from the worker's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, tuple[Row, float]] = {}

    def put(self, row: Row) -> None:
        """Take a row instead of the service's last one.  Raises BoardFull."""
        if row.service not in self._rows and len(self._rows) >= MAX_ROWS:
            raise BoardFull
        self._rows[row.service] = (row, self._clock.mono())

    def now(self) -> float:
        """Unix time, against which moments in pushed rows are judged."""
        return self._clock.now()

    def rows(self) -> list[tuple[Row, float]]:
        """Each row and when it came, by the clock that does not step."""
        return list(self._rows.values())


class PushServer:
    """Listens on 127.0.0.1 and fills the board."""

    def __init__(self, loop: "Loop", board: PushBoard, port: int, token: str) -> None:
        """Starts at once.  A port that is taken is tried again every 30 s and logged; nothing is raised.

        `port` 0 lets the system choose; see `self.port`.  Raises ValueError for an empty token.
        """
        if not token:
            raise ValueError("a push listener needs a token")
        self.port = port
        self.board = board
        self._loop = loop
        self._expected = b"bearer " + token.encode()
        self._listener: socket.socket | None = None
        self._retry: Timer | None = None
        self._open: dict[int, _Conversation] = {}
        self._number = 0
        self._listen()

    @property
    def listening(self) -> bool:
        return self._listener is not None

    def close(self) -> None:
        """Stop listening and drop the conversations."""
        if self._retry is not None:
            self._retry.cancel()
        for conversation in list(self._open.values()):
            conversation.close()
        if self._listener is not None:
            self._loop.unwatch(self._listener)
            self._listener.close()
            self._listener = None

    def _listen(self) -> None:
        self._retry = None
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            log.warning("cannot listen for pushed queue figures port=%s error=%s", self.port, error)
            self._retry = self._loop.after(_TRY_AGAIN_S, self._listen)
            return
        self._listener = listener
        self.port = listener.getsockname()[1]
        self._loop.watch(listener, read=self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptor left: it would be ready again at once, for ever
            log.warning("cannot accept a connection with queue figures error=%s", error)
            self._loop.unwatch(self._listener)
            self._retry = self._loop.after(1.0, self._resume)
            return
        if len(self._open) >= MAX_CONNECTIONS:
            next(iter(self._open.values())).close()
        self._number += 1
        number = self._number
        self._open[number] = _Conversation(
            self._loop, connection, self._expected, self.board, lambda: self._open.pop(number, None)
        )

    def _resume(self) -> None:
        self._retry = None
        if self._listener is not None:
            self._loop.watch(self._listener, read=self._accept)


class _Refused(Exception):
    """The request gets this status instead of 204."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail


class _Conversation:
    """One request and its answer."""

    def __init__(
        self,
        loop: "Loop",
        connection: socket.socket,
        expected: bytes,
        board: PushBoard,
        forget: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._expected = expected
        self._board = board
        self._forget = forget
        self._buffer = bytearray()
        self._service = ""
        self._length = -1
        """Of the body; below zero while the head is not complete."""
        self._answered = False
        connection.setblocking(False)
        self._timer = loop.after(CONVERSATION_S, self.close)
        loop.watch(connection, read=self._read)

    def close(self) -> None:
        self._timer.cancel()
        self._loop.unwatch(self._connection)
        self._connection.close()
        self._forget()

    def _read(self) -> None:
        try:
            piece = self._connection.recv(MAX_BODY_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not piece:
            self.close()
            return
        if self._answered:
            return  # what still comes after a refusal is read and dropped, or the refusal would be lost to a reset
        self._buffer += piece
        try:
            if self._hear():
                self._answer(204)
        except _Refused as refused:
            self._answer(refused.status, refused.code, refused.detail)

    def _hear(self) -> bool:
        """Whether a whole request was there, and its row was taken."""
        if self._length < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if (end if end >= 0 else len(self._buffer)) > MAX_HEAD_BYTES:
                raise _Refused(431, "head_too_big")
            if end < 0:
                return False
            self._service, self._length = _understand(bytes(self._buffer[:end]), self._expected)
            del self._buffer[: end + 4]
        if len(self._buffer) < self._length:
            return False
        self._board_row(bytes(self._buffer[: self._length]))
        return True

    def _board_row(self, body: bytes) -> None:
        row = _row(self._service, body, self._board)
        try:
            self._board.put(row)
        except BoardFull:
            raise _Refused(507, "too_many_queues", f"at most {MAX_ROWS}") from None

    def _answer(self, status: int, code: str = "", detail: str = "") -> None:
        self._answered = True
        body = msgspec.json.encode({"error": code, "detail": detail}) if code else b""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        if status == 401:
            head += "WWW-Authenticate: Bearer\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        try:
            self._connection.send(head.encode("ascii") + b"\r\n" + body)  # the first bytes: they fit any buffer
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()


def _understand(head: bytes, expected: bytes) -> tuple[str, int]:
    """The service and the length of the body that follows.  Raises _Refused."""
    first, *lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise _Refused(400, "no_request")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        key = name.lower()
        if not colon or key in headers or name.strip() != name:
            raise _Refused(400, "bad_header")
        headers[key] = value.strip()
    said = headers.get(b"authorization", b"")
    if not hmac.compare_digest(said[:7].lower() + said[7:], expected):
        raise _Refused(401, "wrong_token")
    method, target = match[1], match[2].decode("ascii")
    folder, _, service = target.rpartition("/")
    if folder != "/queues":
        raise _Refused(404, "no_such_place", "PUT /queues/<service>")
    if method != b"PUT":
        raise _Refused(405, "wrong_method", "PUT /queues/<service>")
    try:
        known_as = service_id(service)
    except ValueError as error:
        raise _Refused(422, "bad_service", str(error)) from None
    if known_as != service:
        raise _Refused(422, "bad_service", "a service's id is in lower case")
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length:
        raise _Refused(411, "length_needed")
    if not length.isdigit():
        raise _Refused(400, "bad_header")
    if len(length) > 9 or int(length) > MAX_BODY_BYTES:
        raise _Refused(413, "body_too_big", f"at most {MAX_BODY_BYTES} bytes")
    return service, int(length)


def _row(service: str, body: bytes, board: PushBoard) -> Row:
    try:
        values = parse_json(body, "the body")
    except SourceFailed as error:
        raise _Refused(400, "not_json", str(error)) from None
    if not isinstance(values, dict) or not values:
        raise _Refused(422, "no_row", "the body is no JSON object with a figure")
    unknown = sorted(key for key in values if key not in FIELDS)
    if unknown:
        # Repeating what was sent could put a citizen's name into somebody's log.
        raise _Refused(422, "unknown_field", f"a queue has {', '.join(FIELDS)}")
    row, refused = canonical(service, values, now=board.now())
    if refused:
        raise _Refused(422, "bad_figure", "; ".join(refusal.reason for refusal in refused))
    return row
