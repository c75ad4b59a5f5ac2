"""A relay in this process on a real broker, with a real signer's judgement, and a plugin's side to speak with it."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, select
from tests.controller.fleet import add_annex
from tests.databases import opened, put_database
from tests.flow.agents import running_agent, write_state
from tests.flow.broker import Broker
from tests.flow.runners import FakeRunner, Work, echo

from annexfleet_agent.protocol.metrics import COLLECTORS
from annexfleet_agent.protocol.sealing import SessionKeys
from annexfleet_agent.runner import keys
from annexfleet_controller.identity import signer, signer_service, signing
from annexfleet_controller.identity.granting import Refused
from annexfleet_controller.ingest import subscriber
from annexfleet_controller.rollouts.relay import framing, serving, words
from annexfleet_controller.rollouts.relay.opening import Leave, NotSigned
from annexfleet_controller.store import states
from annexfleet_controller.store.database import reading, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.readings import DeviceState
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


class RealDevice(NamedTuple):
    """The real agent's files, and its process."""

    device_id: str
    directory: Path
    settings: Path

    @contextmanager
    def running(self) -> Iterator[None]:
        with running_agent(self.settings) as process:
            yield
            # So that it ends its runner, which is a child of its own.
            process.terminate()
            process.wait(DEADLINE_S)


class Bed:
    """Broker, database, devices, and a relay for a run or for the console."""

    def __init__(self, broker: Broker, engine: Engine) -> None:
        self.broker = broker
        self.home = broker.home
        self.engine = engine
        signing.ensure(self.home)
        self._signer = signer.Signer(self.home, engine)
        self.runners: list[FakeRunner] = []
        self.real_devices: list[RealDevice] = []
        self._agents = ExitStack()
        self._ingest: threading.Thread | None = None
        self._stop_ingest = threading.Event()
        self.stop = threading.Event()
        self.relay: threading.Thread | None = None
        self.path = Path()
        self._plugins: list[Plugin] = []

    def device(self, *, does: Callable[[Work], None] = echo, is_connected: bool = True) -> FakeRunner:
        """A device with its runner, known and connected."""
        runner = FakeRunner(self.broker, self.broker.issue_device(), does=does)
        self.runners.append(runner)
        self._add(runner.device_id, runner.public_key)
        self.set_connected(runner, is_connected)
        return runner

    def real_device(self, settings: str = "") -> "RealDevice":
        """A device with the real agent, in a process of its own, and the real runner, which acts on this machine."""
        self.start_ingest()
        issued = self.broker.issue_device()
        directory = self.home.path / f"device-{len(self.real_devices)}"
        # What it measures does not matter here, and apt alone would keep it from connecting for half a minute.
        quiet = f"[collectors]\ndisabled = {json.dumps(sorted(COLLECTORS))}\n"
        file = write_state(directory, self.broker, issued, quiet + settings)
        public = keys.ensure(directory / "runner")
        root = issued.authority.read_text()
        keys.remember(directory / "runner", device_id=issued.device_id, root=root, signed=None)
        self._add(issued.device_id, public)
        device = RealDevice(issued.device_id, directory, file)
        self._agents.enter_context(device.running())
        self.real_devices.append(device)
        self.wait_until(lambda: self.is_connected(device), "the agent is connected", within_s=60)
        return device

    def _add(self, device_id: str, exchange_key: bytes) -> None:
        with writing(self.engine) as db:
            db.add(
                Device(
                    id=device_id, annex_id="berkane-1", name="a", role="counter", enrolled_at=datetime.now(UTC),
                    exchange_key=exchange_key,
                )
            )  # fmt: skip

    def set_connected(self, device: "FakeRunner | RealDevice", is_connected: bool) -> None:
        with writing(self.engine) as db:
            known = states.lock(db, [device.device_id])
            states.write_connections(db, [one._replace(connected=is_connected) for one in known.values()])

    def start_ingest(self) -> None:
        """The real one, which tells from hellos and goodbyes who is there."""
        if self._ingest is None:
            password = self.home.path / "secrets" / "controller.password"
            ear = subscriber.Subscriber(self.engine, self.home.broker_socket, password)
            self._ingest = threading.Thread(target=ear.run, args=(self._stop_ingest,), daemon=True)
            self._ingest.start()
            self.wait_until(lambda: ear._listening, "ingest listens")

    def stop_agents(self) -> None:
        """An orderly end of all real agents."""
        self._agents.close()

    def is_connected(self, device: "FakeRunner | RealDevice") -> bool:
        with reading(self.engine) as db:
            of = select(DeviceState.connected).join(Device, Device.number == DeviceState.device_number)
            return bool(db.scalar(of.where(Device.id == device.device_id)))

    def start_run(self, *runners: "FakeRunner | RealDevice") -> int:
        """A run that is running with these devices, and its relay."""
        run_id = self.add_run(*runners)
        self.start_relay(run_id)
        return run_id

    def add_run(self, *runners: "FakeRunner | RealDevice") -> int:
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
            return run.id

    @contextmanager
    def signer_process(self) -> Iterator[None]:
        """The real signer on its socket, in a thread."""
        stop = threading.Event()
        thread = threading.Thread(target=signer_service.run, args=(self.home, stop), daemon=True)
        thread.start()
        try:
            self.wait_until(signer.socket_path(self.home).exists, "the signer listens")
            yield
        finally:
            stop.set()
            thread.join(DEADLINE_S)

    @contextmanager
    def relay_process(self, *runners: FakeRunner, run_id: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
        """`annexfleet relay --run ID` as `play` starts it."""
        run_id = run_id or self.add_run(*runners)
        self.path = serving.run_socket(self.home, run_id)
        argv = [
            sys.executable,
            "-m",
            "annexfleet_controller",
            "--home",
            str(self.home.path),
            "relay",
            "--run",
            str(run_id),
        ]
        with (self.home.path / "relay.log").open("ab") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            self.wait_until(lambda: process.poll() is not None or self._answers(), "the relay listens")
            assert process.poll() is None, (self.home.path / "relay.log").read_text()
            yield process
        finally:
            process.kill()
            process.wait()

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

    def wait_until(self, happened: Callable[[], object], what: str, *, within_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            assert time.monotonic() < deadline, f"this did not happen: {what}"
            time.sleep(0.01)  # real threads are waited for

    def close(self) -> None:
        for plugin in self._plugins:
            plugin.close()
        self.stop_relay()
        for runner in self.runners:
            runner.close()
        self._agents.close()
        if self._ingest is not None:
            self._stop_ingest.set()
            self._ingest.join(DEADLINE_S)

    def _listens(self) -> bool:
        assert self.relay is not None
        assert self.relay.is_alive(), "the relay ended"
        return self._answers()

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.path))
        except OSError:
            return False
        return True

    def _numbers(self, db: Any, runners: "tuple[FakeRunner | RealDevice, ...]") -> list[int]:
        from annexfleet_controller.store import devices

        found = [devices.find(db, runner.device_id) for runner in runners]
        return [device.number for device in found if device is not None]


@contextmanager
def relay_bed(broker: Broker) -> Iterator[Bed]:
    """Everything but the relay and its devices; all of it ends with the block."""
    put_database(broker.home.path / "controller.db")
    engine = opened(broker.home.database_url)
    add_annex(engine)
    bed = Bed(broker, engine)
    try:
        yield bed
    finally:
        bed.close()
        engine.dispose()
