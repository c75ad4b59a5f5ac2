"""A day of two annexes, from the first machine to the afternoon: what went wrong is told, and nothing else.

The same generator and the same bars as the week of tests/bench, short enough for a trial.
"""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.bench.week import report, run, scene


@pytest.mark.trial  # 40 s of processor time; the storm, the watcher and the replay are tried always
def test_a_day_of_two_annexes_is_told_as_it_was(sqlite_engine: Engine, tmp_path: Path):
    passed = run.live_through(scene.DAY, sqlite_engine, tmp_path)

    told = report.of(passed, sqlite_engine)

    report.show(told, passed)
    report.assert_bars(told)
    assert told.corrected == 1, "the power cut that took the line along was told as a line cut at first"
    scores = told.outcome.scores
    assert {"power_cut", "line_cut", "paper_jam", "unreachable", "device_offline"} <= scores.keys()
