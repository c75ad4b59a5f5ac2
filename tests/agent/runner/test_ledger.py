import os
import sqlite3
import subprocess
import sys

import pytest

from annexfleet_agent.protocol import receipts
from annexfleet_agent.runner.ledger import Ledger, LedgerUnusable

NOW = 1_780_000_000.0


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def begun(ledger, sequence, command_id="c-1"):
    ledger.begin(sequence=sequence, issued_at=NOW + sequence, command_id=command_id, now=NOW)


def test_what_was_acted_upon_outlives_the_process(path):
    ledger = Ledger(path, now=NOW)
    begun(ledger, 7, "")
    ledger.close()

    again = Ledger(path, now=NOW)

    assert (again.sequence, again.newest_issued_at) == (7, NOW + 7)
    again.close()


def test_the_newest_moment_of_signing_never_goes_back(path):
    ledger = Ledger(path, now=NOW)
    begun(ledger, 9)
    ledger.begin(sequence=10, issued_at=NOW - 100, command_id="", now=NOW)

    assert ledger.newest_issued_at == NOW + 9
    ledger.close()


def test_a_receipt_is_kept_until_it_is_told_and_then_still_known(path):
    ledger = Ledger(path, now=NOW)
    begun(ledger, 1)
    kept = ledger.end("c-1", "done", "", now=NOW + 2)

    assert ledger.untold() == [kept]
    ledger.told("c-1")
    assert ledger.untold() == []
    assert ledger.receipt("c-1") == kept
    ledger.close()


def test_a_receipt_is_proven_by_the_commands_own_key_also_after_a_crash(path):
    key = b"k" * 32
    ledger = Ledger(path, now=NOW)
    ledger.begin(sequence=1, issued_at=NOW, command_id="c-1", now=NOW, receipt_key=key)
    done = ledger.end("c-1", "done", "x", now=NOW)
    assert done.proof == receipts.proof(key, "c-1", "done", "x")
    assert ledger.receipt("c-1") == done
    ledger.begin(sequence=2, issued_at=NOW, command_id="c-2", now=NOW, receipt_key=key)
    ledger.close()

    again = Ledger(path, now=NOW + 5)

    assert again.receipt("c-2").proof == receipts.proof(key, "c-2", "unknown", "interrupted") != done.proof
    again.close()
    assert key not in path.read_bytes(), "nobody needs it any more"


def test_a_command_whose_runner_was_killed_is_unknown_for_ever(path):
    ledger = Ledger(path, now=NOW)
    begun(ledger, 1)
    ledger.close()

    again = Ledger(path, now=NOW + 5)

    assert [(kept.command_id, kept.outcome) for kept in again.untold()] == [("c-1", "unknown")]
    again.close()
    assert Ledger(path, now=NOW + 9).receipt("c-1").at == NOW + 5


KILLED_AT = {
    "before begin": ("", None, 0),
    "after begin": ("begin", "unknown", 5),
    "after end": ("end", "done", 5),
    "after told": ("told", "done", 5),
}


@pytest.mark.parametrize("step", KILLED_AT)
def test_a_real_process_killed_at_each_step_leaves_the_truth(path, step):
    at, outcome, sequence = KILLED_AT[step]
    code = f"""
import os, signal
from pathlib import Path
from annexfleet_agent.runner.ledger import Ledger
def at(step):
    if step == {at!r}: os.kill(os.getpid(), signal.SIGKILL)
ledger = Ledger(Path({str(path)!r}), now={NOW})
at("")
ledger.begin(sequence=5, issued_at={NOW}, command_id="c-1", now={NOW})
at("begin")
ledger.end("c-1", "done", "", now={NOW})
at("end")
ledger.told("c-1")
at("told")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9

    ledger = Ledger(path, now=NOW)

    assert ledger.sequence == sequence
    found = ledger.receipt("c-1")
    assert (found.outcome if found else None) == outcome
    assert bool(ledger.untold()) == (at in ("begin", "end"))
    ledger.close()


def test_a_damaged_file_is_moved_aside_and_the_runner_goes_on(path):
    path.write_bytes(b"no database at all" * 500)

    ledger = Ledger(path, now=NOW)

    begun(ledger, 1)
    assert ledger.sequence == 1
    assert path.with_name("ledger.db.damaged").exists()
    ledger.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_said_so(tmp_path):
    tmp_path.chmod(0o500)

    with pytest.raises(LedgerUnusable):
        Ledger(tmp_path / "ledger.db", now=NOW)


def test_when_it_cannot_write_nothing_is_begun(path, monkeypatch):
    ledger = Ledger(path, now=NOW)
    begun(ledger, 1)
    ledger._db.execute("PRAGMA query_only = 1")  # as a full disk does: each write fails

    with pytest.raises(LedgerUnusable):
        begun(ledger, 2)

    assert ledger.sequence == 1
    ledger.close()


def test_refusals_are_counted_by_hour_and_by_reason_without_the_harmless(path):
    ledger = Ledger(path, now=NOW)
    ledger.count_refusals({"bad_signature": 2, "busy": 5}, now=NOW)
    ledger.count_refusals({"bad_signature": 1, "expired": 1}, now=NOW + 3600)

    hour = int(NOW // 3600)
    assert ledger.refused_by_hour() == {hour: 2, hour + 1: 2}
    assert ledger.refused_by_reason() == {"bad_signature": 3, "expired": 1, "busy": 5}

    ledger.count_refusals({"bad_signature": 1}, now=NOW + 40 * 3600)

    assert ledger.refused_by_hour() == {hour + 40: 1}
    assert ledger.refused_by_reason()["bad_signature"] == 4
    ledger.close()


def test_receipts_that_were_told_do_not_pile_up_for_ever(path):
    ledger = Ledger(path, now=NOW)
    ledger._db.execute("PRAGMA synchronous = OFF")  # else a thousand take their time
    for number in range(1, 1050):
        begun(ledger, number, f"c-{number}")
        ledger.end(f"c-{number}", "done", "", now=NOW)
        ledger.told(f"c-{number}")
    ledger.close()

    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM receipt").fetchone()[0] <= 1001
    db.close()
