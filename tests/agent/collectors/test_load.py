"""Load."""

import os

from tests.agent.collectors.trees import WINDOWS, counter_computer, tree

from annexfleet_agent.collectors import load


def test_the_load_is_shared_among_the_processors(tmp_path):
    counter_computer(tmp_path)

    report = load.collector(tree(tmp_path, {})).collect()

    assert report.readings == {"": {"load_per_cpu_ratio": 0.2}}


def test_windows_has_no_load(monkeypatch):
    monkeypatch.delattr(os, "getloadavg")

    assert load.collector(WINDOWS).collect().codes() == {"": {"load_per_cpu_ratio": "unsupported"}}
