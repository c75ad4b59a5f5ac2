"""Uptime."""

from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import WINDOWS, HandClock, deny, psutil_is, tree

from annexfleet_agent.collectors import uptime


def test_the_start_is_told_by_the_devices_own_clock(tmp_path):
    collector = uptime.collector(tree(tmp_path, {"/proc/uptime": "3600.25 99.00\n"}), HandClock(now=1_800_000_000))

    assert collector.collect().readings == {"": {"uptime_seconds": 3600.25, "booted_at_seconds": 1_799_996_399.75}}


def test_android_denies_the_file_and_the_kernels_clock_tells(tmp_path, monkeypatch):
    collector = uptime.collector(tree(tmp_path, {"/proc/uptime": "1 1\n"}), HandClock())
    deny(monkeypatch, tmp_path, "/proc/uptime")

    report = collector.collect()

    assert report.readings[""]["uptime_seconds"] > 1
    assert not report.problems


def test_windows_tells_through_psutil(monkeypatch):
    psutil_is(monkeypatch, SimpleNamespace(boot_time=lambda: 1_799_999_000.0), uptime)

    report = uptime.collector(WINDOWS, HandClock(now=1_800_000_000)).collect()

    assert report.readings[""] == {"uptime_seconds": pytest.approx(1000), "booted_at_seconds": 1_799_999_000.0}
