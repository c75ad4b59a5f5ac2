"""Fixtures of the tests that run Ansible on devices."""

from collections.abc import Iterator

import pytest
from tests.playbooks.devices.fleet import Fleet, rights


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet without devices yet, of one file of tests; skips where none can be made."""
    reason = rights()
    if reason:
        pytest.skip(reason)
    with Fleet(tmp_path_factory.mktemp("devices")) as made:
        yield made
