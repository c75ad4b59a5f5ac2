"""The stage that tests of runs play on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.rollouts import stage as stages


@pytest.fixture
def stage(sqlite_engine: Engine, tmp_path: Path) -> Iterator[stages.Stage]:
    """Three devices, all of them this machine."""
    made = stages.make(tmp_path, sqlite_engine)
    yield made
    made.end()
