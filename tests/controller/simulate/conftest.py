"""A small province at the beginning of a working day."""

from datetime import UTC, datetime

import pytest

from annexfleet_controller.simulate.province import Province, build

MONDAY_NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()
"""12:00 in the province, which keeps UTC since September 2026."""


@pytest.fixture
def province() -> Province:
    return build(3, 30, now=MONDAY_NOON)
