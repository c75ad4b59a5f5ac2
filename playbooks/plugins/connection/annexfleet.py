# Copyright: the annexfleet maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's way to a device of the fleet: over the connection that its agent holds.

It speaks to a relay of the controller on a Unix socket and to nobody else; keys, sessions and the broker are the
relay's business.  What is said on that socket: `controller/annexfleet_controller/rollouts/relay/framing.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import shlex
import socket
import struct
import time
import typing as t
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

try:
    from annexfleet_controller.rollouts.ansiballz import recognise
except ImportError:  # without the controller beside it, every module is executed as Ansible wrote it
    recognise = None

DOCUMENTATION = r"""
name: annexfleet
author: the annexfleet maintainers
short_description: run tasks on a device of the fleet over its agent's own connection
description:
  - The device needs no sshd and no open port. Every session is signed for this one device and sealed to its key; the
    broker in between can neither read nor forge anything.
  - Tasks run as the user of the device's runner, root where the installation says so. There is no terminal.
  - C(become) works where sudo asks for no password; become passwords are not supported.
options:
  device_id:
    description: The device's id.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: annexfleet_device_id
  relay:
    description:
      - The Unix socket of the controller's relay.
      - If it is empty, C(relay/console.sock) in the controller's home (E(ANNEXFLEET_HOME)) is used.
    type: str
    default: ""
    env:
      - name: ANNEXFLEET_RELAY
    vars:
      - name: annexfleet_relay
  connection_timeout:
    description: Seconds within which the relay must take the connection.
    type: int
    default: 10
    env:
      - name: ANNEXFLEET_CONNECTION_TIMEOUT
    vars:
      - name: annexfleet_connection_timeout
  request_timeout:
    description: Seconds that one task may take on the device before it is ended there.
    type: int
    default: 3600
    env:
      - name: ANNEXFLEET_REQUEST_TIMEOUT
    vars:
      - name: annexfleet_request_timeout
  largest_file_bytes:
    description: The largest file that is fetched. A device may send without end, and this machine's disk has one.
    type: int
    default: 1073741824
    vars:
      - name: annexfleet_largest_file_bytes
  warm:
    description:
      - Run Ansible's own modules in a Python that the device keeps warm, and send it only the files that it lacks.
      - Anything that is not known to the last byte to be such a module is executed as usual.
    type: bool
    default: true
    env:
      - name: ANNEXFLEET_WARM
    vars:
      - name: annexfleet_warm
  pipelining:
    description: Send modules over standard input instead of copying them first.
    type: bool
    default: true
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
    vars:
      - name: ansible_pipelining
"""

display = Display()

_HEAD = struct.Struct(">ccI")
_PIECE_BYTES = 256 * 1024
_MOST_OUTPUT_BYTES = 128 * 1024 * 1024
"""Of one task, for all of it lies in this machine's memory; twice what a runner lets through if nobody says more."""
_LONGEST_PATH_BYTES = 100
"""sun_path has 108."""
_REFUSES_PASSWORDS = (
    "annexfleet: become passwords are not supported, for there is no terminal on the device. Let sudo ask for none "
    "there (NOPASSWD), or have the runner work as root, and remove ansible_become_password."
)


class _Answer(t.NamedTuple):
    stdout: bytes
    stderr: bytes
    verdict: dict[str, t.Any]


class Connection(ConnectionBase):
    """One request after another over one connection to the relay; closing it cancels what runs."""

    transport = "annexfleet"
    has_pipelining = True
    has_tty = False
    allow_executable = True

    _line: socket.socket | None = None

    # -- what Ansible calls

    def _connect(self) -> Connection:
        if self._connected and self._line is not None:
            return self
        place = self._relay_path()
        deadline = time.monotonic() + self.get_option("connection_timeout")
        while True:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                _connect_to(line, place)
            except OSError as error:
                line.close()
                # A relay that is just being started, or whose queue is full.
                if isinstance(error, PermissionError) or time.monotonic() >= deadline:
                    raise AnsibleConnectionFailure(_no_relay(place, error)) from error
                time.sleep(0.1)
            else:
                break
        line.setblocking(False)
        self._line = line
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._refuse_become_password()
        data = to_bytes(in_data or b"")
        argv = _argv(to_text(cmd, errors="surrogate_or_strict"))
        device = self.get_option("device_id")
        request: dict[str, t.Any] = {"op": "exec", "argv": argv}
        call = recognise(argv, data) if data and recognise is not None and self.get_option("warm") else None
        if call is not None:
            display.vvv(f"MODULE {call.fqn}", host=device)
            answer = self._ask({"op": "module"}, call=call._asdict())
        else:
            display.vvv(f"EXEC {to_text(cmd)}", host=device)
            answer = self._ask(request, _pieces(data))
        code = self._exit_code(answer, "the command")
        return code, answer.stdout, answer.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self.get_option("device_id"))
        path = Path(to_text(in_path))
        try:
            with path.open("rb") as file:
                digest, size_bytes = _digest(file)
                file.seek(0)
                request = {"op": "put", "path": out_path, "size_bytes": size_bytes, "sha256": digest}
                answer = self._ask(request, _file_pieces(file, size_bytes))
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"annexfleet: there is no file {in_path}", file_name=in_path) from error
        except OSError as error:
            raise AnsibleError(f"annexfleet: {in_path} cannot be read: {error.strerror}") from error
        self._exit_code(answer, f"putting {out_path}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self.get_option("device_id"))
        path = Path(to_text(out_path))
        try:
            with path.open("wb") as file:
                answer = self._ask({"op": "fetch", "path": in_path}, output=file.write)
            self._exit_code(answer, f"fetching {in_path}")
        except OSError as error:
            path.unlink(missing_ok=True)
            raise AnsibleError(f"annexfleet: {out_path} cannot be written: {error.strerror}") from error
        except BaseException:
            path.unlink(missing_ok=True)  # half a file must not look like a whole one
            raise

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._connected = False

    def reset(self) -> None:
        """The next task begins with a new connection; nothing else is kept between tasks."""
        self.close()

    # -- one request

    def _ask(
        self,
        request: dict[str, t.Any],
        source: t.Iterator[bytes] | None = None,
        *,
        call: dict[str, t.Any] | None = None,
        output: t.Callable[[bytes], object] | None = None,
    ) -> _Answer:
        """One request and its answer; `source` is its input.  Whatever goes wrong here, what runs is cancelled.

        Raises AnsibleConnectionFailure if the device cannot be reached.
        """
        most_bytes = _MOST_OUTPUT_BYTES if output is None else self.get_option("largest_file_bytes")
        self._connect()
        line = self._line
        assert line is not None
        request["timeout_s"] = float(self.get_option("request_timeout"))
        asked = {"host": self.get_option("device_id"), "request": request, "call": call}
        try:
            head = _piece(b"R", json.dumps(asked, ensure_ascii=False).encode())
        except UnicodeEncodeError as error:
            raise AnsibleError("annexfleet: a command or a path that is not UTF-8 cannot be sent") from error
        try:
            answer, was_sent = _exchange(
                line, head, iter(()) if source is None else _framed(source), output, most_bytes=most_bytes
            )
        except OSError as error:
            self.close()
            raise AnsibleConnectionFailure(f"annexfleet: the relay broke off: {error}") from error
        except BaseException:
            self.close()
            raise
        if not was_sent:
            self.close()  # the device wanted no more of its input; what is left of it would be taken for something else
        return answer

    def _exit_code(self, answer: _Answer, what: str) -> int:
        verdict = answer.verdict
        if "unreachable" in verdict:
            raise AnsibleConnectionFailure(f"annexfleet: {verdict['unreachable']}")
        if verdict.get("exit_code") is None:
            kind = AnsibleFileNotFound if verdict.get("code") == "not_found" else AnsibleError
            raise kind(f"annexfleet: {what}: {verdict.get('error', 'no result')}")
        return int(verdict["exit_code"])

    def _refuse_become_password(self) -> None:
        if self.become is None:
            return
        with contextlib.suppress(KeyError):  # a become plugin without passwords
            if self.become.get_option("become_pass"):
                raise AnsibleError(_REFUSES_PASSWORDS)

    def _relay_path(self) -> Path:
        if found := self.get_option("relay"):
            return Path(found).expanduser()
        home = os.environ.get("ANNEXFLEET_HOME")
        return (Path(home) if home else Path.home() / ".local/share/annexfleet") / "relay" / "console.sock"


def _exchange(
    line: socket.socket, head: bytes, source: t.Iterator[bytes], output: t.Callable[[bytes], object] | None,
    *, most_bytes: int,
) -> tuple[_Answer, bool]:  # fmt: skip
    """Send and hear at once, so that neither side waits for the other; also whether all input was sent.

    Raises AnsibleError for an answer of more than `most_bytes`.
    """
    stdout, stderr, buffer = bytearray(), bytearray(), bytearray()
    heard_bytes = 0
    sending = memoryview(head)
    is_sent = False
    poll = select.poll()
    while True:
        poll.register(line, select.POLLIN if is_sent else select.POLLIN | select.POLLOUT)
        events = poll.poll()
        happened = events[0][1] if events else 0
        if happened & select.POLLOUT and not is_sent:
            with contextlib.suppress(BlockingIOError):
                sending = sending[line.send(sending) :]
            if not sending:
                following = next(source, None)
                is_sent = following is None
                sending = memoryview(following or b"")
        if happened & (select.POLLIN | select.POLLHUP | select.POLLERR):
            try:
                data = line.recv(_PIECE_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionResetError("it ended, or refused this connection; its log says why")
            buffer += data
            for kind, piece in _whole(buffer):
                heard_bytes += len(piece)
                if heard_bytes > most_bytes:
                    raise AnsibleError(f"annexfleet: the device sends more than {most_bytes} bytes")
                if kind == b"O":
                    (output or stdout.extend)(piece)
                elif kind == b"E":
                    stderr += piece
                elif kind == b"Z":
                    return _Answer(bytes(stdout), bytes(stderr), json.loads(piece)), is_sent


def _whole(buffer: bytearray) -> t.Iterator[tuple[bytes, bytes]]:
    """The messages that are whole; they are taken out of the buffer."""
    while len(buffer) >= _HEAD.size:
        kind, _, length = _HEAD.unpack_from(buffer)
        end = _HEAD.size + length
        if len(buffer) < end:
            return
        piece = bytes(buffer[_HEAD.size : end])
        del buffer[:end]
        yield kind, piece


def _piece(kind: bytes, data: bytes, *, last: bool = True) -> bytes:
    return _HEAD.pack(kind, b"\1" if last else b"\0", len(data)) + data


def _framed(source: t.Iterator[bytes]) -> t.Iterator[bytes]:
    """Input as it is sent; the last piece is empty and flagged."""
    for data in source:
        yield _piece(b"I", data, last=False)
    yield _piece(b"I", b"")


def _pieces(data: bytes) -> t.Iterator[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


def _file_pieces(file: t.BinaryIO, size_bytes: int) -> t.Iterator[bytes]:
    """As much as was announced: a file that grows meanwhile is not sent longer."""
    while size_bytes and (data := file.read(min(size_bytes, _PIECE_BYTES))):
        size_bytes -= len(data)
        yield data


def _digest(file: t.BinaryIO) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    while data := file.read(_PIECE_BYTES):
        digest.update(data)
        size_bytes += len(data)
    return digest.hexdigest(), size_bytes


def _argv(command: str) -> list[str]:
    """Ansible hands over a line for a shell, usually `/bin/sh -c '…'`: then that is what is executed."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if len(words) == 3 and words[0].startswith("/") and words[1] == "-c":
        return words
    return ["/bin/sh", "-c", command]


def _connect_to(line: socket.socket, place: Path) -> None:
    """A path that is too long for a socket's address is reached through its open directory."""
    if len(os.fsencode(place)) <= _LONGEST_PATH_BYTES:
        line.connect(str(place))
        return
    directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        line.connect(f"/proc/self/fd/{directory}/{place.name}")
    finally:
        os.close(directory)


def _no_relay(place: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return (
            f"annexfleet: the relay's socket {place} may not be used by this user: "
            "run ansible as the user who runs `annexfleet serve`, or as root"
        )
    return (
        f"annexfleet: no relay listens at {place} ({error.strerror}): is `annexfleet serve` running, "
        "and is ANNEXFLEET_HOME (or ANNEXFLEET_RELAY) that of the controller?"
    )
