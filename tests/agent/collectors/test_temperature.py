"""Temperatures."""

import psutil
from tests.agent.collectors.trees import heat, psutil_says

from annexfleet_agent.collectors import temperature


def collect(monkeypatch, **celsius):
    psutil_says(monkeypatch, sensors_temperatures=heat(**celsius))
    return temperature.collector().collect()


def test_the_hottest_sensor_at_the_processor_counts(monkeypatch):
    report = collect(monkeypatch, coretemp=48.0, cpu_thermal=61.0, nvme=75.0, acpitz=90.0)

    assert report.readings == {"": {"temperature_celsius": 61.0}}


def test_a_board_without_such_a_chip_has_zones(monkeypatch):
    assert collect(monkeypatch, nvme=75.0, acpitz=52.5, battery=99.0).readings == {"": {"temperature_celsius": 52.5}}


def test_what_a_missing_sensor_says_is_not_believed(monkeypatch):
    report = collect(monkeypatch, k10temp=0.0, coretemp=-128.0, cpu_thermal=255.0)

    assert not report.readings
    assert not report.problems


def test_a_virtual_machine_has_nothing_to_report(monkeypatch):
    report = collect(monkeypatch)

    assert not report.readings
    assert not report.problems


def test_psutil_on_windows_lacks_the_very_function(monkeypatch):
    monkeypatch.delattr(psutil, "sensors_temperatures")

    assert temperature.collector().collect().codes() == {"": {"temperature_celsius": "unsupported"}}
