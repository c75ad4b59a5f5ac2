"""Fixtures for every area: databases, what Ansible wants executed; in what order; and how hypothesis behaves."""

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import (
    database_url,
    empty_database_url,
    empty_engine,
    engine,
    postgres_server,
    postgres_template,
    sqlite_engine,
    sqlite_template,
)
from tests.recorded import recorded

__all__ = [
    "database_url",
    "empty_database_url",
    "empty_engine",
    "engine",
    "postgres_server",
    "postgres_template",
    "recorded",
    "sqlite_engine",
    "sqlite_template",
]

# Several tests run beside each other on two cores: how long drawing takes says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_FIRST = ("tests/playbooks/", "tests/flow/", "tests/controller/rollouts/", "tests/agent/printers/", "tests/house/")
"""Where single tests take seconds.  Begun last, one of these files would keep one worker busy while the other idles."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms with long tests go first; within a room the order stays."""
    ranks = {room: place for place, room in enumerate(_FIRST)}
    items.sort(
        key=lambda item: next((rank for room, rank in ranks.items() if item.nodeid.startswith(room)), len(ranks))
    )
