"""Precision and recall of incidents over a labelled week; run with `pytest -s -m bench tests/bench/test_week.py`."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.bench.week import report, run, scene


@pytest.mark.bench
def test_a_week_of_a_province_is_told_as_it_was(sqlite_engine: Engine, tmp_path: Path):
    passed = run.live_through(scene.WEEK, sqlite_engine, tmp_path)

    told = report.of(passed, sqlite_engine)

    report.show(told, passed)
    report.assert_bars(told)
    assert told.corrected >= 1, "a power cut that took the line along is known as what it was afterwards"
    assert told.muted, "what broke during the planned work is muted and not forgotten"
