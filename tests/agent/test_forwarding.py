import os
import shutil
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest

from annexfleet_agent.forwarding import Forwarding, Ways
from annexfleet_agent.loop import Loop
from annexfleet_agent.protocol import channel, envelope
from annexfleet_agent.protocol.envelope import Knock, Refusal, pack
from annexfleet_agent.runner import framing

SESSION = "00112233aabbccdd"
KNOCK = pack(Knock(session=SESSION, channel="relay1"))
FRAME = b"F" + bytes.fromhex(SESSION) + b"\0\0\0\1sealed"


class Resident:
    """A forwarding whose line, runner and starts are the test's."""

    def __init__(self, directory: Path, *, starts=True):
        self.loop = Loop()
        self.path = directory / "runner.sock"
        self.published, self.kept, self.watched, self.worked = [], [], [], []
        self.room = True
        self.started = 0
        self.pid = 0
        self.fails = False
        self.listener = None
        self.runner = None
        self.forwarding = Forwarding(
            self.loop,
            self.path,
            Ways(
                publish=lambda channel, packet: self.published.append((channel, packet)),
                has_room=lambda: self.room,
                keep=self.kept.append,
                watch=self.watched.append,
                worked=lambda: self.worked.append(True),
                start=self._start if starts else None,
            ),
        )
        self.forwarding.line(True)

    def _start(self):
        self.started += 1
        if self.fails:
            raise OSError("no such program")
        return self.pid

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        self.listener.listen()

    def accept(self):
        self.listener.settimeout(5)
        self.runner, _ = self.listener.accept()
        self.runner.settimeout(5)
        return self.runner

    def hears(self):
        return self.runner.recv(framing.MAX_BYTES)

    def says(self, message):
        self.runner.send(message)

    def until(self, happened):
        assert self.loop.run_until(happened, timeout_s=10)

    def turn(self):
        self.loop.run_until(lambda: False, timeout_s=0.15)

    def knock(self):
        """Up to a runner that heard a knock."""
        self.listen()
        self.forwarding.packet(KNOCK)
        self.accept()
        assert self.hears() == framing.LINK_UP
        assert self.hears() == framing.PACKET + KNOCK

    def close(self):
        self.forwarding.stop()
        for sock in (self.runner, self.listener):
            if sock is not None:
                sock.close()
        self.loop.close()


@pytest.fixture
def make():
    place = Path(tempfile.mkdtemp(prefix="af-"))
    made = []

    def new(**options):
        made.append(Resident(place, **options))
        return made[-1]

    yield new
    for one in made:
        one.close()
    shutil.rmtree(place)


def refusal(reason, channel="relay1"):
    return channel, pack(Refusal(session=SESSION, reason=reason))


def test_a_knock_finds_the_runner_that_listens(make):
    resident = make()

    resident.knock()

    assert resident.started == 0


def test_a_knock_starts_a_runner_where_none_listens_and_waits_for_it(make):
    resident = make()
    resident.forwarding.packet(KNOCK)
    resident.forwarding.packet(FRAME)
    resident.turn()
    assert resident.started == 1

    resident.listen()
    resident.turn()
    resident.accept()

    assert [resident.hears() for _ in range(3)] == [
        framing.LINK_UP, framing.PACKET + KNOCK, framing.PACKET + FRAME
    ]  # fmt: skip


def test_starts_do_not_come_one_after_the_other(make):
    resident = make()
    resident.fails = True

    for _ in range(5):
        resident.forwarding.packet(KNOCK)
    resident.until(lambda: resident.published)
    resident.forwarding.packet(KNOCK)
    resident.turn()

    assert resident.started == 1
    assert resident.published == [refusal("not_ready")]
    resident.until(lambda: resident.started == 2)


def test_a_runner_that_ends_at_once_is_not_waited_for(make):
    resident = make()
    resident.pid = os.posix_spawn("/bin/true", ["true"], {})
    resident.forwarding.packet(KNOCK)

    resident.until(lambda: resident.published)

    assert resident.published == [refusal("not_ready")]
    with pytest.raises(ChildProcessError):
        os.waitpid(resident.pid, os.WNOHANG)


def test_where_systemd_starts_runners_nobody_is_started(make):
    resident = make(starts=False)

    resident.forwarding.packet(KNOCK)

    assert resident.published == [refusal("not_ready")]


@pytest.mark.parametrize("packet", [FRAME, b"E{}", b"A123456789", b"", b"?", b"K", b"K{}", b"K" + b"x" * 70_000])
def test_nothing_but_a_knock_starts_a_runner(make, packet):
    resident = make()

    resident.forwarding.packet(packet)
    resident.turn()

    assert (resident.started, resident.published) == (0, [])


def test_packets_of_the_runner_are_published_on_the_relays_channel(make):
    resident = make()
    resident.knock()

    resident.says(framing.to_relay("relay1", b"F one"))
    resident.says(framing.to_relay("relay2", b"F two"))

    resident.until(lambda: len(resident.published) == 2)
    assert resident.published == [("relay1", b"F one"), ("relay2", b"F two")]
    assert resident.worked


@pytest.mark.parametrize("channel", ["../x", "UP", "a/b", "+", "#", "x" * 40])
def test_no_runner_can_speak_on_another_topic(make, channel):
    resident = make()
    resident.knock()

    resident.says(framing.to_relay(channel, b"F one"))
    resident.says(framing.to_relay("relay1", b"F two"))

    resident.until(lambda: resident.published)
    assert resident.published == [("relay1", b"F two")]


def test_a_session_that_the_runner_does_not_know_is_answered_where_its_relay_hears(make):
    resident = make()
    resident.knock()

    resident.says(framing.to_relay("", pack(Refusal(session=SESSION, reason="no_session"))))

    resident.until(lambda: resident.published)
    assert resident.published == [refusal("no_session")]


def test_a_runner_that_falls_is_told_to_the_relays_at_once(make):
    resident = make()
    resident.knock()

    resident.runner.close()
    resident.until(lambda: resident.published)
    assert resident.published == [refusal("no_session")]

    resident.forwarding.packet(FRAME)
    assert len(resident.published) == 1, "it was told already"


def test_a_runner_that_ends_in_order_is_no_news(make):
    resident = make()
    resident.knock()

    resident.says(framing.to_relay("relay1", b"Cchallenge"))
    resident.says(framing.ENDS)
    resident.runner.close()
    resident.turn()

    assert resident.published == [("relay1", b"Cchallenge")]


def test_who_knocks_while_the_runner_ends_is_told_at_once(make):
    resident = make()
    resident.knock()  # it lies in the socket of a runner that looks at it no more

    resident.says(framing.ENDS)
    resident.runner.close()
    resident.until(lambda: resident.published)

    assert resident.published == [refusal("no_session")]


def test_a_receipt_goes_into_the_outbox_and_the_runner_hears_so(make):
    resident = make()
    resident.knock()
    told = framing.Told("c-1", "done", "", 5.0)

    resident.says(framing.RECEIPT + msgspec.json.encode(told))

    resident.until(lambda: resident.kept)
    assert resident.kept == [told]
    assert resident.hears() == framing.KEPT + b"c-1"


def test_what_cannot_be_understood_is_ignored(make):
    resident = make()
    resident.knock()

    for junk in (b"?", b"R{}", b"Wsoon", b"S[]", b"P", b"P\x09ab", b'R{"command_id":"c","outcome":"perhaps"}'):
        resident.says(junk)
    resident.says(framing.WATCH + b"30.0")

    resident.until(lambda: resident.watched)
    assert (resident.watched, resident.kept, resident.published) == ([30.0], [], [])


def test_the_runner_is_not_read_while_the_line_takes_no_more(make):
    resident = make()
    resident.knock()
    resident.room = False
    resident.forwarding.room()

    resident.says(framing.to_relay("relay1", b"F"))
    resident.turn()
    assert resident.published == []

    resident.room = True
    resident.forwarding.room()
    resident.until(lambda: resident.published)


def test_what_the_runner_does_not_take_is_bounded(make):
    resident = make()
    resident.knock()

    for _ in range(200):
        resident.forwarding.packet(b"F" + bytes(50_000))

    assert resident.forwarding._waiting_bytes <= 2 * 1024 * 1024
    resident.runner.setblocking(False)
    count = 0

    def all_came():
        nonlocal count
        try:
            while resident.runner.recv(framing.MAX_BYTES):
                count += 1
        except BlockingIOError:
            pass
        return not resident.forwarding._waiting

    resident.until(all_came)
    assert 30 < count < 200


def test_the_line_is_told_to_the_runner(make):
    resident = make()
    resident.knock()

    resident.forwarding.line(False)
    resident.forwarding.line(True)

    assert [resident.hears(), resident.hears()] == [framing.LINK_DOWN, framing.LINK_UP]


def test_an_agent_that_starts_finds_a_runner_that_is_there_and_starts_none(make):
    resident = make()
    resident.listen()

    resident.forwarding.start()

    resident.accept()
    assert resident.hears() == framing.LINK_UP
    assert resident.started == 0


def test_refusals_are_counted_for_a_day_and_then_no_more(make):
    resident = make()
    assert resident.forwarding.refused_today() is None
    resident.knock()
    hour = int(resident.loop.clock.now() // 3600)

    resident.says(framing.REFUSED + msgspec.json.encode(framing.Refused({hour: 2, hour - 23: 1, hour - 24: 7}, {})))

    resident.until(lambda: resident.forwarding.refused_today() is not None)
    assert resident.forwarding.refused_today() == 3


def test_what_the_agent_knows_of_packets_is_what_they_are():
    assert (framing.KNOCK, framing.FRAME, framing.REFUSAL) == (envelope.KNOCK, envelope.FRAME, envelope.REFUSAL)
    assert framing.session_of(FRAME) == SESSION == channel.session_of(FRAME)
    assert envelope.unpack(framing.refusal(SESSION, "not_ready")) == Refusal(session=SESSION, reason="not_ready")
