"""A storm of 5,000 alerts in a minute; run with `pytest -s -m bench tests/bench/test_storm.py`."""

from pathlib import Path

import pytest
from tests.bench.storm import ALLOWED_IN_TEN_MINUTES, CONTACTS, storm

ANNEXES = 960
ALERTS = 5_000


@pytest.mark.bench
def test_5000_alerts_in_a_minute_are_one_incident_a_cause_and_few_notices(tmp_path: Path):
    came = storm(tmp_path, ANNEXES)

    print(f"\n{came.opened_in_a_minute:,} alerts opened within a minute; new incidents: {dict(came.incidents)}")
    print(
        f"causes: {came.lines_cut} lines cut, the portal everywhere, {came.printers_jammed} printers;"
        f" notices queued for {CONTACTS} receivers: {sum(came.notices.values())},"
        f" allowed {CONTACTS * ALLOWED_IN_TEN_MINUTES} (each three and a digest in ten minutes)"
    )
    assert came.opened_in_a_minute >= ALERTS
    assert len(set(came.keys)) == len(came.keys)
    assert came.incidents == {
        "line_cut": came.lines_cut, "portal_down_everywhere": 1, "printer": came.printers_jammed,
    }  # fmt: skip
    assert max(came.notices.values()) <= ALLOWED_IN_TEN_MINUTES
