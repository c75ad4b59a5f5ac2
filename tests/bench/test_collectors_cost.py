"""What one pass of the machine's own collectors costs, most of it in psutil; run with `pytest tests/bench -s`."""

import time

import pytest

from annexfleet_agent import collectors
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.settings import Printing, Settings

PASSES = 200
MOST_MS = 2.0


@pytest.mark.bench
def test_what_does_not_block_takes_under_two_milliseconds_a_pass():
    found = collectors.all_of(Settings(printing=Printing(cups="")), SystemClock())
    quick = [collector for collector in found if not collector.blocking]
    for collector in quick:
        collector.collect()

    spent = {}
    for collector in quick:
        began = time.process_time()
        for _ in range(PASSES):
            collector.collect()
        spent[collector.name] = (time.process_time() - began) / PASSES * 1000

    for name, milliseconds in spent.items():
        print(f"{name:12} {milliseconds:6.3f} ms of processor time a pass")
    print(f"{'all':12} {sum(spent.values()):6.3f} ms")
    assert sum(spent.values()) < MOST_MS
