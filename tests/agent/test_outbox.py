import logging
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annexfleet_agent.outbox import Outbox, OutboxBusy
from annexfleet_agent.pending import UNNUMBERED
from annexfleet_agent.protocol import messages, wire

MB = 1_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path):
    outbox = opened(path)
    yield outbox
    outbox.close()


def opened(path, *, max_bytes=MB, boot_id="boot", owner=""):
    return Outbox(path, max_bytes=max_bytes, boot_id=boot_id, owner=owner)


def beat(at=1000.0, size=0):
    return messages.Beat(seq=UNNUMBERED, at=at, seconds=300, numbers={"x" * size: {"cpu_used_ratio": 0.5}})


def change(at=1000.0, collector="cpu", size=0):
    return messages.Change(seq=UNNUMBERED, at=at, collector=collector, readings={"x" * size: {"cpu_count": 2}})


def receipt(at=1000.0):
    return messages.Receipt(seq=UNNUMBERED, at=at, command_id="c", outcome="refused")


def inventory(at=1000.0):
    return messages.Inventory(seq=UNNUMBERED, at=at, digest="d")


def waiting(outbox):
    return [(item.seq, item.kind) for item in outbox.first(1_000_000)]


def accounted_for(outbox):
    """Every number that is stored or told to be missing."""
    seqs = set()
    for item in outbox.first(1_000_000):
        seqs.add(item.seq)
        if item.kind == "gap":
            for first, last in wire.decode_up("gap", item.payload()).ranges:
                seqs.update(range(first, last + 1))
    return seqs


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
        outbox.put(*[change()] * 100)
        assert accounted_for(outbox) == set(range(1, outbox.next_seq))
        assert list(outbox.gaps) == [seq for seq, kind in waiting(outbox) if kind == "gap"]
        most = max(most, len(outbox.gaps))
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


# -- a full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB of its own; needs root."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """Take all that is left on this disk."""
    hog = place / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return hog


def test_a_full_disk_cannot_stop_it_from_draining(small_disk):
    outbox = opened(small_disk / "outbox.db")
    outbox.put(*[beat(size=200) for _ in range(1000)])
    fill(small_disk)

    assert outbox.ack(900) == 900
    assert outbox.ack(1000) == 100
    assert outbox.count == 0
    outbox.close()


def test_on_a_full_disk_new_items_take_the_room_of_old_beats(small_disk):
    outbox = opened(small_disk / "outbox.db")
    outbox.put(*[beat(size=200) for _ in range(1000)])
    fill(small_disk)

    for number in range(600):
        outbox.put(change(collector=f"c{number}", size=300))

    kinds = [kind for _, kind in waiting(outbox)]
    assert kinds.count("change") == 600
    assert kinds.count("beat") < 1000
    assert accounted_for(outbox) == set(range(1, outbox.next_seq))
    outbox.close()


def test_what_finds_no_room_at_all_is_told_when_there_is_room_again(small_disk):
    outbox = opened(small_disk / "outbox.db")
    outbox.put(receipt())
    hog = fill(small_disk)
    while outbox.trouble != "disk_full":
        outbox.put(change(collector=f"c{outbox.next_seq}", size=3000))
        fill(small_disk)
    lost_upto = outbox.next_seq - 1

    hog.unlink()
    outbox.put(beat())

    assert outbox.trouble == ""
    assert accounted_for(outbox) == set(range(1, outbox.next_seq))
    assert lost_upto not in {seq for seq, _ in waiting(outbox)}
    outbox.close()


def test_it_opens_on_a_full_disk(small_disk):
    outbox = opened(small_disk / "outbox.db")
    outbox.put(*[beat(size=200) for _ in range(500)])
    outbox.close()
    fill(small_disk)

    outbox = opened(small_disk / "outbox.db")
    assert outbox.count == 500
    assert outbox.ack(500) == 500
    outbox.close()


# -- kill -9


def test_what_was_put_survives_kill_9(path):
    """Killed 25 times at random moments: what `put` had returned for is there, unless an acknowledgement covers it."""
    rng = random.Random(7)
    installs, upto, told = set(), 0, 0
    for _ in range(25):
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("outbox_filler.py"), path, str(MB)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(rng.randint(1, 60))]
        child.kill()
        lines += child.stdout.read().splitlines()
        child.stdout.close()
        child.wait()
        for line in lines:
            word, *numbers = line.split()
            if word == "install":
                installs.add(numbers[0])
            elif word == "put":
                assert int(numbers[0]) > told, "a number was given twice"
                told = int(numbers[-1])
            elif word == "ack":
                upto = max(upto, int(numbers[0]))

        outbox = opened(path)
        stored = accounted_for(outbox)
        assert set(range(upto + 1, told + 1)) <= stored
        assert outbox.next_seq > told
        told = outbox.next_seq - 1
        outbox.close()

    assert len(installs) == 1
    assert told > 200


def test_nothing_is_stored_half(path):
    """A transaction that a kill cut off leaves no trace: sqlite3 in another process sees a sound file."""
    child = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("outbox_filler.py"), path, str(MB)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for _ in range(30):
        child.stdout.readline()
    child.kill()
    child.wait()
    child.stdout.close()

    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
