"""The outbox on a full disk, and killed."""

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.agent.outboxes import MB, accounted_for, beat, change, opened, receipt, waiting


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.db"


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
