"""An uplink whose broker, controller and time are the test's."""

import random
from pathlib import Path

import pytest
from tests.agent.clocks import TurnedClock, TurnedLoop
from tests.agent.sessions import DEVICE, FakeSession

from annexfleet_agent import session
from annexfleet_agent.identity import Identity, Pair
from annexfleet_agent.outbox import Outbox
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages
from annexfleet_agent.uplink import Uplink


class Device:
    """An uplink between a real outbox and sessions of the test."""

    def __init__(self, tmp_path, monkeypatch, windows=(60.0, 120.0, 180.0)):
        self.clock = TurnedClock()
        self.loop = TurnedLoop(self.clock)
        self.outbox = Outbox(tmp_path / "outbox.db", max_bytes=2_000_000, boot_id="boot")
        self.sessions: list[FakeSession] = []
        self.contexts: list[tuple[Path, bool]] = []
        self.dial_errors: list[BaseException] = []
        self.configs, self.commands, self.ready = [], [], 0
        self.pair = Pair(Path("new.key"), Path("new.pem"), Path("authority.pem"))
        self.previous = Pair(Path("old.key"), Path("old.pem"), Path("authority.pem"))
        monkeypatch.setattr(session, "tls_context", self._context)
        monkeypatch.setattr(session, "dial", self._dial)
        monkeypatch.setattr(session, "Session", self._session)
        self.uplink = Uplink(
            self.loop,
            self.outbox,
            self._identity,
            device_id=DEVICE,
            hello=lambda session_id: messages.Hello(
                clock=self.clock.now(),
                session_id=session_id,
                boot_id="boot",
                install_id=self.outbox.install_id,
                next_seq=self.outbox.next_seq,
                oldest_seq=self.outbox.oldest_seq(),
                agent_version="0",
            ),
            on_config=self.configs.append,
            on_command=self.commands.append,
            on_ready=self._on_ready,
            retry_windows_s=windows,
            rng=random.Random(1),
        )

    def _identity(self):
        return Identity(
            device_id=DEVICE, broker_host="broker", broker_port=1, enrol_url="", pair=self.pair,
            previous=self.previous, expires_at=2e9, renew_at=2e9,
        )  # fmt: skip

    def _context(self, authority, certificate, key, *, heed_dates):
        self.contexts.append((certificate, heed_dates))

    def _dial(self, *_args, **_kwargs):
        if self.dial_errors:
            raise self.dial_errors.pop(0)

    def _session(self, loop, client, ears, **_kwargs):
        self.sessions.append(FakeSession(ears))
        return self.sessions[-1]

    def _on_ready(self):
        self.ready += 1

    def put(self, *items):
        seqs = self.outbox.put(*items)
        self.uplink.pump(*seqs)
        return seqs

    def attempts(self):
        return len(self.contexts)

    def turn(self, seconds, step=1.0):
        for _ in range(round(seconds / step)):
            self.clock.turn(step)
            self.loop.step()

    def until(self, happened):
        """Let time pass, at most a day, until this is so."""
        for _ in range(2 * 86_400):
            if happened():
                return
            self.clock.turn(0.5)
            self.loop.step()
        pytest.fail("it did not happen")

    def connect(self):
        """Up to a session that the broker opened."""
        count = len(self.sessions)
        self.until(lambda: len(self.sessions) > count)
        now = self.sessions[-1]
        now.ears.on_open()
        return now

    def connect_and_greet(self):
        now = self.connect()
        now.answer()
        return now


def beat():
    return messages.Beat(seq=UNNUMBERED, at=1, seconds=300, numbers={})


def change():
    return messages.Change(seq=UNNUMBERED, at=1, collector="cpu", readings={})
