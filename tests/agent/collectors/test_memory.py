"""Memory and swap."""

import pytest
from tests.agent.collectors.trees import meminfo, psutil_says, write

from annexfleet_agent.collectors import memory

pytestmark = pytest.mark.usefixtures("proc")


def collect(tmp_path, **kilobytes):
    write(tmp_path, meminfo(**kilobytes))
    return memory.collector().collect()


def test_what_can_be_given_to_a_new_program_is_not_used(tmp_path):
    report = collect(tmp_path, MemTotal=1000, MemFree=100, MemAvailable=750, SwapTotal=200, SwapFree=150)

    assert report.readings == {
        "": {"memory_used_ratio": 0.25, "memory_total_bytes": 1_024_000, "swap_used_ratio": 0.25}
    }
    assert not report.problems


def test_an_old_kernel_leaves_the_estimate_to_psutil(tmp_path):
    report = collect(tmp_path, MemTotal=1000, MemFree=100, Cached=100, SwapTotal=0, SwapFree=0)

    assert report.readings[""]["memory_used_ratio"] == pytest.approx(0.8)


def test_no_swap_is_nothing_to_report(tmp_path):
    report = collect(tmp_path, MemTotal=1000, MemFree=100, MemAvailable=500, SwapTotal=0, SwapFree=0)

    assert "swap_used_ratio" not in report.readings[""]
    assert not report.problems


def test_a_missing_file_costs_these_metrics():
    assert set(memory.collector().collect().codes()[""].values()) == {"unsupported"}


def test_a_swap_that_cannot_be_asked_does_not_cost_the_memory(tmp_path, monkeypatch):
    psutil_says(monkeypatch, swap_memory=PermissionError("/proc/vmstat"))

    report = collect(tmp_path, MemTotal=1000, MemFree=100, MemAvailable=400)

    assert report.readings == {"": {"memory_used_ratio": 0.6, "memory_total_bytes": 1_024_000}}
    assert report.codes() == {"": {"swap_used_ratio": "denied"}}
