"""A relay in this process on a real broker, with a real signer's judgement, and a plugin's side to speak with it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine
from tests.controller.fleet import add_annex
from tests.flow.broker import Broker
from tests.flow.runners import FakeRunner, Work, echo

from annexfleet_agent.protocol.sealing import SessionKeys
from annexfleet_controller.identity import signer, signing
from annexfleet_controller.identity.granting import Refused
from annexfleet_controller.rollouts.relay import framing, serving, words
from annexfleet_controller.rollouts.relay.opening import Leave, NotSigned
from annexfleet_controller.store import migrate, states
from annexfleet_controller.store.database import open_database, writing
from annexfleet_controller.store.tables.base import Base
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.runs import RunHostRow, RunRow

DEADLINE_S = 20.0


class Answer(NamedTuple):
    verdict: dict[str, Any]
    stdout: bytes
    stderr: bytes


class Plugin:
    """The plugin's end of a connection, which says what tests want."""

    def __init__(self, path: Path) -> None:
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(DEADLINE_S)
        self.line.connect(str(path))

    def ask(self, host: str, request: dict[str, Any], call: dict[str, Any] | None = None) -> None:
        asked = {"host": host, "request": request, "call": call}
        self.line.sendall(framing.piece(b"R", json.dumps(asked).encode()))

    def feed(self, data: bytes, *, last: bool = True) -> None:
        self.line.sendall(framing.piece(b"I", data, last=last))

    def answer(self, heard: Callable[[bytes], object] | None = None) -> Answer:
        """Everything up to the verdict; output goes to `heard` if there is one."""
        stdout, stderr = bytearray(), bytearray()
        while True:
            kind, _, length = framing.HEAD.unpack(self._exactly(framing.HEAD.size))
            data = self._exactly(length)
            if kind == b"O":
                (heard or stdout.extend)(data)
            elif kind == b"E":
                stderr += data
            else:
                return Answer(json.loads(data), bytes(stdout), bytes(stderr))

    def run(self, host: str, *argv: str, input_: bytes = b"") -> Answer:
        self.ask(host, {"op": "exec", "argv": list(argv)})
        self.feed(input_)
        return self.answer()

    def close(self) -> None:
        self.line.close()

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = self.line.recv(length - len(data))
            assert piece, "the relay closed the connection"
            data += piece
        return bytes(data)


class Bed:
    """Broker, database, devices, and a relay for a run or for the console."""

    def __init__(self, broker: Broker, engine: Engine) -> None:
        self.broker = broker
        self.home = broker.home
        self.engine = engine
        signing.ensure(self.home)
        self._signer = signer.Signer(self.home, engine)
        self.runners: list[FakeRunner] = []
        self.stop = threading.Event()
        self.relay: threading.Thread | None = None
        self.path = Path()
        self._plugins: list[Plugin] = []

    def device(self, *, does: Callable[[Work], None] = echo, is_connected: bool = True) -> FakeRunner:
        """A device with its runner, known and connected."""
        runner = FakeRunner(self.broker, self.broker.issue_device(), does=does)
        self.runners.append(runner)
        now = datetime.now(UTC)
        with writing(self.engine) as db:
            db.add(
                Device(
                    id=runner.device_id, annex_id="berkane-1", name="a", role="counter", enrolled_at=now,
                    exchange_key=runner.public_key,
                )
            )  # fmt: skip
        self.set_connected(runner, is_connected)
        return runner

    def set_connected(self, runner: FakeRunner, is_connected: bool) -> None:
        with writing(self.engine) as db:
            known = states.lock(db, [runner.device_id])
            states.write_connections(db, [one._replace(connected=is_connected) for one in known.values()])

    def start_run(self, *runners: FakeRunner) -> int:
        """A run that is running with these devices, and its relay."""
        now = datetime.now(UTC)
        with writing(self.engine) as db:
            run = RunRow(
                kind="playbook", playbook="files", forks=5, timeout_s=3600.0, author="amina", created_at=now,
                started_at=now, state="running",
            )  # fmt: skip
            db.add(run)
            db.flush()
            for number in self._numbers(db, runners):
                db.add(RunHostRow(run_id=run.id, device_number=number, annex_id="berkane-1", state="running"))
            run_id = run.id
        self.start_relay(run_id)
        return run_id

    def start_relay(self, run_id: int | None) -> None:
        self.path = serving.console_socket(self.home) if run_id is None else serving.run_socket(self.home, run_id)
        self.stop = threading.Event()
        self.relay = threading.Thread(
            target=serving.run, args=(self.home, self.stop), kwargs={"run_id": run_id, "sign": self.sign}, daemon=True
        )
        self.relay.start()
        self.wait_until(self._listens, "the relay listens")

    def plugin(self) -> Plugin:
        plugin = Plugin(self.path)
        self._plugins.append(plugin)
        return plugin

    def sign(self, request: signer.Request) -> Leave | NotSigned:
        try:
            answer = self._signer.judge(request)
        except Refused as error:
            return NotSigned(words.not_signed(error.reason, error.detail), error.reason)
        return Leave(answer.delivery, SessionKeys(answer.down, answer.up))

    def figures(self) -> dict[str, Any]:
        """What the relay wrote at its end."""
        found: dict[str, Any] = json.loads((self.path.parent / "relay.json").read_bytes())
        return found

    def stop_relay(self) -> None:
        self.stop.set()
        if self.relay is not None:
            self.relay.join(DEADLINE_S)
            assert not self.relay.is_alive(), "the relay does not end"
            self.relay = None

    def wait_until(self, happened: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline, f"this did not happen: {what}"
            time.sleep(0.01)  # real threads are waited for

    def close(self) -> None:
        for plugin in self._plugins:
            plugin.close()
        self.stop_relay()
        for runner in self.runners:
            runner.close()

    def _listens(self) -> bool:
        assert self.relay is not None
        assert self.relay.is_alive(), "the relay ended"
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.path))
        except OSError:
            return False
        return True

    def _numbers(self, db: Any, runners: tuple[FakeRunner, ...]) -> list[int]:
        from annexfleet_controller.store import devices

        found = [devices.find(db, runner.device_id) for runner in runners]
        return [device.number for device in found if device is not None]


@contextmanager
def relay_bed(broker: Broker) -> Iterator[Bed]:
    """Everything but the relay and its devices; all of it ends with the block."""
    engine = open_database(broker.home.database_url)
    migrate.upgrade(engine)
    Base.metadata.create_all(engine)
    add_annex(engine)
    bed = Bed(broker, engine)
    try:
        yield bed
    finally:
        bed.close()
        engine.dispose()
