"""Rollouts under way: waves, devices that are away, a stop, a pause, an abort, and what is found at the end."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.rollouts.rolling import Province


@pytest.fixture
def province(engine: Engine, tmp_path: Path) -> Province:
    return Province(tmp_path, engine)


def test_a_rollout_goes_wave_by_wave_to_its_end(province: Province):
    province.annex("berkane-1", 3)
    province.annex("berkane-2", 3)
    id_ = province.started()

    found = province.roll(id_)

    assert (found.state, found.ended_at is not None) == ("done", True)
    assert set(province.states(id_).values()) == {"succeeded"}
    assert [kind for kind in province.story(id_) if kind not in {"gate", "begun"}] == [
        "created", "submitted", "approved", "started", "wave", "soaking", "wave", "soaking", "done"
    ]  # fmt: skip
    row = province.targets(id_)[1]
    assert (row.before, row.after) == ({"agent_version": "1.0"}, {"agent_version": "2.0"})
    assert sorted(number for _, number in province.begun) == [1, 2, 3, 4, 5, 6]
