"""A device to run modules on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.runner.warming import Device


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Used by one test after the other, as by one task after the other."""
    device = Device(tmp_path_factory.mktemp("device"))
    yield device
    device.close()


@pytest.fixture
def fresh_device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "device")
    yield device
    device.close()
