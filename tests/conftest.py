"""Fixtures for every area: databases, what Ansible wants executed; in what order; what is left open; hypothesis."""

import gc
from collections.abc import Iterator

import pytest

from tests import drawing
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

drawing.register()

# Ten thousand tests and what they import stay to the end: nothing is gained by going through them again and again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left_open() -> Iterator[None]:
    """What a file of tests left open is told with its last test, not with one of another file, much later."""
    yield
    gc.collect()


_FIRST = ("tests/playbooks/", "tests/flow/", "tests/controller/rollouts/", "tests/agent/printers/", "tests/house/")
"""Where single tests take seconds.  Begun last, one of these files would keep one worker busy while the other idles."""


_ON_POSTGRESQL_A_TRIAL = (
    "tests/controller/notify/test_storm.py",
    "tests/controller/notify/test_send.py",
    "tests/controller/rollouts/test_conducting.py",
    "tests/controller/rollouts/test_desired_configuration.py",
    "tests/controller/rollouts/test_proposing.py",
    "tests/flow/test_nothing_is_lost.py",
)
"""Long, and what differs between the databases there is tried by `store/` and by the crash points on both."""


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what its command line does not want
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms with long tests go first; within a room the order stays."""
    for item in items:
        if item.nodeid.startswith(_ON_POSTGRESQL_A_TRIAL) and "[postgresql" in item.nodeid:
            item.add_marker(pytest.mark.trial)
    ranks = {room: place for place, room in enumerate(_FIRST)}
    items.sort(
        key=lambda item: next((rank for room, rank in ranks.items() if item.nodeid.startswith(room)), len(ranks))
    )
