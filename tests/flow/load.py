"""A process that speaks for many devices at once, each with the agent's own outbox.

Frames are made by hand and go over a listener without TLS, so that the broker and ingest get the machine's processors.
`python -m tests.flow.load PLAN`, with a `Plan` as JSON; it ends by itself when every item is acknowledged.
"""

import contextlib
import selectors
import socket
import sys
import time
from pathlib import Path

import msgspec

from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import Ack, Beat, Change, Hello, Summary

RESEND_S = 2.0
RECONNECT_S = 0.2
WINDOW = 40
"""Items of one device that may be on their way."""


class Plan(msgspec.Struct):
    """What to do."""

    port: int
    password: str
    devices: list[str]
    items: int
    """of each device"""
    items_per_second: float
    """of all devices together, new ones; repeats come on top"""
    outboxes: str
    """A directory for them, best in memory: two hundred devices would share one disk here."""
    done: str
    """A file that is made at the end; holds how many items were sent again."""


class Device:
    """One device: its connection and what waits for an acknowledgement."""

    def __init__(self, plan: Plan, device_id: str) -> None:
        self.plan = plan
        self.id = device_id
        self.socket: socket.socket | None = None
        self.retry_at = 0.0
        self.out = bytearray()
        self.had = bytearray()
        self.outbox = Outbox(Path(plan.outboxes) / device_id, max_bytes=10_000_000, boot_id="b")
        self.made = self.sent = self.acknowledged_upto = 0
        self.progress_at = 0.0
        self.hello_at = 0.0
        self.greeted = False
        """Whether our hello was acknowledged on this connection."""
        self.sessions = 0
        self.resent = 0
        self.pings = 0.0

    @property
    def finished(self) -> bool:
        return self.made == self.plan.items and not self.outbox.count

    def connect(self, now: float) -> None:
        self.retry_at = now + RECONNECT_S
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.plan.port), timeout=1)
        except OSError:
            return
        self.socket.setblocking(False)
        self.had.clear()
        self.sessions += 1
        self.greeted = False
        body = b"\x00\x04MQTT\x05\xc2\x00\x3c\x00" + _text(self.id) + _text(self.id) + _text(self.plan.password)
        subscribe = b"\x00\x01\x00" + _text(topics.every_down(self.id)) + b"\x00"
        self.out = bytearray(_frame(0x10, body) + _frame(0x82, subscribe))
        self.hello(now)

    def hello(self, now: float) -> None:
        self.hello_at = now
        self.publish("hello", wire.encode(Hello(
            clock=time.time(), session_id=f"s{self.sessions}", boot_id="b", install_id=self.outbox.install_id,
            next_seq=self.outbox.next_seq, agent_version="load",
        )))  # fmt: skip

    def step(self, now: float, allowed: int) -> int:
        """Make up to so many new items, and send again what was lost; gives how many were made."""
        if self.socket is None:
            if now >= self.retry_at:
                self.connect(now)
            return 0
        if not self.greeted:
            if now - self.hello_at > RESEND_S:
                self.hello(now)  # nobody listened
            return 0
        made = min(allowed, self.plan.items - self.made, WINDOW - self.outbox.count)
        if made > 0:
            self.outbox.put(*(self.item(self.made + n) for n in range(1, made + 1)))
            self.made += made
        if self.outbox.count and now - self.progress_at > RESEND_S:
            self.progress_at = now
            self.send_again_after(self.acknowledged_upto)
        for pending in self.outbox.first(WINDOW, after=self.sent):
            self.sent = pending.seq
            self.publish(pending.kind, pending.payload())
        return max(0, made)

    def item(self, n: int) -> Beat | Change:
        number = float(f"{n / 3:.4g}")
        if n % 5:
            summary = Summary(number, 0, number, number)
            numbers = {"": {"cpu_used_ratio": summary, "memory_used_ratio": 0.5}}
            return Beat(seq=UNNUMBERED, at=time.time(), seconds=300, samples=10, numbers=numbers)
        readings = {"disk:/": {"disk_used_ratio": number}}
        return Change(seq=UNNUMBERED, at=time.time(), collector="disk", readings=readings)

    def send_again_after(self, upto: int) -> None:
        self.resent += max(0, self.sent - upto)
        self.sent = upto

    def publish(self, kind: str, payload: bytes) -> None:
        self.out += _frame(0x30, _text(f"{topics.ROOT}/{self.id}/up/{kind}") + b"\x00" + payload)

    def write(self) -> None:
        assert self.socket is not None
        with contextlib.suppress(BlockingIOError):
            sent = self.socket.send(self.out)
            del self.out[:sent]

    def read(self, now: float) -> None:
        """Take in acknowledgements.  Raises OSError when the connection ended."""
        assert self.socket is not None
        try:
            chunk = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not chunk:
            raise ConnectionResetError
        self.had += chunk
        while frame := _take_frame(self.had):
            kind, body = frame
            if kind >> 4 == 3:
                size = int.from_bytes(body[:2], "big")
                topic = body[2 : 2 + size].decode()
                if topic.endswith("/ack"):
                    self.acknowledged(body[2 + size + 1 :], now)

    def acknowledged(self, payload: bytes, now: float) -> None:
        ack = wire.decode_down("ack", payload)
        assert isinstance(ack, Ack)
        if not self.greeted:
            self.greeted = True
            self.send_again_after(ack.upto)  # what is not committed yet goes again on this connection
        if self.outbox.ack(ack.upto, ack.install_id):
            self.acknowledged_upto = ack.upto
        self.progress_at = now

    def lose(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.out.clear()


def run(plan: Plan) -> int:
    """Until all is acknowledged; gives how many items were sent more than once."""
    devices = [Device(plan, device_id) for device_id in plan.devices]
    selector = selectors.DefaultSelector()
    made, began = 0, time.monotonic()
    while not all(device.finished for device in devices):
        now = time.monotonic()
        allowance = int((now - began) * plan.items_per_second) - made
        each = max(1, allowance // len(devices)) if allowance > 0 else 0
        for device in devices:
            had = device.socket
            steps = device.step(now, min(each, allowance))
            made += steps
            allowance -= steps
            if device.socket is not None:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if device.out else 0)
                if had is device.socket:
                    selector.modify(device.socket, events, device)
                else:
                    selector.register(device.socket, events, device)
        for key, events in selector.select(0.02):
            device = key.data
            try:
                if events & selectors.EVENT_READ:
                    device.read(now)
                if events & selectors.EVENT_WRITE:
                    device.write()
            except OSError:
                selector.unregister(key.fileobj)
                device.lose()
    return sum(device.resent for device in devices)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _frame(kind: int, body: bytes) -> bytes:
    size, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)[0], left % 128
        size.append(low | (0x80 if left else 0))
        if not left:
            return bytes([kind]) + bytes(size) + body


def _take_frame(data: bytearray) -> tuple[int, bytes] | None:
    """The first whole frame, taken out of `data`: its first byte, and what follows the length."""
    size = shift = 0
    for place in range(1, min(5, len(data))):
        size |= (data[place] & 0x7F) << shift
        shift += 7
        if not data[place] & 0x80:
            if len(data) < place + 1 + size:
                return None
            frame = data[0], bytes(data[place + 1 : place + 1 + size])
            del data[: place + 1 + size]
            return frame
    return None


if __name__ == "__main__":
    the_plan = msgspec.json.decode(sys.argv[1], type=Plan)
    Path(the_plan.done).write_text(str(run(the_plan)))
