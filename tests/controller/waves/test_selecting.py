"""Which devices a selector means."""

import pytest
from tests.controller.waves.provinces import candidate

from annexfleet_controller.waves.model import Selector
from annexfleet_controller.waves.selecting import chosen

DEVICES = [
    candidate(3, "kiosk", annex_id="b", tags=("pilot",), readiness="degraded"),
    candidate(1, annex_id="a", model="NUC", tags=("pilot", "south"), agent_version="0.1.0", readiness="ready"),
    candidate(2, annex_id="a", model="OptiPlex", agent_version="0.2.0", readiness="ready"),
    candidate(4, "server", annex_id="c", tags=("broken",)),
]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Selector(), [1, 2, 3, 4]),
        (Selector(annexes=("a", "c")), [1, 2, 4]),
        (Selector(annexes=("a",), models=("NUC",)), [1]),
        (Selector(roles=("kiosk", "server")), [3, 4]),
        (Selector(tags=("south", "broken")), [1, 4]),
        (Selector(tags=("pilot",), without_tags=("south",)), [3]),
        (Selector(without_tags=("pilot",)), [2, 4]),
        (Selector(devices=("d2", "d9")), [2]),
        (Selector(agent_versions=("0.1.0",)), [1]),
        (Selector(readiness=("degraded", "unknown")), [3, 4]),
        (Selector(annexes=("b",), roles=("server",)), []),
    ],
)
def test_those_that_fit_all_that_is_named(selector, expected):
    assert [device.number for device in chosen(DEVICES, selector)] == expected
