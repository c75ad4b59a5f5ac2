"""What a device has around it, all of it real: a broker, the controller's ingest, printers, a portal, a queue system.

`device_at_work` gives an agent's whole configuration with everything switched on.  What is measured is the agent's
process alone; the rest may run in this one.
"""

import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Engine
from tests.agent import printing
from tests.flow.broker import Broker, IssuedDevice

from annexfleet_agent import identity
from annexfleet_controller.clock import SYSTEM, Clock
from annexfleet_controller.ingest.subscriber import Subscriber
from annexfleet_controller.store import migrate
from annexfleet_controller.store.database import open_database, writing
from annexfleet_controller.store.tables.devices import Device
from annexfleet_controller.store.tables.places import Annex

PRINTERS = 2
"""Each with a local queue, and asked by itself."""


def eventually(question: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until this is so; an AssertionError if it never is."""
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline, f"never true within {within_s:g} s"
        time.sleep(0.05)


# -- the controller's side


@contextmanager
def ingesting(broker: Broker, clock: Clock = SYSTEM) -> Iterator[Engine]:
    """The real ingest on the broker's local socket, with a database of its own, in a thread."""
    engine = open_database(broker.home.database_url)
    migrate.upgrade(engine)
    password = broker.home.path / "secrets" / "controller.password"
    subscriber = Subscriber(engine, broker.home.broker_socket, password, clock=clock)
    stop = threading.Event()
    thread = threading.Thread(target=subscriber.run, args=(stop,))
    thread.start()
    try:
        yield engine
    finally:
        stop.set()
        thread.join()
        engine.dispose()


def register(engine: Engine, device: IssuedDevice) -> None:
    """Let the controller know the device."""
    now = datetime.now(UTC)
    with writing(engine) as db:
        db.add(Annex(id="bench", name_fr="Annexe", name_ar="الملحقة", created_at=now))
        db.flush()
        db.add(Device(id=device.device_id, annex_id="bench", name="bench", role="counter", enrolled_at=now))


def write_identity(directory: Path, broker: Broker, device: IssuedDevice) -> None:
    """What enrolment would have left in the device's state directory."""
    place = directory / identity.SLOTS[0]
    place.mkdir(parents=True)
    for file in (device.key, device.certificate, device.authority):
        (place / file.name).write_bytes(file.read_bytes())
    expires_at = time.time() + 45 * 86_400
    record = identity.Record(
        device_id=device.device_id,
        broker_host=broker.host,
        broker_port=broker.port,
        enrol_url=f"https://{broker.host}:1",
        slot=identity.SLOTS[0],
        expires_at=expires_at,
        renew_at=expires_at - 15 * 86_400,
    )
    identity.path(directory).write_bytes(msgspec.json.encode(record))


# -- what the device looks at


class _Quiet(BaseHTTPRequestHandler):
    body: Callable[[], bytes]

    def do_GET(self) -> None:
        body = type(self).body()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def _web(body: Callable[[], bytes], context: ssl.SSLContext | None = None) -> Iterator[int]:
    handler = type("Handler", (_Quiet,), {"body": staticmethod(body)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(directory: Path) -> Path:
    """A portal's certificate and key of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "portal.pem"
    pem.write_bytes(
        certificate.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return pem


class Surroundings(NamedTuple):
    """Where the device finds what it looks at."""

    portal_port: int
    queue_port: int
    printing: printing.Place
    authorities: Path
    """A directory of the system's authorities and the portal's, each named by its hash."""

    @property
    def environment(self) -> dict[str, str]:
        """For the agent: it shall trust the portal beside what the system trusts."""
        kept = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
        return {**kept, "SSL_CERT_DIR": str(self.authorities)}


@contextmanager
def surroundings(directory: Path, waiting: Callable[[], int] = lambda: 3) -> Iterator[Surroundings]:
    """A portal over TLS, a queue system with JSON, a print server with real printers."""
    pem = _certificate(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trusted = directory / "authorities"
    trusted.mkdir()
    for authority in Path("/etc/ssl/certs").glob("*.0"):
        (trusted / authority.name).symlink_to(authority)
    hash_ = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", pem], check=True, capture_output=True, text=True
    )
    (trusted / f"{hash_.stdout.strip()}.0").symlink_to(pem)

    def figures() -> bytes:
        rows = [
            {"service": "acts", "waiting": waiting(), "served_last_hour": 12, "counters_open": 2, "counters_total": 3},
            {"service": "legal", "waiting": 0, "served_last_hour": 4, "counters_open": 1, "counters_total": 1},
        ]
        return json.dumps({"queues": rows}).encode()

    with ExitStack() as stack:
        portal_port = stack.enter_context(_web(lambda: b"<html>Guichet</html>" * 50, context))
        queue_port = stack.enter_context(_web(figures))
        place = stack.enter_context(printing.place())
        for number in range(PRINTERS):
            printer = place.printer(f"hall-{number}")
            place.queue(printer.name, printer.uri)
        yield Surroundings(portal_port, queue_port, place, trusted)


def configuration(directory: Path, around: Surroundings, *, push_port: int, period_s: float = 30.0) -> Path:
    """agent.toml with everything switched on; `period_s` is the sampling period, all else is as it comes."""
    path = directory / "agent.toml"
    path.write_text(f"""
[agent]
state_dir = "{directory}"
sample_period_s = {period_s}

[collectors]
processes = ["mosquitto", "cupsd"]

[printing]
cups = "{around.printing.socket}"

[push]
port = {push_port}

[[portal]]
name = "guichet"
url = "https://localhost:{around.portal_port}/"
expect_text = "Guichet"

[[queue]]
source = "http"
url = "http://127.0.0.1:{around.queue_port}/"
rows = "queues"

[[queue]]
service = "desk"
source = "push"
max_age_s = 86400
""")
    return path


# -- what a process costs


class Memory(NamedTuple):
    """MiB, of one process."""

    rss: float
    pss: float
    anonymous: float


def memory(pid: int) -> Memory:
    """As the kernel counts it: what is resident, the same with shared pages divided among their users, and its own."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            found[name] = int(rest.split()[0]) / 1024
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon"))
    return Memory(found["Rss"], found["Pss"], anonymous)


def peak_rss(pid: int) -> float:
    """MiB, the most that was ever resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def cpu_ms(pid: int) -> float:
    """Processor time of all threads so far, ended ones included, and of ended children; in milliseconds."""
    own = time.clock_gettime_ns((~pid << 3) | 2) / 1e6  # the kernel's own process clock (man 3 clock_getcpuclockid)
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = (int(after_name[13]) + int(after_name[14])) * 1000 / os.sysconf("SC_CLK_TCK")
    return own + children
