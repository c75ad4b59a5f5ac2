import logging
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.agent.outboxes import MB, accounted_for, beat, change, inventory, opened, receipt, waiting

from annexfleet_agent.outbox import OutboxBusy
from annexfleet_agent.protocol import wire


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path):
    outbox = opened(path)
    yield outbox
    outbox.close()


# -- what goes in comes out


def test_an_item_comes_out_as_it_went_in_with_its_number(outbox):
    said = change(at=1234.5678, collector="disk")

    [seq] = outbox.put(said)

    [item] = outbox.first(10)
    sent = wire.decode_up("change", item.payload())
    assert (seq, sent.seq, sent.at, sent.collector, sent.readings) == (1, 1, 1234.568, "disk", said.readings)


def test_numbers_rise_and_go_on_after_everything_left_and_a_restart(path):
    outbox = opened(path)
    assert outbox.put(beat(), change()) == [1, 2]
    outbox.ack(2)
    assert outbox.put(beat()) == [3]
    outbox.ack(3)
    outbox.close()

    outbox = opened(path)
    assert outbox.next_seq == 4
    assert outbox.put(beat()) == [4]
    outbox.close()


def test_a_restart_changes_nothing(path):
    outbox = opened(path)
    outbox.put(beat(), change(collector="cpu"), change(collector="disk"), receipt())
    before = waiting(outbox), outbox.install_id, outbox.used_ratio, outbox.newest_changes(), outbox.oldest_at()
    outbox.close()

    outbox = opened(path)
    assert before == (
        waiting(outbox), outbox.install_id, outbox.used_ratio, outbox.newest_changes(), outbox.oldest_at()
    )  # fmt: skip
    outbox.close()


def test_what_was_put_in_before_the_device_started_says_so(path):
    outbox = opened(path, boot_id="before")
    outbox.put(beat())
    outbox.close()
    outbox = opened(path, boot_id="now")
    outbox.put(beat())

    assert [wire.decode_up("beat", item.payload()).earlier_boot for item in outbox.first(10)] == [True, False]
    outbox.close()


def test_the_oldest_number_is_the_next_new_one_if_nothing_waits(outbox):
    assert outbox.oldest_seq() == 1
    outbox.put(beat(), beat(), beat())
    outbox.ack(1)
    assert outbox.oldest_seq() == 2
    outbox.ack(3)
    assert outbox.oldest_seq() == 4


def test_the_newest_change_of_each_collector_is_known(outbox):
    outbox.put(change(collector="cpu"), change(collector="disk"), change(collector="cpu"), beat())

    assert outbox.newest_changes() == [2, 3]
    outbox.ack(2)
    assert outbox.newest_changes() == [3]


# -- acknowledgements


def test_an_acknowledgement_lets_go_of_what_it_covers(outbox):
    outbox.put(*[beat() for _ in range(500)])

    assert outbox.ack(450) == 450
    assert [seq for seq, _ in waiting(outbox)] == list(range(451, 501))
    assert outbox.ack(450) == 0
    assert outbox.ack(500) == 50
    assert outbox.count == 0
    assert outbox.used_ratio == 0
    assert outbox.oldest_at() is None


def test_an_acknowledgement_of_another_installation_is_ignored(outbox):
    outbox.put(beat())

    assert outbox.ack(1, "another") == 0
    assert outbox.ack(1, outbox.install_id) == 1


def test_an_outbox_put_back_from_a_copy_begins_a_new_installation(outbox):
    """The controller's mark is beyond our numbers: what we would send next, it would take for repeats."""
    outbox.put(beat(), change(), beat())
    outbox.ack(1)
    before = outbox.install_id

    assert outbox.ack(90, before) == 0

    assert outbox.install_id != before
    assert waiting(outbox) == [(1, "change"), (2, "beat")]
    assert outbox.next_seq == 3


# -- bounds


def test_when_full_beats_go_first_and_receipts_last(path):
    outbox = opened(path, max_bytes=MB)
    outbox.put(receipt(), change(collector="cpu"), inventory())
    while outbox.used_ratio < 0.5:
        outbox.put(*[beat(size=100) for _ in range(50)])
    beats_before = outbox.count

    for _ in range(100):
        outbox.put(*[change(collector="disk", size=150) for _ in range(50)])

    kinds = {kind for _, kind in waiting(outbox)}
    assert beats_before > 100
    assert kinds == {"receipt", "change", "inventory", "gap"}
    assert (1, "receipt") in waiting(outbox)
    assert (2, "change") in waiting(outbox), "the newest of its collector outlives the superseded ones of another"
    assert outbox.used_ratio <= 1
    assert accounted_for(outbox) == set(range(1, outbox.next_seq))
    outbox.close()


def test_what_went_is_told_by_one_gap_with_counts(path):
    outbox = opened(path, max_bytes=MB)
    stored = 0
    while not any(kind == "gap" for _, kind in waiting(outbox)) or stored < 9000:
        outbox.put(*[beat(size=150) for _ in range(100)])
        stored += 100

    gaps = [item for item in outbox.first(1_000_000) if item.kind == "gap"]
    assert len(gaps) == 1
    gap = wire.decode_up("gap", gaps[0].payload())
    assert gap.lost == {"beat": stored - (outbox.count - 1)}
    assert accounted_for(outbox) == set(range(1, outbox.next_seq))
    outbox.close()


def test_gaps_are_as_few_as_hold_the_ranges_that_the_protocol_takes(path):
    """Every second item is let go, so that nothing can be joined; then the rest, so that all can."""
    outbox = opened(path, max_bytes=MB)
    while outbox.used_ratio < 0.9:
        outbox.put(*[change(), beat()] * 50)
    most = 0
    while any(kind == "beat" for _, kind in waiting(outbox)):
        for _ in range(7):  # to look at nine thousand items takes twenty times as long as to let some go
            outbox.put(*[change()] * 100)
            most = max(most, len(outbox.gaps))
        assert accounted_for(outbox) == set(range(1, outbox.next_seq))
        assert list(outbox.gaps) == [seq for seq, kind in waiting(outbox) if kind == "gap"]
    assert most > 2

    for _ in range(200):
        outbox.put(*[change()] * 100)

    assert accounted_for(outbox) == set(range(1, outbox.next_seq))
    assert len(outbox.gaps) <= 2
    assert outbox.used_ratio <= 1
    outbox.close()


def test_a_gap_that_may_have_been_sent_is_replaced_under_a_new_number(outbox):
    outbox.put(beat(), beat(), beat())
    outbox.give_up(1, at=5000)
    outbox.give_up(3, at=5001)

    [gap] = [item for item in outbox.first(10) if item.kind == "gap"]
    assert gap.seq == 5
    assert wire.decode_up("gap", gap.payload()).ranges == [(1, 1), (3, 4)]
    assert accounted_for(outbox) == {1, 2, 3, 4, 5}


def test_a_file_never_grows_beyond_its_cap(path):
    outbox = opened(path, max_bytes=MB)

    for _ in range(200):
        outbox.put(*[beat(size=200) for _ in range(50)])

    outbox.close()
    assert path.stat().st_size < 1.5 * MB


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("bcrga"), st.integers(0, 4000), st.integers(1, 60)), max_size=40))
def test_no_number_is_ever_forgotten(tmp_path_factory, acts):
    """Whatever happens: each number is stored, told in a gap, or acknowledged."""
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox, upto = opened(path, max_bytes=MB), 0
    for act, size, count in acts:
        if act == "a":
            upto = max(upto, min(outbox.next_seq - 1, upto + count))
            outbox.ack(upto)
        elif act == "g":
            items = outbox.first(1)
            if items:
                outbox.give_up(items[0].seq, at=1)
        else:
            item = {"b": beat(size=size), "c": change(size=size), "r": receipt()}[act]
            outbox.put(*[item] * count)

    assert accounted_for(outbox) | set(range(1, upto + 1)) == set(range(1, outbox.next_seq))
    assert outbox.used_ratio <= 1
    outbox.close()


# -- clocks


def test_when_the_clock_is_set_only_items_of_this_boot_move(path):
    outbox = opened(path, boot_id="before")
    outbox.put(beat(at=100))
    outbox.close()
    outbox = opened(path, boot_id="now")
    outbox.put(beat(at=200))

    outbox.shift(1_000_000.0)

    assert [item.at for item in outbox.first(10)] == [100, 1_000_200]
    outbox.close()


# -- what goes wrong


def test_a_second_agent_on_the_same_outbox_is_refused(path, outbox):
    with pytest.raises(OutboxBusy):
        opened(path)


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_moved_aside_and_a_new_installation_says_so(path, damage, caplog):
    outbox = opened(path)
    before = outbox.install_id
    outbox.put(*[beat() for _ in range(100)])
    outbox.close()
    path.write_bytes(damage)

    with caplog.at_level(logging.ERROR):
        outbox = opened(path)

    assert outbox.install_id != before
    assert outbox.put(beat()) == [1]
    if damage:
        assert outbox.trouble == "began_anew"
        assert "moved aside" in caplog.text
        assert path.with_suffix(".corrupt").read_bytes() == damage
    outbox.close()


def test_damage_found_while_running_begins_anew_too(path):
    outbox = opened(path)
    outbox.put(*[beat(size=500) for _ in range(500)])
    outbox.close()
    outbox = opened(path)
    with path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(random.Random(1).randbytes(4096 * 60))

    for _ in range(3):
        outbox.ack(outbox.next_seq - 1)
        outbox.put(beat())

    assert outbox.trouble == "began_anew" or outbox.count >= 1
    outbox.put(change())
    assert outbox.first(1_000)[-1].kind == "change"
    outbox.close()


def test_another_devices_outbox_is_not_sent_in_this_ones_name(path):
    outbox = opened(path, owner="d-one")
    outbox.put(beat())
    outbox.note("inventory", "digest")
    before = outbox.install_id
    outbox.close()

    outbox = opened(path, owner="d-two")

    assert (outbox.count, outbox.next_seq, outbox.noted("inventory")) == (0, 1, "")
    assert outbox.install_id != before
    outbox.close()


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path):
    with pytest.raises(OSError, match="outbox"):
        opened(tmp_path / "missing" / "outbox.db")


def test_words_are_remembered(path):
    outbox = opened(path)
    assert outbox.noted("inventory") == ""
    outbox.note("inventory", "one")
    outbox.note("inventory", "two")
    outbox.close()

    outbox = opened(path)
    assert outbox.noted("inventory") == "two"
    outbox.close()
