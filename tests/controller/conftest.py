"""Fixtures for tests of the controller."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.controller.site import Site


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """The web application on an empty SQLite database."""
    return Site(sqlite_engine, tmp_path)
