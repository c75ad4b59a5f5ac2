"""Ansible's payloads, recorded once; a device to run them on."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.runner.payloads import PYTHON, Wanted, record
from tests.agent.runner.warming import Device


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Wanted]:
    pytest.importorskip("ansible", reason="ansible-core is not installed")
    if sys.platform != "linux" or not os.access(PYTHON, os.X_OK):
        pytest.skip(f"there is no {PYTHON}")
    return record(tmp_path_factory.mktemp("recorded"))


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
