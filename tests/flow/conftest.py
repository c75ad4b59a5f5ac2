"""Fixtures of the tests that use real processes."""

from collections.abc import Iterator

import pytest
from tests.flow.broker import Broker, running_broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A real mosquitto with the product's configuration, of this test alone."""
    with running_broker() as running:
        yield running
