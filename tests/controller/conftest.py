"""Fixtures for tests of the controller."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine
from tests.controller.site import Site

from annexfleet_controller.access import passwords

_OF_PASSWORDS_THEMSELVES = {"test_passwords.py", "test_many_sign_ins.py"}


@pytest.fixture(autouse=True, scope="module")
def _passwords_are_quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """A password is made to take a core a tenth of a second; that is tried where nothing else is."""
    with pytest.MonkeyPatch.context() as patched:
        if request.path.name not in _OF_PASSWORDS_THEMSELVES:
            quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
            patched.setattr(passwords, "_hasher", quick)
            patched.setattr(passwords, "_nobody", quick.hash("nobody"))
        yield


@pytest.fixture
def site(sqlite_engine: Engine, tmp_path: Path) -> Site:
    """The web application on an empty SQLite database."""
    return Site(sqlite_engine, tmp_path)
