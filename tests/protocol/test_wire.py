import time
import zlib
from contextlib import suppress
from typing import get_args

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocol.messages_drawn import DOWN, UP, same

from annexfleet_agent.protocol import dictionaries, messages, topics, wire

_DRAWN = [*UP.items(), *DOWN.items()]


def _decode(kind: str, payload: bytes) -> object:
    return wire.decode_up(kind, payload) if kind in UP else wire.decode_down(kind, payload)


def _reason_or_none(kind: str, payload: bytes) -> str | None:
    try:
        _decode(kind, payload)
    except wire.Malformed as error:
        return error.reason
    return None


def _deflated(json: bytes, version: int = 1) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=dictionaries.BY_VERSION[1])
    return bytes([version]) + deflater.compress(json) + deflater.flush()


def test_every_kind_of_message_is_drawn_here():
    assert set(UP) == set(get_args(topics.Up))
    assert set(DOWN) == set(get_args(topics.Down)) - {"run"}  # whose packets are no JSON


@pytest.mark.parametrize(("kind", "drawn"), _DRAWN, ids=[kind for kind, _ in _DRAWN])
def test_what_was_encoded_is_decoded_the_same(kind, drawn):
    @given(drawn)
    def check(message):
        assert wire.kind_of(message) == kind
        assert same(_decode(kind, wire.encode(message)), message)

    check()


@pytest.mark.parametrize("kind", [*UP, *DOWN])
def test_hostile_bytes_are_malformed_and_nothing_worse(kind):
    @given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda tail: b"\x01" + tail))
    @example(b"")
    @example(b"\x01")
    @example(b"\x08{}")
    @example(b"{" * 100_000)
    @example(b'{"seq":1e400,"at":NaN}')
    @example(b'{"seq":' + b"9" * 5000 + b"}")
    @example(b'{"\xff\xfe":1}')
    @example(b'{"session_id":"\\ud800"}')
    @example(b"[" * 33 + b"]" * 33)
    @example(b"null")
    def check(payload):
        reason = _reason_or_none(kind, payload)
        assert reason is None or reason.isidentifier()

    check()


@given(UP["change"], st.integers(0, 300), st.integers(0, 255))
def test_a_bit_that_fell_over_is_malformed_or_still_a_message(message, where, value):
    payload = bytearray(wire.encode(message))
    payload[where % len(payload)] = value

    with suppress(wire.Malformed):
        assert isinstance(wire.decode_up("change", bytes(payload)), messages.Change)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"x" * (wire.MAX_PAYLOAD_BYTES + 1), "too_big"),
        (b"\x02abc", "unknown_encoding"),
        (b"\x01\xff\xff\xff", "not_deflate"),
        (_deflated(b'{"a":1}')[:-2], "not_deflate"),
        (_deflated(b'{"a":1}') + b"more", "not_deflate"),
        (_deflated(b" " * (wire.max_inflated_bytes("gone") + 1)), "inflates_too_far"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b'{"seq":', "not_json"),
        (b"{}", "not_a_message"),
        (b'{"session_id":"x","reason":"bored"}', "not_a_message"),
        (b'{"session_id":"' + b"x" * 65 + b'"}', "not_a_message"),
    ],
)
def test_the_reason_for_setting_a_message_aside(payload, reason):
    with pytest.raises(wire.Malformed) as malformed:
        wire.decode_up("gone", payload)

    assert malformed.value.reason == reason


def test_brackets_inside_words_are_no_depth():
    gone = wire.decode_up("gone", b'{"session_id":"' + b"[{" * 30 + b'"}')

    assert isinstance(gone, messages.Gone)


@pytest.mark.parametrize(("kind", "drawn"), _DRAWN, ids=[kind for kind, _ in _DRAWN])
def test_fields_of_later_versions_are_ignored(kind, drawn):
    @given(drawn)
    def check(message):
        fields = msgspec.json.decode(wire.unpack(wire.encode(message)))
        fields["of_a_later_version"] = {"deep": [1, 2, {"er": None}]}
        assert same(_decode(kind, msgspec.json.encode(fields)), message)

    check()


def test_an_item_of_the_smallest_kind_is_understood():
    """What version 1 requires; whatever is added later has to have a default."""
    smallest = {
        "hello": b'{"clock":1,"session_id":"s","boot_id":"b","install_id":"i","next_seq":1,"agent_version":"0"}',
        "beat": b'{"seq":1,"at":1,"seconds":300,"numbers":{}}',
        "change": b'{"seq":1,"at":1,"collector":"cpu","readings":{}}',
        "inventory": b'{"seq":1,"at":1,"digest":"d"}',
        "receipt": b'{"seq":1,"at":1,"command_id":"c","outcome":"done"}',
        "gap": b'{"seq":1,"at":1,"ranges":[]}',
        "live": b'{"at":1,"readings":{}}',
        "gone": b'{"session_id":"s"}',
        "ack": b'{"upto":0}',
        "config": b'{"version":1,"settings":{}}',
        "command": b'{"id":"c","action":"watch"}',
    }

    assert {kind for kind, payload in smallest.items() if _decode(kind, payload)} == {*UP, *DOWN}


@pytest.mark.parametrize("number", [b"1e16", b"-1e300", b"2e15", b"1e400", b"10000000000000000", b"9" * 400])
def test_numbers_out_of_all_proportion_are_no_message(number):
    assert _reason_or_none("change", b'{"seq":1,"at":1,"collector":"c","readings":{"":{"n":%b}}}' % number)
    assert _reason_or_none("beat", b'{"seq":1,"at":1,"seconds":1,"numbers":{"":{"n":%b}}}' % number)
    assert _reason_or_none("beat", b'{"seq":1,"at":1,"seconds":1,"numbers":{"":{"n":[0,0,0,%b]}}}' % number)


def test_a_gap_has_no_more_ranges_than_a_controller_keeps():
    def gap(ranges: int) -> bytes:
        return msgspec.json.encode({"seq": 1, "at": 1, "ranges": [[n, n] for n in range(2, 2 * ranges + 1, 2)]})

    assert _reason_or_none("gap", gap(messages.MAX_GAP_RANGES)) is None
    assert _reason_or_none("gap", gap(messages.MAX_GAP_RANGES + 1)) == "not_a_message"


@pytest.mark.parametrize(
    ("text", "outside"),
    [
        (rb'{"a[":"b","c":[1]}', b"{:,:[1]}"),
        (rb'["\"[",2]', b"[,2]"),
        (rb'["\\",[3]]', b"[,[3]]"),
        (rb'["\\\"[",4]', b"[,4]"),
        (rb'[5,"open [[[', b"[5,"),
        (rb'[6,"\"', b"[6,"),
    ],
)
def test_what_stands_outside_of_strings(text: bytes, outside: bytes):
    assert wire._without_strings(text) == outside


@pytest.mark.parametrize("filling", [b'"' + rb"\"" * 250_000, b'"' * 500_001, b"\\" * 500_000, b'"[' * 250_000])
def test_hostile_strings_cost_no_more_than_their_length(filling: bytes):
    """Where the time grew with the square of the length, these took minutes to hours."""
    payload = wire.pack(b"[" * 40 + b"]" * 40 + filling)
    assert len(payload) < 10_000

    began = time.process_time()
    assert _reason_or_none("inventory", payload)

    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("kind", "fits", "too_long"),
    [("beat", 60, 70), ("hello", 60, 70), ("change", 120, 130), ("inventory", 500, 520)],
)
def test_how_far_a_payload_may_inflate_depends_on_its_kind(kind, fits, too_long):
    smallest = {
        "beat": b'{"seq":1,"at":1,"seconds":300,"numbers":{}}',
        "hello": b'{"clock":1,"session_id":"s","boot_id":"b","install_id":"i","next_seq":1,"agent_version":"0"}',
        "change": b'{"seq":1,"at":1,"collector":"cpu","readings":{}}',
        "inventory": b'{"seq":1,"at":1,"digest":"d"}',
    }[kind]

    assert _reason_or_none(kind, _deflated(smallest + b" " * fits * 1024)) is None
    assert _reason_or_none(kind, _deflated(smallest + b" " * too_long * 1024)) == "inflates_too_far"


def test_what_we_packed_ourselves_may_be_longer():
    long = b"[" + b" " * 2 * wire.MAX_INFLATED_BYTES + b"]"

    assert wire.unpack_own(wire.pack(long)) == long
    assert wire.unpack_own(b"[]") == b"[]"
