"""Processors."""

import pytest
from tests.agent.collectors.trees import deny, psutil_says, stat, write

from annexfleet_agent.collectors import cpu


@pytest.fixture(autouse=True)
def four(proc, monkeypatch):
    psutil_says(monkeypatch, cpu_count=4)


def test_the_share_is_that_of_the_time_between_two_passes(tmp_path):
    write(tmp_path, stat(busy=1000, idle=9000))
    collector = cpu.collector()
    first = collector.collect()

    write(tmp_path, stat(busy=1030, idle=9070))
    second = collector.collect()

    assert first.readings == {"": {"cpu_count": 4}}
    assert second.readings == {"": {"cpu_count": 4, "cpu_used_ratio": pytest.approx(0.3)}}
    assert not second.problems


def test_time_spent_waiting_for_a_disk_is_idle_time(tmp_path):
    write(tmp_path, stat(busy=0, idle=0))
    collector = cpu.collector()
    collector.collect()

    write(tmp_path, stat(busy=20, idle=60, waiting=20))

    assert collector.collect().readings[""]["cpu_used_ratio"] == pytest.approx(0.2)


def test_a_clock_of_ticks_that_stands_still_gives_no_share(tmp_path):
    write(tmp_path, stat(busy=1, idle=1))
    collector = cpu.collector()
    collector.collect()

    report = collector.collect()

    assert "cpu_used_ratio" not in report.readings[""]


def test_android_denies_it_and_the_count_is_told_all_the_same(tmp_path, monkeypatch):
    write(tmp_path, stat(busy=1, idle=1))
    deny(monkeypatch, tmp_path, "/proc/stat")

    report = cpu.collector().collect()

    assert report.readings == {"": {"cpu_count": 4}}
    assert report.codes() == {"": {"cpu_used_ratio": "denied"}}


def test_nonsense_is_a_problem_of_this_metric_only(tmp_path):
    write(tmp_path, {"/proc/stat": "intr 5\n"})

    assert cpu.collector().collect().codes() == {"": {"cpu_used_ratio": "failed"}}
