"""Processors."""

from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import WINDOWS, deny, psutil_is, stat, tree, write

from annexfleet_agent.collectors import cpu


def test_the_share_is_that_of_the_time_between_two_passes(tmp_path):
    collector = cpu.collector(tree(tmp_path, stat(busy=1000, idle=9000)))
    first = collector.collect()

    write(tmp_path, stat(busy=1030, idle=9070))
    second = collector.collect()

    assert first.readings == {"": {"cpu_count": 4}}
    assert second.readings == {"": {"cpu_count": 4, "cpu_used_ratio": 0.3}}
    assert not second.problems


def test_time_spent_waiting_for_a_disk_is_idle_time():
    assert cpu.parse("cpu  10 0 10 60 20 0 0 0 5 5\n") == (20, 100)


def test_a_clock_of_ticks_that_stands_still_gives_no_share(tmp_path):
    collector = cpu.collector(tree(tmp_path, stat(busy=1, idle=1)))
    collector.collect()

    report = collector.collect()

    assert "cpu_used_ratio" not in report.readings[""]


def test_android_denies_it_and_the_count_is_told_all_the_same(tmp_path, monkeypatch):
    collector = cpu.collector(tree(tmp_path, stat(busy=1, idle=1)))
    deny(monkeypatch, tmp_path, "/proc/stat")

    report = collector.collect()

    assert report.readings == {"": {"cpu_count": 4}}
    assert report.codes() == {"": {"cpu_used_ratio": "denied"}}


def test_nonsense_is_a_problem_of_this_metric_only(tmp_path):
    report = cpu.collector(tree(tmp_path, {"/proc/stat": "intr 5\n"})).collect()

    assert report.codes() == {"": {"cpu_used_ratio": "failed"}}


def test_on_windows_the_meaningless_first_answer_of_psutil_is_left_out(monkeypatch):
    answers = iter([0.0, 25.0])
    psutil_is(monkeypatch, SimpleNamespace(cpu_percent=lambda interval: next(answers)), cpu)
    collector = cpu.collector(WINDOWS)

    first, second = collector.collect(), collector.collect()

    assert "cpu_used_ratio" not in first.readings[""]
    assert second.readings[""]["cpu_used_ratio"] == 0.25


@pytest.mark.parametrize(("ranges", "count"), [("0", 1), ("0-3", 4), ("0-3,6,8-9", 7), ("", 0), ("x", 0), ("0-", 1)])
def test_processors_by_their_ranges(ranges, count):
    assert cpu.count_ranges(ranges) == count
