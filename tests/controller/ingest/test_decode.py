import gc
import tracemalloc

import pytest

from annexfleet_agent.protocol import topics, wire
from annexfleet_agent.protocol.messages import Change, Gap
from annexfleet_controller.ingest.decode import Aside, Heard, Received, decode

D = "d-" + "a" * 26


def heard(kind: topics.Up, json: bytes) -> Heard | Aside:
    return decode(Received(topics.up(D, kind), wire.pack(json), 0.0))


BOMBS = {
    "beat": b'{"seq":5,"at":1,"seconds":1,"numbers":{"":{%s}}}' % b",".join(b'"%x":1' % n for n in range(5_000)),
    "change": b'{"seq":5,"at":1,"collector":"x","readings":{"":{"a":[%s]}}}' % b",".join([b'""'] * 40_000),
    "inventory": b'{"seq":5,"at":1,"digest":"x","printers":[%s]}' % b",".join([b"{}"] * 160_000),
    "live": b'{"at":1,"readings":{"":{"a":[%s]}}}' % b",".join([b'""'] * 20_000),
    "hello": b'{"clock":1,"session_id":"s","boot_id":"b","install_id":"i","next_seq":1,"agent_version":"0",'
    b'"features":[%s]}' % b",".join([b'""'] * 20_000),
    "gap": b'{"seq":5,"at":1,"ranges":[],"lost":{%s}}' % b",".join(b'"%x":1' % n for n in range(5_000)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_kept_of_a_message_until_the_commit_is_not_what_it_inflates_to(kind: topics.Up):
    payload = wire.pack(BOMBS[kind])
    tracemalloc.start()
    try:
        kept = [decode(Received(topics.up(D, kind), payload, 0.0)) for _ in range(5)]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()

    assert all(isinstance(one, Heard) for one in kept)
    assert held < 4000


def test_a_message_weighs_what_it_was_decoded_from():
    json = BOMBS["inventory"]

    assert heard("inventory", json).weight == len(json)


def test_the_ranges_of_a_gap_are_kept_and_weigh_more():
    gap = Gap(seq=1, at=1, ranges=[(n, n) for n in range(3, 2003, 2)])

    one = decode(Received(topics.up(D, "gap"), wire.encode(gap), 0.0))

    assert isinstance(one, Heard)
    assert one.message == gap
    assert one.weight > 1000 * 100


def test_of_the_agents_own_readings_the_version_of_its_settings_is_kept():
    told = Change(seq=1, at=1, collector="agent", readings={"": {"agent_config_version": 7, "x": "y"}, "a": {"b": 1}})

    one = decode(Received(topics.up(D, "change"), wire.encode(told), 0.0))

    assert isinstance(one, Heard)
    assert one.message == Change(seq=1, at=1, collector="agent", readings={"": {"agent_config_version": 7}})


@pytest.mark.parametrize("payload", [b"", b"<html>", b"\x01\xff\xff", b"x" * 70_000, wire.pack(b" " * 2_000_000)])
def test_what_is_no_message_weighs_something_too(payload: bytes):
    one = decode(Received(topics.up(D, "beat"), payload, 0.0))

    assert isinstance(one, Aside)
    assert one.weight >= min(len(payload), 6) > 0 or one.weight > 60_000
