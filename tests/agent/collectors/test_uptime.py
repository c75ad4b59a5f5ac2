"""Uptime."""

import pytest
from tests.agent.collectors.trees import HandClock, deny, stat, write

from annexfleet_agent.collectors import uptime

pytestmark = pytest.mark.usefixtures("proc")


def test_the_start_is_told_by_the_devices_own_clock(tmp_path):
    write(tmp_path, stat(busy=1, idle=1, booted_at=1_799_996_400))

    report = uptime.collector(HandClock(now=1_800_000_000)).collect()

    assert report.readings == {"": {"uptime_seconds": 3600, "booted_at_seconds": 1_799_996_400}}


def test_android_denies_the_file_and_the_kernels_clock_tells(tmp_path, monkeypatch):
    write(tmp_path, stat(busy=1, idle=1))
    deny(monkeypatch, tmp_path, "/proc/stat")

    report = uptime.collector(HandClock()).collect()

    assert report.readings[""]["uptime_seconds"] > 1
    assert not report.problems
