"""Load."""

import psutil
from tests.agent.collectors.trees import psutil_says

from annexfleet_agent.collectors import load


def test_the_load_is_shared_among_the_processors(monkeypatch):
    psutil_says(monkeypatch, cpu_count=4, getloadavg=(0.8, 0.5, 0.4))

    assert load.collector().collect().readings == {"": {"load_per_cpu_ratio": 0.2}}


def test_a_system_without_a_load_average_is_unsupported(monkeypatch):
    monkeypatch.delattr(psutil, "getloadavg")

    assert load.collector().collect().codes() == {"": {"load_per_cpu_ratio": "unsupported"}}
