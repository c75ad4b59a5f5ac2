"""Memory and swap."""

from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import WINDOWS, meminfo, psutil_is, tree

from annexfleet_agent.collectors import memory


def test_what_can_be_given_to_a_new_program_is_not_used(tmp_path):
    files = meminfo(MemTotal=1000, MemFree=100, MemAvailable=750, Buffers=5, Cached=5, SwapTotal=200, SwapFree=150)

    report = memory.collector(tree(tmp_path, files)).collect()

    assert report.readings == {
        "": {"memory_used_ratio": 0.25, "memory_total_bytes": 1_024_000, "swap_used_ratio": 0.25}
    }
    assert not report.problems


def test_an_old_kernel_leaves_the_estimate_to_us(tmp_path):
    report = memory.collector(tree(tmp_path, meminfo(MemTotal=1000, MemFree=100, Buffers=50, Cached=50))).collect()

    assert report.readings[""]["memory_used_ratio"] == pytest.approx(0.8)


def test_no_swap_is_nothing_to_report(tmp_path):
    report = memory.collector(
        tree(tmp_path, meminfo(MemTotal=1000, MemAvailable=500, SwapTotal=0, SwapFree=0))
    ).collect()

    assert "swap_used_ratio" not in report.readings[""]
    assert not report.problems


def test_a_missing_file_costs_these_metrics(tmp_path):
    report = memory.collector(tree(tmp_path, {})).collect()

    assert set(report.codes()[""].values()) == {"unsupported"}


def test_a_swap_that_cannot_be_asked_does_not_cost_the_memory(monkeypatch):
    def swap_memory():
        raise PermissionError("/proc/vmstat")

    fake = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(total=1000, available=400), swap_memory=swap_memory)
    psutil_is(monkeypatch, fake, memory)

    report = memory.collector(WINDOWS).collect()

    assert report.readings == {"": {"memory_used_ratio": 0.6, "memory_total_bytes": 1000}}
    assert report.codes() == {"": {"swap_used_ratio": "denied"}}
