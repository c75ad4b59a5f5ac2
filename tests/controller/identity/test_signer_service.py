"""The signer as the process that it is: its socket, many at once, bad input, kill -9."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine
from tests.controller.identity.signable import NOW, asks, fill, home_with_keys, opened

from annexfleet_controller.identity import authority, signer, signer_service, signing
from annexfleet_controller.identity.granting import Refused
from annexfleet_controller.identity.signer import Reply, SignerAway
from annexfleet_controller.identity.unix_streams import address
from annexfleet_controller.settings import Home

DEADLINE_S = 30.0


def wait_for(home: Home, lives: Callable[[], bool]) -> None:
    """Until the signer answers."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            signer.status(home)
        except SignerAway:
            assert lives()
            assert time.monotonic() < deadline
            time.sleep(0.02)  # a real process is waited for
        else:
            return


class Process:
    """`annexfleet signer`."""

    def __init__(self, home: Home) -> None:
        self.home = home
        (home.path / "controller.toml").write_text(f'database_url = "{home.settings.database_url}"\n')
        self.start()

    def start(self) -> None:
        self.log = self.home.path / "signer.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "annexfleet_controller", "--home", str(self.home.path), "signer"],
                stdout=log, stderr=log,
                env={key: value for key, value in os.environ.items() if not key.startswith("ANNEXFLEET_")},
            )  # fmt: skip
        wait_for(self.home, lambda: self.process.poll() is None)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> Home:
    fill(engine)
    return home_with_keys(tmp_path, engine)


@pytest.fixture
def process(home: Home) -> Iterator[Process]:
    made = Process(home)
    yield made
    if made.process.poll() is None:
        made.kill()


def test_it_signs_for_who_asks_and_numbers_rise_after_it_was_killed(process: Process):
    home, root = process.home, authority.load(process.home).root_pem.decode()
    numbers = [signer.ask(home, asks()).sequence for _ in range(3)]

    process.kill()
    with pytest.raises(SignerAway, match="annexfleet serve"):
        signer.ask(home, asks())
    process.start()
    answer = signer.ask(home, asks())

    opened(answer, root)
    assert [*numbers, answer.sequence] == sorted({*numbers, answer.sequence})
    with pytest.raises(Refused) as refused:
        signer.ask(home, asks(id="7"))
    assert refused.value.reason == "run_unknown"


def test_it_takes_up_new_keys_and_stops_when_told(process: Process):
    home = process.home
    rotated = signing.rotate(home, NOW)

    assert signer.status(home) == signer.Status(keys_version=rotated.keys.version, key_id=rotated.key_id)
    assert process.stop() == 0
    assert not signer.socket_path(home).exists()


def test_only_one_may_have_the_numbers(process: Process):
    second = subprocess.run(
        [sys.executable, "-m", "annexfleet_controller", "--home", str(process.home.path), "signer"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip

    assert second.returncode == 4
    assert "already running" in second.stderr


# -- within this process


@pytest.fixture
def served(tmp_path: Path, sqlite_engine: Engine) -> Iterator[Home]:
    """A signer in a thread, in a home whose path is longer than a socket's may be."""
    fill(sqlite_engine)
    home = home_with_keys(tmp_path / ("long" * 30), sqlite_engine)
    stop = threading.Event()
    thread = threading.Thread(target=signer_service.run, args=(home, stop))
    thread.start()
    wait_for(home, thread.is_alive)
    yield home
    stop.set()
    thread.join(DEADLINE_S)


def said(home: Home, content: bytes, *, ends: bool = True) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, address(signer.socket_path(home)) as where:
        line.settimeout(DEADLINE_S)
        line.connect(where)
        try:
            line.sendall(content)
            if ends:
                line.shutdown(socket.SHUT_WR)
            return line.recv(100_000)
        except (ConnectionResetError, BrokenPipeError):
            return b""


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[" * 4000, b"\xff\xfe", b'{"what": "exec"}', msgspec.json.encode({"what": "run", "id": 1})],
)
def test_what_is_no_request_is_refused_and_the_next_is_served(served: Home, content: bytes):
    reply = msgspec.json.decode(said(served, content), type=Reply)

    assert (reply.refused, reply.answer) == ("malformed", None)
    assert signer.ask(served, asks()).sequence


def test_too_much_is_not_heard_to_the_end(served: Home):
    assert said(served, b"x" * 1_000_000) == b""
    assert signer.ask(served, asks()).sequence


def test_who_says_nothing_keeps_nobody_waiting(served: Home):
    with ExitStack() as silent:
        for _ in range(20):
            line = silent.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with address(signer.socket_path(served)) as where:
                line.connect(where)

        assert signer.ask(served, asks()).sequence


def test_many_ask_at_once(served: Home):
    numbers: list[int] = []

    def ask() -> None:
        numbers.extend(signer.ask(served, asks(session=f"{index:016x}")).sequence for index in range(5))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(numbers)) == 200


def test_the_socket_is_the_owners_alone(served: Home):
    assert signer.socket_path(served).stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a moment")
def test_another_user_is_not_heard_even_if_the_files_let_them(served: Home, tmp_path: Path):
    for place in (*signer.socket_path(served).parents, signer.socket_path(served)):
        if place.is_relative_to(tmp_path.parent.parent):
            place.chmod(0o777)
    asking = (
        "import socket, os\n"
        "line = socket.socket(socket.AF_UNIX)\n"
        f"fd = os.open({str(served.signer_dir)!r}, os.O_RDONLY)\n"
        "os.setuid(65534)\n"
        "line.connect(f'/proc/self/fd/{fd}/signer.sock')\n"
        "line.sendall(b'status')\nline.shutdown(1)\nprint(line.recv(1000))\n"
    )

    done = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout == "b''\n" or "ConnectionResetError" in done.stderr or "BrokenPipeError" in done.stderr
