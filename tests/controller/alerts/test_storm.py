"""A small storm on a real database: one incident a cause, and few notices.  The large one is in tests/bench."""

from pathlib import Path

from tests.bench.storm import ALLOWED_IN_TEN_MINUTES, CONTACTS, storm


def test_a_storm_is_one_incident_a_cause_and_few_notices(tmp_path: Path):
    came = storm(tmp_path, 14)

    assert came.opened_in_a_minute > 70
    assert len(set(came.keys)) == len(came.keys)
    assert came.incidents == {
        "line_cut": came.lines_cut, "portal_down_everywhere": 1, "printer": came.printers_jammed,
    }  # fmt: skip
    assert len(came.notices) == CONTACTS
    assert max(came.notices.values()) <= ALLOWED_IN_TEN_MINUTES
