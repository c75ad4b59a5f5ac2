"""What a device costs on the line in a day, counted on the wire: IP, TCP and TLS, pings and acknowledgements included.

    pytest -s -m bench tests/bench/test_wire_bytes.py        (as root: it makes a network namespace)

The broker runs in a network namespace of its own, so the line to it carries nothing else, and the kernel counts its
bytes at the interface.  Agent and ingest are the product's own; their clocks run ANNEXFLEET_BENCH_FACTOR times as fast
(default 144: a day takes ten minutes), the machine's load is the real one, and its swings are part of what is counted.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from paho.mqtt.client import MQTTMessage
from tests.bench.fast_agent import FastClock
from tests.bench.surroundings import configuration, eventually, ingesting, register, surroundings, write_identity
from tests.flow.broker import Broker, broker_home, free_port

from annexfleet_agent.protocol import messages, topics, wire

FACTOR = float(os.environ.get("ANNEXFLEET_BENCH_FACTOR", "144"))
HOURS = float(os.environ.get("ANNEXFLEET_BENCH_HOURS", "24"))
MOST_KIB_A_DAY = 300.0
SETTLED_S = 1800.0
"""By then the first changes, the inventory and the first acknowledgements are through."""
_ETHERNET_HEAD = 14

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="a network namespace needs root on Linux"),
]


class Line(NamedTuple):
    """A pair of virtual network interfaces: this side, and one in a namespace."""

    namespace: str
    interface: str
    far_address: str

    def counted(self) -> "Traffic":
        place = Path(f"/sys/class/net/{self.interface}/statistics")
        up, down, up_packets, down_packets = (
            int((place / name).read_text()) for name in ("tx_bytes", "rx_bytes", "tx_packets", "rx_packets")
        )
        return Traffic(up - _ETHERNET_HEAD * up_packets, down - _ETHERNET_HEAD * down_packets, up_packets, down_packets)


class Traffic(NamedTuple):
    """IP bytes and packets; up is from the device."""

    up: int
    down: int
    up_packets: int
    down_packets: int

    def since(self, earlier: "Traffic") -> "Traffic":
        return Traffic(*(now - then for now, then in zip(self, earlier, strict=True)))

    @property
    def kib(self) -> float:
        return (self.up + self.down) / 1024


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def a_line() -> Iterator[Line]:
    """A line that carries only what the test sends over it."""
    name = f"af{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("link", "add", name, "type", "veth", "peer", "name", "line", "netns", name)
        for inside in ((), ("-n", name)):
            interface = "line" if inside else name
            # Every packet is counted as it would travel: no segments joined on the way.
            ip(*inside, "link", "set", interface, "gso_max_segs", "1", "addrgenmode", "none")
            ip(*inside, "address", "add", f"198.51.100.{2 if inside else 1}/30", "dev", interface)
            ip(*inside, "link", "set", interface, "up")
        yield Line(name, name, "198.51.100.2")
    finally:
        ip("netns", "delete", name)


class FarBroker(Broker):
    """mosquitto at the far end of a line; the controller still reaches it by its socket in the file system."""

    def __init__(self, home: object, line: Line) -> None:
        super().__init__(home)  # type: ignore[arg-type]
        self.line = line
        self.host = line.far_address

    def start(self) -> None:
        from annexfleet_controller.identity import broker as brokers

        configuration_ = brokers.write(self.home, bind=self.host)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", self.line.namespace, "mosquitto", "-c", configuration_], stdout=log, stderr=log
            )
        eventually(self.home.broker_socket.is_socket)


class FastControllerClock:
    """The controller's clock, quicker."""

    def __init__(self, clock: FastClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def mono(self) -> float:
        return self._clock.mono()


class Heard:
    """Counts messages and payload bytes at the broker, beside the ingest."""

    def __init__(self, broker: Broker) -> None:
        self.count: Counter[str] = Counter()
        self.size: Counter[str] = Counter()
        self.because: Counter[str] = Counter()
        self._client = broker.controller_client("counting")
        self._client.on_connect = lambda client, *_: client.subscribe("af/v1/#", 0)
        self._client.on_message = self._take
        broker.connect_controller(self._client)
        self._client.loop_start()

    def _take(self, _client: object, _data: object, message: MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        self.count[kind] += 1
        self.size[kind] += len(message.payload)
        sender = topics.sender(message.topic)
        if sender is not None and sender.kind == "change":
            change = wire.decode_up("change", message.payload)
            assert isinstance(change, messages.Change)
            self.because[f"{change.collector} ({', '.join(sorted(change.because)[:3]) or 'whole'})"] += 1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def snapshot(self) -> tuple[Counter[str], Counter[str], Counter[str]]:
        return self.count.copy(), self.size.copy(), self.because.copy()


def test_a_quiet_device_day_is_small_on_the_wire(tmp_path: Path):
    with ExitStack() as stack:
        line = stack.enter_context(a_line())
        home = stack.enter_context(broker_home(broker_host=line.far_address))
        broker = FarBroker(home, line)
        broker.start()
        stack.callback(broker.stop)
        origin = time.time()
        clock = FastClock(FACTOR, origin)
        engine = stack.enter_context(ingesting(broker, FastControllerClock(clock)))  # type: ignore[arg-type]
        heard = Heard(broker)
        stack.callback(heard.close)
        around = stack.enter_context(surroundings(tmp_path))
        device = broker.issue_device()
        register(engine, device)
        write_identity(tmp_path / "identity", broker, device)
        config = configuration(tmp_path, around, push_port=free_port())
        start = line.counted()
        log = stack.enter_context((tmp_path / "agent.log").open("wb"))
        agent = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.fast_agent", config, str(FACTOR), str(origin)],
            stdout=log, stderr=log, env=around.environment,
        )  # fmt: skip
        stack.callback(agent.wait)
        stack.callback(agent.terminate)
        eventually(lambda: heard.count["beat"], within_s=120)

        wait_until(clock, clock.now() + SETTLED_S, agent)
        arrived = line.counted().since(start)
        before, began, at_first = heard.snapshot(), clock.now(), line.counted()
        wait_until(clock, began + HOURS * 3600, agent)
        seconds = clock.now() - began
        day = line.counted().since(at_first)
        report(day, seconds, heard, before, arrived)
        assert agent.poll() is None, (tmp_path / "agent.log").read_text()[-2000:]
    kib_a_day = day.kib * 86_400 / seconds
    assert heard.count["beat"] - before[0]["beat"] >= 0.9 * seconds / 300
    assert kib_a_day <= MOST_KIB_A_DAY


def wait_until(clock: FastClock, moment: float, agent: subprocess.Popen[bytes]) -> None:
    while (left := moment - clock.now()) > 0 and agent.poll() is None:
        time.sleep(min(0.5, left / FACTOR))


def report(
    day: Traffic,
    seconds: float,
    heard: Heard,
    before: tuple[Counter[str], Counter[str], Counter[str]],
    arrived: Traffic,
) -> None:
    hours = seconds / 3600
    print(f"\nconnecting, first state and inventory, half an hour: {arrived.kib:.1f} KiB in IP")
    print(f"then {hours:.1f} hours at {FACTOR:g} times the speed of life, in IP bytes at the interface:")
    print(f"  up   {day.up:8d} bytes in {day.up_packets:5d} packets")
    print(f"  down {day.down:8d} bytes in {day.down_packets:5d} packets")
    for kind in sorted(heard.count):
        number = heard.count[kind] - before[0][kind]
        if number:
            size = heard.size[kind] - before[1][kind]
            print(f"  {kind:<9} {number:5d} messages, {size / number:6.0f} bytes of payload each")
    changed = heard.because - before[2]
    for why, number in changed.most_common(12):
        print(f"    {number:4d} changes of {why}")
    print(f"a device-day: {day.kib * 86_400 / seconds:.0f} KiB (bar {MOST_KIB_A_DAY:.0f})")
