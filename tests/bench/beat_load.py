"""A process that publishes beats of many devices as fast as the controller commits them.

    python -m tests.bench.beat_load FILE          (a `Plan` as JSON)

Frames are made before the clock starts and go out at QoS 1 over plain connections, so that the load takes little of the
processors that broker and ingest are measured on.  Like a real device, each keeps an item until the controller's own
acknowledgement covers it, and has only so many on their way; unlike one, it never has to send again.
"""

import random
import selectors
import socket
import sys
import time
from pathlib import Path

import msgspec
from tests.flow.load import _frame, _take_frame, _text

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import Ack, Beat, Hello, Numbers, Summary

WINDOW = 12
METRICS = 30
"""In each beat: 24 that moved, with last, min, mean and max, and six that stood still."""


class Plan(msgspec.Struct):
    """What to do."""

    port: int
    password: str
    devices: list[str]
    beats: int
    """of each device"""
    begun: str
    """A file that is made when everything is prepared and the first beat is about to go."""
    go: str
    """A file for which it waits then."""


def numbers(chance: random.Random) -> Numbers:
    """What a counter computer reports in five minutes."""
    found: Numbers = {"": {}}

    def moved(subject: str, metric: str, usual: float, digits: int = 3) -> None:
        low, mean, high = sorted(chance.gauss(usual, usual / 8) for _ in range(3))
        parts = (float(f"{abs(value):.{digits}g}") for value in (mean, low, mean, high))
        found.setdefault(subject, {})[metric] = Summary(*parts)

    for metric, usual in (
        ("cpu_used_ratio", 0.2), ("load_per_cpu_ratio", 0.4), ("memory_used_ratio", 0.5), ("temperature_celsius", 55),
        ("agent_cpu_ratio", 0.002), ("agent_memory_bytes", 2.6e7), ("outbox_used_ratio", 0.001),
        ("outbox_oldest_age_seconds", 200),
    ):  # fmt: skip
        moved("", metric, usual)
    for disk in ("disk:/", "disk:/home"):
        moved(disk, "disk_used_ratio", 0.4)
        moved(disk, "disk_free_bytes", 1.2e11)
    moved("net:eth0", "network_received_bytes_per_second", 30_000)
    moved("net:eth0", "network_sent_bytes_per_second", 9_000)
    for name in ("etat-civil", "watiqa"):
        for stage, usual in (("total", 0.4), ("dns", 0.01), ("tcp", 0.04), ("tls", 0.09), ("http", 0.3)):
            moved(f"portal:{name}", f"portal_{stage}_seconds", usual, 2)
    still = {"": {"swap_used_ratio": 0.0, "battery_charge_ratio": 1.0}, "net:eth0": {"network_errors_per_second": 0.0}}
    still |= {"printer:guichet-1": {"printer_jobs_count": 0.0, "printer_oldest_job_age_seconds": 0.0}}
    still |= {"queue:main": {"queue_waiting_count": 4.0}}
    for subject, metrics in still.items():
        found.setdefault(subject, {}).update(metrics)
    assert sum(map(len, found.values())) == METRICS
    return found


class Device:
    """One connection with all its frames."""

    def __init__(self, plan: Plan, device_id: str, chance: random.Random) -> None:
        self.id = device_id
        # The last one seems to have waited long, so that it is acknowledged at once and the clock can stop.
        moments = [time.time() - 60] * (plan.beats - 1) + [time.time() - 7200]
        self.frames = [
            self.item(seq, wire.encode(Beat(seq=seq, at=at, seconds=300, samples=10, numbers=numbers(chance))))
            for seq, at in enumerate(moments, 1)
        ]
        self.sent = self.acknowledged = 0
        self.out = bytearray()
        self.had = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", plan.port), timeout=30)
        body = b"\x00\x04MQTT\x05\xc2\x00\x00\x00" + _text(device_id) + _text(device_id) + _text(plan.password)
        subscribe = b"\x00\x01\x00" + _text(topics.every_down(device_id)) + b"\x00"
        self.socket.sendall(_frame(0x10, body) + _frame(0x82, subscribe))

    def greet(self) -> None:
        hello = wire.encode(
            Hello(clock=time.time(), session_id="s", boot_id="b", install_id="i", next_seq=1, agent_version="bench")
        )
        self.socket.sendall(_frame(0x30, _text(topics.up(self.id, "hello")) + b"\x00" + hello))

    def item(self, seq: int, payload: bytes) -> bytes:
        return _frame(0x32, _text(topics.up(self.id, "beat")) + seq.to_bytes(2, "big") + b"\x00" + payload)

    def fill(self) -> None:
        upto = min(len(self.frames), self.acknowledged + WINDOW)
        if self.sent < upto:
            self.out += b"".join(self.frames[self.sent : upto])
            self.sent = upto

    def read(self) -> bool:
        """Whether the controller acknowledged more, or said its first word."""
        chunk = self.socket.recv(65536)
        assert chunk, "the broker hung up"
        self.had += chunk
        heard = False
        while frame := _take_frame(self.had):
            kind, body = frame
            if kind >> 4 == 3:
                skip = 2 + int.from_bytes(body[:2], "big") + 1
                ack = wire.decode_down("ack", body[skip:])
                assert isinstance(ack, Ack)
                self.acknowledged = max(self.acknowledged, ack.upto)
                heard = True
            elif kind >> 4 == 4 and len(body) > 2:
                assert body[2] < 0x80, f"the broker refused a beat: {body[2]:#x}"
        return heard


def main(plan: Plan) -> None:
    chance = random.Random(7)
    devices = [Device(plan, device_id, chance) for device_id in plan.devices]
    selector = selectors.DefaultSelector()
    for device in devices:
        selector.register(device.socket, selectors.EVENT_READ, device)
    greet(selector, devices)
    size = sum(len(frame) for frame in devices[0].frames) / plan.beats
    Path(plan.begun).write_text(f"{size:.0f}")
    while not Path(plan.go).exists():
        time.sleep(0.01)
    publish(selector, devices)


def greet(selector: selectors.BaseSelector, devices: list[Device]) -> None:
    """Until the controller answered every device; it may begin to listen only now."""
    greeted = set[str]()
    asked_at = 0.0
    while len(greeted) < len(devices):
        if time.monotonic() - asked_at > 3:
            asked_at = time.monotonic()
            for device in devices:
                if device.id not in greeted:
                    device.greet()
        greeted |= {key.data.id for key, _ in selector.select(1) if key.data.read()}


def publish(selector: selectors.BaseSelector, devices: list[Device]) -> None:
    """Until every beat is acknowledged."""
    for device in devices:
        device.socket.setblocking(False)
        device.fill()
        selector.modify(device.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, device)
    left = len(devices)
    while left:
        for key, events in selector.select(1):
            device = key.data
            if events & selectors.EVENT_READ and device.read():
                device.fill()
                left -= device.acknowledged == len(device.frames)
            if events & selectors.EVENT_WRITE and device.out:
                sent = device.socket.send(device.out)
                del device.out[:sent]
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if device.out else 0)
            if key.events != wanted:
                selector.modify(device.socket, wanted, device)


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan))
