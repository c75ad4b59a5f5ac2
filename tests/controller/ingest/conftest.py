"""An annex with three devices, on each database."""

import pytest
from sqlalchemy import Engine
from tests.controller.fleet import add_annex, add_devices


@pytest.fixture
def fleet(engine: Engine) -> Engine:
    add_annex(engine)
    add_devices(engine, 3)
    return engine
