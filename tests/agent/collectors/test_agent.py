"""What the agent tells of itself."""

import pytest
from tests.agent.collectors.trees import PAGE_BYTES, HandClock, counter_computer

from annexfleet_agent.collectors import agent


@pytest.fixture(autouse=True)
def machine(proc, tmp_path):
    counter_computer(tmp_path)


def test_processor_time_memory_and_the_outbox(monkeypatch):
    spent = iter([(1.0, 0.5, 0.0, 0.0, 9.0), (1.2, 0.6, 0.0, 0.0, 9.0)])
    monkeypatch.setattr(agent.os, "times", lambda: next(spent))
    clock = HandClock()
    collector = agent.collector(
        outbox_used_ratio=lambda: 0.25,
        outbox_oldest_age_seconds=lambda: 12.0,
        config_version=lambda: 7,
        clock=clock,
    )
    clock.forward(30)

    (readings,) = collector.collect().readings.values()

    assert round(readings.pop("agent_cpu_ratio"), 6) == 0.01
    assert readings == {
        "agent_memory_bytes": 5000 * PAGE_BYTES,
        "outbox_used_ratio": 0.25,
        "outbox_oldest_age_seconds": 12.0,
        "agent_config_version": 7,
    }


def test_what_the_running_agent_did_not_hand_in_is_not_reported():
    assert set(agent.collector().collect().readings[""]) == {"agent_memory_bytes"}


def test_an_outbox_that_cannot_tell_costs_its_own_figure_only():
    def broken():
        raise RuntimeError("locked")

    report = agent.collector(outbox_used_ratio=broken, config_version=lambda: 1).collect()

    assert report.readings[""]["agent_config_version"] == 1
    assert report.codes() == {"": {"outbox_used_ratio": "failed"}}
