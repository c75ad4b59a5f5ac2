"""Frames over a line that fails: everything arrives once and in order, and a line that works carries little more."""

import contextlib
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drawing import examples
from tests.protocol.lines import SESSION, Session, Side

from annexfleet_agent.protocol import channel as channels
from annexfleet_agent.protocol.channel import DATA_BYTES, MAX_UNACKED, Channel, ChannelBroken, Part, session_of
from annexfleet_agent.protocol.sealing import Seal

URGENT = ("cancel", "ping", "pong", "bye")
DATA = ("input", "output", "errors")

names = st.sampled_from(["relay", "runner"])
acts = st.one_of(
    st.tuples(st.just("put"), names, st.sampled_from(["request", "output", "input", "result", "missing"])),
    st.tuples(st.just("put"), names, st.sampled_from(["output", "input"])),
    st.tuples(st.just("urgent"), names, st.sampled_from(["cancel", "ping", "pong"])),
    st.tuples(st.just("deliver"), names, st.integers(1, 8)),
    st.tuples(st.just("deliver"), names, st.integers(1, 8)),
    st.tuples(st.just("lose"), names, st.integers(1, 3)),
    st.tuples(st.just("double"), names, st.integers(0, 5)),
    st.tuples(st.just("mix"), names, st.integers(0, 5)),
    st.tuples(st.just("consume"), names, st.integers(1, 4)),
    st.tuples(st.just("pass"), names, st.sampled_from([0.01, 0.3, 1.0, 5.0, 30.0])),
    st.tuples(st.just("cut"), names, st.just(0)),
    st.tuples(st.just("resume"), names, st.just(0)),
)


def do(session: Session, act: tuple[str, str, object], number: int) -> None:
    what, name, how = act
    one, other = session.of(name)
    if what == "put":
        # As programs do: data only while there is room for it.
        if how not in DATA or one.channel.may_put:
            one.put(Part(how, 1 + number % 3, b"%d" % number, last=number % 2 == 0), session.now)
    elif what == "urgent":
        one.put(Part(how, 0, b"%d" % number), session.now)
    elif what == "deliver":
        for _ in range(min(how, len(one.line))):
            other.hear(one.line.popleft(), session.now)
    elif what == "consume":
        one.consume(how)
    elif what == "pass":
        session.pass_(how)
    elif what == "resume":
        one.channel.resume(session.now)
    else:
        disturb(session, one, what, how)


def disturb(session: Session, one: Side, what: str, how: int) -> None:
    if what == "lose":
        for _ in range(min(how, len(one.line))):
            one.line.popleft()
    elif what == "double" and one.line:
        one.line.append(one.line[how % len(one.line)])
    elif what == "mix" and len(one.line) > 1:
        mixed = list(one.line)
        mixed.insert(0, mixed.pop(how % len(mixed)))
        one.line = deque(mixed)
    elif what == "cut":
        session.cut()


def of_kinds(parts: list[Part], kinds: tuple[str, ...], *, but: bool = False) -> list[Part]:
    return [part for part in parts if (part.kind in kinds) != but]


@settings(max_examples=examples(600))
@given(st.lists(acts, max_size=120), st.sampled_from([1, 2, 5, 32]))
def test_whatever_the_line_does_all_parts_arrive_once_and_in_order(script: list, window: int):
    session = Session(window)

    for number, act in enumerate(script):
        do(session, act, number)
        for side in (session.relay, session.runner):
            assert side.unconsumed <= window
            assert len(of_kinds(side.sent, DATA)) - len(of_kinds(session.of(side.name)[1].heard, DATA)) <= window + 1
    session.settle()

    for name in ("relay", "runner"):
        one, other = session.of(name)
        assert of_kinds(other.heard, URGENT, but=True) == of_kinds(one.sent, URGENT, but=True)
        assert of_kinds(other.heard, URGENT) == of_kinds(one.sent, URGENT)


def test_data_waits_for_credit_and_a_cancel_does_not():
    session = Session(window=4)
    for number in range(9):
        session.relay.put(Part("input", 1, b"%d" % number), session.now)
    session.deliver_all(consume=False)

    session.relay.put(Part("cancel", 1), session.now)
    session.deliver_all(consume=False)

    assert [part.kind for part in session.runner.heard] == ["input"] * 4 + ["cancel"]
    assert not session.relay.channel.may_put
    session.settle()
    assert of_kinds(session.runner.heard, DATA) == of_kinds(session.relay.sent, DATA)


def test_a_cancel_goes_even_when_nothing_was_acknowledged_for_long():
    session = Session()
    for _ in range(MAX_UNACKED):
        session.relay.put(Part("request", 1), session.now)

    session.relay.put(Part("cancel", 1), session.now)

    with pytest.raises(ChannelBroken, match="does not hear"):
        session.relay.put(Part("request", 1), session.now)


def test_credit_that_was_lost_is_asked_for():
    session = Session(window=4)
    for number in range(8):
        session.relay.put(Part("input", 1, b"%d" % number), session.now)
    session.deliver_all(consume=False)
    session.runner.consume()
    session.cut()  # with it the acknowledgement that gave credit

    session.settle(within_s=4)

    assert len(session.runner.heard) == 8


def test_nobody_may_send_more_data_than_there_is_credit_for():
    session = Session(window=4)
    other = Side("other", b"d" * 32, b"u" * 32, window=64)
    for number in range(5):
        other.put(Part("input", 1, b"%d" % number), 0.0)

    for _ in range(4):
        session.runner.hear(other.line.popleft(), 0.0)
    with pytest.raises(ChannelBroken, match="more data"):
        session.runner.hear(other.line.popleft(), 0.0)


# -- what a line that works carries


def bulk(session: Session, count: int, size: int = 1000) -> None:
    """Output as fast as it may go, heard at once."""
    done = 0
    while done < count:
        while done < count and session.runner.channel.may_put:
            session.runner.put(Part("output", 1, bytes(size), last=done == count - 1), session.now)
            done += 1
        session.deliver_all()


def test_a_stream_is_sent_once_and_acknowledged_every_eighth_frame():
    session = Session()

    bulk(session, 400)
    session.rest(30)

    assert session.runner.counts == {"frame": 400}
    assert session.relay.counts["ack"] <= 400 / 8 + 1
    assert session.runner.channel.is_drained


def test_answers_bring_the_acknowledgement_with_them():
    session = Session()

    for number in range(1, 51):
        session.relay.put(Part("request", number), session.now)
        session.deliver_all()
        session.runner.put(Part("output", number, b"{}"), session.now)
        session.runner.put(Part("result", number), session.now)
        session.deliver_all()
    session.rest(30)

    assert session.relay.counts == {"frame": 50, "ack": 1}
    assert session.runner.counts == {"frame": 100}


def test_a_session_at_rest_says_nothing():
    session = Session()
    session.relay.put(Part("ping", 0), session.now)
    session.deliver_all()
    session.runner.put(Part("pong", 0), session.now)
    session.deliver_all()
    session.rest(3)
    before = session.relay.counts.total() + session.runner.counts.total()

    session.rest(600)

    assert session.relay.counts.total() + session.runner.counts.total() == before


@pytest.mark.parametrize("bytes_per_s", [4_000, 32_000, 200_000])
def test_a_slow_line_is_never_sent_the_same_twice(bytes_per_s: int):
    """A window of 1.5 MB takes minutes there, and that is no loss."""
    session = Session()
    left, room = 60, 0.0

    for _ in range(3000):
        while left and session.runner.channel.may_put:
            left -= 1
            session.runner.put(Part("output", 1, bytes(DATA_BYTES)), session.now)
        session.pass_(1.0)
        room = min(room + bytes_per_s, 2.0 * max(bytes_per_s, DATA_BYTES))
        while session.runner.line and len(session.runner.line[0]) <= room:
            room -= len(session.runner.line[0])
            session.relay.hear(session.runner.line.popleft(), session.now)
            session.relay.consume()
        while session.relay.line:
            session.runner.hear(session.relay.line.popleft(), session.now)
        if not left and session.runner.channel.is_drained:
            break

    assert session.runner.channel.is_drained
    assert session.runner.counts["frame"] == 60
    assert session.runner.bytes_sent < 60 * DATA_BYTES * 1.01


def test_after_a_cut_only_what_was_lost_is_sent_again():
    session = Session()
    bulk(session, 40)
    for number in range(20):
        session.runner.put(Part("output", 1, b"%d" % number), session.now)
    for _ in range(12):
        session.relay.hear(session.runner.line.popleft(), session.now)
    session.cut()
    session.pass_(40)
    session.cut()

    session.runner.channel.resume(session.now)
    session.deliver_all()

    assert session.relay.heard == session.runner.sent
    assert session.runner.counts["frame"] == 60 + 8


def test_the_side_whose_line_stayed_sends_again_as_soon_as_the_other_is_back():
    """The device was away; the relay knows of it only by hearing the device again."""
    session = Session()
    for number in range(5):
        session.relay.put(Part("input", 1, b"%d" % number), session.now)
    session.pass_(100)
    session.cut()

    session.runner.channel.resume(session.now)
    session.deliver_all()

    assert session.runner.heard == session.relay.sent
    assert session.relay.counts["frame"] == 10


def test_a_frame_that_the_broker_dropped_costs_no_time_and_at_most_a_window():
    session = Session()
    bulk(session, 10)
    for number in range(32):
        session.runner.put(Part("output", 1, b"%d" % number), session.now)
    session.runner.line.popleft()

    session.deliver_all()

    assert session.relay.heard == session.runner.sent
    assert session.runner.counts["frame"] <= 42 + 32
    assert session.relay.counts["ack"] < 20


def test_a_last_frame_that_is_lost_is_noticed_within_seconds():
    session = Session()
    session.runner.put(Part("result", 1), session.now)
    session.cut()

    session.settle(within_s=3)

    assert [part.kind for part in session.relay.heard] == ["result"]


def test_nobody_is_asked_again_and_again_while_the_line_is_away():
    session = Session()
    session.runner.put(Part("output", 1, bytes(DATA_BYTES)), session.now)

    session.pass_(600)

    assert session.runner.counts["frame"] == 1
    assert session.runner.counts["probe"] <= 600 / channels.LONGEST_PROBE_S + 5


def test_forged_acknowledgements_make_no_storm():
    session = Session()
    for number in range(20):
        session.runner.put(Part("output", 1, b"%d" % number), session.now)
    session.cut()
    forged = channels._ACK.pack(b"A", bytes.fromhex(SESSION), 0, 32, 20)

    for _ in range(1000):
        session.runner.hear(forged, session.now)

    assert session.runner.counts["frame"] <= 60


# -- what is no packet


def test_every_bit_of_a_frame_counts():
    sender, hearer = Session().relay, Session().runner
    sender.put(Part("request", 7, b"what is to be done"), 0.0)
    packet = sender.line.popleft()

    for bit in range(8 * len(packet)):
        spoiled = bytearray(packet)
        spoiled[bit // 8] ^= 1 << bit % 8
        try:
            part = hearer.channel.hear(bytes(spoiled), 0.0)
        except ChannelBroken:
            continue
        # Its number: then it is one that comes later.  Its sending: that alone is not sealed, and tells no content.
        assert part is None if 13 * 8 <= bit < 17 * 8 else 9 * 8 <= bit < 13 * 8
        hearer = Session().runner


@pytest.mark.parametrize(
    "packet",
    [b"", b"F", b"A", b"X" * 40, b"A" + bytes(19), b"A" + bytes(21), b"F" + bytes(15), b"F" + bytes(15) + b"\1" * 30],
)
def test_what_is_no_packet_breaks_the_session(packet: bytes):
    with pytest.raises(ChannelBroken):
        Session().runner.channel.hear(packet, 0.0)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(noise: bytes):
    for kind in (b"F", b"A", b""):
        with contextlib.suppress(ChannelBroken):
            assert Session().runner.channel.hear(kind + noise, 0.0) is None


def test_what_was_never_sent_cannot_be_acknowledged():
    forged = channels._ACK.pack(b"A", bytes.fromhex(SESSION), 1, 64, 0)

    with pytest.raises(ChannelBroken, match="not sent"):
        Session().runner.channel.hear(forged, 0.0)


def test_no_number_is_sealed_twice():
    used: list[int] = []

    class Noting(Seal):
        def close(self, number: int, plain: bytes, context: bytes) -> bytes:
            used.append(number)
            return super().close(number, plain, context)

    sent: list[bytes] = []
    channel = Channel(SESSION, out=Noting(b"d" * 32), in_=Seal(b"u" * 32), send=sent.append, now=0.0)
    for number in range(10):
        channel.put(Part("request", number), 0.0)
    for _ in range(50):
        channel.hear(channels._ACK.pack(b"A", bytes.fromhex(SESSION), 0, 32, len(sent)), 0.0)
        channel.resume(1.0)
        channel.tick(100.0)

    assert used == list(range(1, 11))
    assert len({packet[13:] for packet in sent if len(packet) > 20 and packet[:1] == b"F"}) == 10


def test_a_part_is_no_longer_than_it_may_be():
    with pytest.raises(ValueError, match="bytes in one part"):
        Session().relay.put(Part("input", 1, bytes(DATA_BYTES + 1)), 0.0)


def test_a_packet_tells_its_session():
    side = Session().relay
    side.put(Part("ping", 0), 0.0)
    side.channel.resume(0.0)

    assert {session_of(packet) for packet in side.line} == {SESSION}
    assert session_of(b"F1234") == ""
