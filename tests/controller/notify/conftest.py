"""Fixtures for tests of notices."""

import pytest
from sqlalchemy import Engine

from annexfleet_controller.store.tables import Base


@pytest.fixture
def engine(engine: Engine) -> Engine:
    """A database of each kind with the tables of notices."""
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def sqlite_engine(sqlite_engine: Engine) -> Engine:
    """SQLite with the tables of notices."""
    Base.metadata.create_all(sqlite_engine)
    return sqlite_engine
