"""What the agent tells of itself."""

from types import SimpleNamespace

from tests.agent.collectors.trees import HandClock, counter_computer

from annexfleet_agent.collectors import agent


def test_processor_time_memory_and_the_outbox(tmp_path, monkeypatch):
    spent = iter([(1.0, 0.5, 0.0, 0.0, 9.0), (1.2, 0.6, 0.0, 0.0, 9.0)])
    monkeypatch.setattr(agent.os, "times", lambda: next(spent))
    monkeypatch.setattr(agent.os, "sysconf", lambda name: 4096)
    clock = HandClock()
    collector = agent.collector(
        outbox_used_ratio=lambda: 0.25,
        outbox_oldest_age_seconds=lambda: 12.0,
        config_version=lambda: 7,
        clock=clock,
        root=counter_computer(tmp_path),
    )
    clock.forward(30)

    (readings,) = collector.collect().readings.values()

    assert round(readings.pop("agent_cpu_ratio"), 6) == 0.01
    assert readings == {
        "agent_memory_bytes": 5000 * 4096,
        "outbox_used_ratio": 0.25,
        "outbox_oldest_age_seconds": 12.0,
        "agent_config_version": 7,
    }


def test_what_the_running_agent_did_not_hand_in_is_not_reported(tmp_path):
    assert set(agent.collector(root=counter_computer(tmp_path)).collect().readings[""]) == {"agent_memory_bytes"}


def test_an_outbox_that_cannot_tell_costs_its_own_figure_only(tmp_path):
    def broken():
        raise RuntimeError("locked")

    report = agent.collector(
        outbox_used_ratio=broken, config_version=lambda: 1, root=counter_computer(tmp_path)
    ).collect()

    assert report.readings[""]["agent_config_version"] == 1
    assert report.codes() == {"": {"outbox_used_ratio": "failed"}}


def test_windows_tells_its_memory_through_psutil(monkeypatch):
    monkeypatch.setattr(agent, "tree_at", lambda root: SimpleNamespace(foreign=True))
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=123))
    monkeypatch.setattr(agent, "ask_psutil", lambda: SimpleNamespace(Process=lambda: process))

    assert agent.collector().collect().readings[""]["agent_memory_bytes"] == 123
