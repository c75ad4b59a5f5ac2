"""A relay, a broker and an agent in one: speaks with a real runner over its socket."""

import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import msgspec
from tests.agent.runner.authority import Enrolled, Made

from annexfleet_agent.protocol.channel import Channel, Part
from annexfleet_agent.protocol.envelope import Challenge, Knock, Refusal, Request, Result, pack, unpack
from annexfleet_agent.protocol.requests import request_parts
from annexfleet_agent.protocol.sealing import Seal
from annexfleet_agent.runner import framing

CHANNEL = "relay1"
PATIENCE_S = 20.0


class Device:
    """A state directory with a runner that was enrolled, and the program that serves it."""

    def __init__(self, directory: Path, settings: str = ""):
        self.directory = directory
        self.enrolled = Enrolled(directory / "runner")
        self.path = directory / "runner" / "runner.sock"
        self.file = directory / "agent.toml"
        self.file.write_text(f'[agent]\nstate_dir = "{directory}"\n[runner]\n{settings}\n')
        self.process = None
        self.links = []

    def start(self, *before):
        with (self.directory / "runner.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "annexfleet_agent.runner", "--settings", str(self.file)], stderr=log
            )
        return self.process

    def link(self):
        """What the agent's end of the socket is."""
        made = Link(self.path)
        self.links.append(made)
        return made

    def kill(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        return (self.directory / "runner.log").read_text()

    def close(self):
        for link in self.links:
            link.sock.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise


class Link:
    """The agent's end, and all that was heard on it."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                assert time.monotonic() < until, "the runner does not listen"
                select.select([], [], [], 0.02)
        self.packets = defaultdict(list)
        self.said = []
        self.is_over = False
        self.sock.send(framing.LINK_UP)

    def hear(self, seconds=0.05):
        """Take what comes within this time; whether anything did."""
        if self.is_over or not select.select([self.sock], [], [], seconds)[0]:
            return False
        message = self.sock.recv(framing.MAX_BYTES)
        if not message:
            self.is_over = True
            return False
        if message[:1] == framing.PACKET:
            channel, packet = framing.from_runner(message)
            self.packets[channel].append(packet)
        else:
            self.said.append(message)
        return True

    def until(self, happened, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, "it did not happen"
            self.hear()
        return found

    def packet(self, packet):
        self.sock.send(framing.PACKET + packet)

    def receipts(self):
        return [framing.told(message) for message in self.said if message[:1] == framing.RECEIPT]

    def refused(self):
        return [framing.refused(message) for message in self.said if message[:1] == framing.REFUSED][-1]


class Relay:
    """One relay's session."""

    def __init__(self, device: Device, link: Link, *, session=None):
        self.device, self.link = device, link
        self.session = session or os.urandom(8).hex()
        self.channel = None
        self.parts = defaultdict(list)
        self.data = defaultdict(bytes)
        self.results = {}
        self.is_bye = False
        self._numbers = 0
        self.lets_flow = True

    # -- opening

    def knock(self):
        self.link.packet(pack(Knock(session=self.session, channel=CHANNEL)))
        return self.answer((Challenge, Refusal))

    def answer(self, types):
        """The next packet of this session that is one of these."""

        def found():
            for packet in self.link.packets[CHANNEL]:
                if packet[:1] in b"CR" and isinstance(body := unpack(packet), types) and body.session == self.session:
                    self.link.packets[CHANNEL].remove(packet)
                    return body
            return None

        return self.link.until(found)

    def open(self, **other):
        """Up to a session that the runner opened."""
        made = Made(self.device.enrolled, self.knock(), **other)
        self.send(made)
        self.link.until(lambda: self.turn() or self.channel_spoke)
        return self

    def send(self, made):
        self.channel_spoke = False
        self.channel = Channel(
            made.session, out=Seal(made.keys.down), in_=Seal(made.keys.up), send=self.link.packet, now=time.monotonic()
        )
        self.link.packet(made.packet)

    # -- talking

    def turn(self):
        """Take what came for this session."""
        now = time.monotonic()
        packets, self.link.packets[CHANNEL] = self.link.packets[CHANNEL], []
        for packet in packets:
            if packet[:1] not in b"FA" or packet[1:9].hex() != self.session:
                self.link.packets[CHANNEL].append(packet)
                continue
            self.channel_spoke = True
            part = self.channel.hear(packet, now)
            if part is not None:
                self._take(part)
        if self.channel is not None:
            self.channel.tick(now)
        return False

    def _take(self, part: Part):
        if part.kind in ("output", "errors"):
            self.data[part.request, part.kind] += part.data
            if self.lets_flow:
                self.channel.consumed()
        elif part.kind == "result":
            self.results[part.request] = msgspec.json.decode(part.data, type=Result)
        elif part.kind == "bye":
            self.is_bye = True
        else:
            self.parts[part.kind].append(part)

    def put(self, *parts):
        for part in parts:
            self.channel.put(part, time.monotonic())

    def ask(self, request: Request, data=b"", *, wants_input=True):
        """Ask; the number under which the answer comes."""
        self._numbers += 1
        number = self._numbers
        self.put(*request_parts(number, request))
        if wants_input:
            self.give(number, data)
        return number

    def give(self, number, data):
        chunks = [data[at : at + 48 * 1024] for at in range(0, len(data), 48 * 1024)] or [b""]
        for at, chunk in enumerate(chunks):
            self.link.until(lambda: self.turn() or self.channel.may_put or number in self.results)
            self.put(Part("input", number, chunk, last=at == len(chunks) - 1))

    def until(self, happened, seconds=PATIENCE_S):
        return self.link.until(lambda: self.turn() or happened(), seconds)

    def result(self, number=1, seconds=PATIENCE_S) -> Result:
        self.until(lambda: number in self.results, seconds)
        return self.results[number]

    def run(self, *argv, data=b"", **other) -> tuple[Result, bytes, bytes]:
        """A program to its end: result, output, errors."""
        number = self.ask(Request(op="exec", argv=list(argv), **other), data)
        result = self.result(number)
        return result, self.data[number, "output"], self.data[number, "errors"]

    def upload(self, path, content, **other):
        fields = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} | other
        return self.result(self.ask(Request(op="put", path=str(path), **fields), content))

    def fetch(self, path):
        number = self.ask(Request(op="fetch", path=str(path)), wants_input=False)
        return self.result(number), self.data[number, "output"]
