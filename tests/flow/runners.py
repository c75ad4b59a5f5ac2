"""A device's runner as the wire describes it, in this process: it obeys any envelope that opens with its key.

What it does with a request tests say (`does`); it can be made busy, deaf or hostile.  The real one is tested in its own
room; here the relay is.
"""

import hashlib
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.flow.broker import Broker, IssuedDevice

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.channel import DATA_BYTES, WITH_DATA, Channel, Part, session_of
from annexfleet_agent.protocol.envelope import (
    ACK,
    FRAME,
    Arguments,
    Challenge,
    Delivery,
    Envelope,
    Knock,
    Refusal,
    Request,
    Result,
    pack,
    parse,
    unpack,
)
from annexfleet_agent.protocol.messages import Gone, Hello
from annexfleet_agent.protocol.requests import RequestGathering
from annexfleet_agent.protocol.sealing import Seal, session_keys


class Work:
    """One request, in the hands of a test's function."""

    def __init__(self, runner: "FakeRunner", number: int, request: Request | None, arguments: Arguments) -> None:
        self.runner = runner
        self.number = number
        self.request = request
        self.arguments = arguments
        self.input: queue.Queue[tuple[bytes, bool]] = queue.Queue()
        self.cancelled = threading.Event()

    def all_input(self) -> bytes:
        """Everything that comes as input, acknowledged as it is taken."""
        whole = bytearray()
        for data in self.pieces():
            whole += data
        return bytes(whole)

    def pieces(self):  # type: ignore[no-untyped-def]  # an iterator of bytes
        last = False
        while not last:
            data, last = self.input.get(timeout=30)
            self.runner.consumed()
            yield data

    def say(self, data: bytes, kind: str = "output") -> None:
        """Output, no faster than the relay takes it; given up when it is cancelled."""
        for at in range(0, len(data), DATA_BYTES):
            while not self.runner.say_if_room(Part(kind, self.number, data[at : at + DATA_BYTES], last=False)):  # type: ignore[arg-type]
                if self.cancelled.is_set():
                    return
                time.sleep(0.002)  # another thread makes room

    def end(self, result: Result) -> None:
        self.runner.say(Part("result", self.number, msgspec.json.encode(result)))


def echo(work: Work) -> None:
    """What a usual device would do: `exec` gives its input back, `put` and `fetch` do as they say."""
    request = work.request
    assert request is not None
    if request.op == "put":
        digest, size = hashlib.sha256(), 0
        for data in work.pieces():
            digest.update(data)
            size += len(data)
        fits = digest.hexdigest() == request.sha256 and size == request.size_bytes
        work.end(Result() if fits else Result(error="digest_differs"))
    elif request.op == "fetch":
        size = int(request.path.removeprefix("/"))
        piece, digest = b"x" * DATA_BYTES, hashlib.sha256()
        for start in range(0, size, DATA_BYTES):
            data = piece[: size - start]
            digest.update(data)
            work.say(data)
        work.end(Result(sha256=digest.hexdigest()))
    else:
        work.say(work.all_input())
        work.end(Result(exit_code=len(request.argv)))


class FakeRunner:
    """Connects at once.  Everything here runs in paho's thread, or under the lock."""

    def __init__(self, broker: Broker, device: IssuedDevice, *, does: Callable[[Work], None] = echo) -> None:
        self.device_id = device.device_id
        self.key = X25519PrivateKey.generate()
        self.boot_id = str(uuid.uuid4())
        self.does = does
        self.refuses: list[str] = []
        """Reasons with which the next envelopes are refused."""
        self.busy_knocks = 0
        """So many knocks are told that something runs."""
        self.is_deaf = False
        self.heard: list[Request | None] = []
        self.arguments: list[Arguments] = []
        self.works: list[Work] = []
        self.sessions = 0
        self.byes = 0
        self._lock = threading.RLock()
        self._challenges: dict[str, Knock] = {}
        self._gathering: dict[int, RequestGathering] = {}
        self._channel: Channel | None = None
        self._session = ""
        self._relay = ""
        self._ended = threading.Event()
        self._broker, self._device = broker, device
        self._client = broker.device_client(device, client_id=device.device_id)
        self._subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe(topics.every_down(self.device_id), 0)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._on_message(message.topic, message.payload)
        broker.connect_device(self._client)
        self._client.loop_start()
        assert self._subscribed.wait(15)
        self._ticking = threading.Thread(target=self._tick, daemon=True)
        self._ticking.start()

    @property
    def public_key(self) -> bytes:
        return self.key.public_key().public_bytes_raw()

    # -- what a device may do

    def hello(self) -> None:
        clock = time.time()
        self._say_message(
            Hello(clock=clock, session_id="s", boot_id=self.boot_id, install_id="i", next_seq=1, agent_version="1")
        )

    def gone(self) -> None:
        self._say_message(Gone(session_id="s"))

    def restart(self) -> None:
        """The device is booted: nothing is known any more."""
        with self._lock:
            self.boot_id = str(uuid.uuid4())
            self._channel, self._session = None, ""

    def lose_session(self) -> None:
        """The runner ended and was started again."""
        with self._lock:
            self._channel, self._session = None, ""

    def resume(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.resume(time.monotonic())

    def say_raw(self, packet: bytes) -> None:
        self._publish(packet)

    @property
    def session(self) -> str:
        return self._session

    def say(self, part: Part) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.put(part, time.monotonic())

    def say_if_room(self, part: Part) -> bool:
        with self._lock:
            if self._channel is None:
                return True
            if not self._channel.may_put:
                return False
            self._channel.put(part, time.monotonic())
            return True

    def consumed(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.consumed()

    def close(self) -> None:
        self._ended.set()
        self._ticking.join()
        for work in self.works:
            work.cancelled.set()
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_message = self._client.on_connect = self._client.on_subscribe = None
        del self._client

    # -- within

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic != topics.down(self.device_id, "run") or self.is_deaf:
            return
        with self._lock:
            try:
                self._hear(payload)
            except Exception:
                import traceback

                traceback.print_exc()  # else paho's thread would end in silence
                raise

    def _hear(self, packet: bytes) -> None:
        if packet[:1] in (FRAME, ACK):
            if self._channel is None or session_of(packet) != self._session:
                self._publish(pack(Refusal(session=session_of(packet), reason="not_ready")))
                return
            part = self._channel.hear(packet, time.monotonic())
            if part is not None:
                self._take(part)
            return
        body = unpack(packet)
        if isinstance(body, Knock):
            self._relay = body.channel
            challenge = secrets.token_hex(16)
            self._challenges[challenge] = body
            is_busy, self.busy_knocks = self.busy_knocks > 0, max(0, self.busy_knocks - 1)
            self._publish(
                pack(
                    Challenge(
                        session=body.session, challenge=challenge, boot_id=self.boot_id, keys_version=0,
                        exchange_key=self.public_key.hex(), busy=is_busy,
                    )
                )
            )  # fmt: skip
        elif isinstance(body, Delivery):
            self._open(parse(body.envelope.body, Envelope))

    def _open(self, envelope: Envelope) -> None:
        assert self._challenges.pop(envelope.challenge).session == envelope.session
        if self.refuses:
            self._publish(pack(Refusal(session=envelope.session, reason=self.refuses.pop(0))))
            return
        keys = session_keys(
            self.key, envelope.ephemeral_key, session=envelope.session, device_id=self.device_id,
            ephemeral=envelope.ephemeral_key,
        )  # fmt: skip
        arguments = parse(Seal(keys.down).open(0, envelope.sealed, envelope.session.encode()), Arguments)
        self.arguments.append(arguments)
        self.sessions += 1
        self._session, self._gathering = envelope.session, {}
        now = time.monotonic()
        self._channel = Channel(
            envelope.session, out=Seal(keys.up), in_=Seal(keys.down), send=self._publish, now=now
        )  # fmt: skip
        self._channel.resume(now)
        if envelope.action == "command":
            self._begin(1, None)

    def _take(self, part: Part) -> None:
        if part.kind == "request":
            request = self._gathering.setdefault(part.request, RequestGathering()).add(part)
            if request is not None:
                self._begin(part.request, request)
        elif part.kind == "input":
            for work in self._wanted(part.request):
                work.input.put((part.data, part.last))
                return
            self.consumed()
        elif part.kind == "cancel":
            for work in self._wanted(part.request):
                work.cancelled.set()
                work.end(Result(error="cancelled"))
        elif part.kind == "ping":
            self.say(Part("pong", part.request))
        elif part.kind == "bye":
            self.byes += 1
            for work in self.works:
                work.cancelled.set()
            self._channel, self._session = None, ""
        elif part.kind in WITH_DATA:
            self.consumed()

    def _wanted(self, number: int) -> list[Work]:
        return [work for work in self.works if work.number == number and not work.cancelled.is_set()]

    def _begin(self, number: int, request: Request | None) -> None:
        self.heard.append(request)
        work = Work(self, number, request, self.arguments[-1])
        self.works = [old for old in self.works if old.number != number] + [work]
        threading.Thread(target=self.does, args=(work,), daemon=True).start()

    def _tick(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                if self._channel is not None:
                    self._channel.tick(time.monotonic())

    def _publish(self, packet: bytes) -> None:
        if not self.is_deaf:
            self._client.publish(topics.up_run(self.device_id, self._relay), packet, 0)

    def _say_message(self, message: Hello | Gone) -> None:
        self._client.publish(topics.up(self.device_id, wire.kind_of(message)), wire.encode(message), 1)  # type: ignore[arg-type]
