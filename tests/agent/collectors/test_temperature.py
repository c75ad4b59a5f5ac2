"""Temperatures."""

from types import SimpleNamespace

from tests.agent.collectors.trees import WINDOWS, deny, psutil_is, tree

from annexfleet_agent.collectors import temperature


def chip(number, name, *millidegrees):
    folder = f"/sys/class/hwmon/hwmon{number}"
    inputs = {f"{folder}/temp{at}_input": f"{value}\n" for at, value in enumerate(millidegrees, start=1)}
    return {f"{folder}/name": f"{name}\n", **inputs}


def zone(number, kind, millidegrees):
    folder = f"/sys/class/thermal/thermal_zone{number}"
    return {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{millidegrees}\n"}


def test_the_hottest_sensor_at_the_processor_counts(tmp_path):
    files = {**chip(0, "coretemp", 48000, 61000), **chip(1, "nvme", 75000), **zone(0, "acpitz", 90000)}

    report = temperature.collector(tree(tmp_path, files)).collect()

    assert report.readings == {"": {"temperature_celsius": 61.0}}


def test_a_board_without_such_a_chip_has_zones(tmp_path):
    files = {**chip(0, "nvme", 75000), **zone(0, "cpu-thermal", 52500), **zone(1, "battery", 99000)}

    assert temperature.collector(tree(tmp_path, files)).collect().readings == {"": {"temperature_celsius": 52.5}}


def test_what_a_missing_sensor_says_is_not_believed(tmp_path):
    report = temperature.collector(tree(tmp_path, chip(0, "k10temp", 0, -128000, 255000))).collect()

    assert not report.readings
    assert not report.problems


def test_a_virtual_machine_has_nothing_to_report(tmp_path):
    report = temperature.collector(tree(tmp_path, {})).collect()

    assert not report.readings
    assert not report.problems


def test_android_denies_it(tmp_path, monkeypatch):
    collector = temperature.collector(tree(tmp_path, zone(0, "cpu-thermal", 52500)))
    deny(monkeypatch, tmp_path, "/sys/class/thermal")

    assert collector.collect().codes() == {"": {"temperature_celsius": "denied"}}


def test_psutil_on_windows_lacks_the_very_function(monkeypatch):
    psutil_is(monkeypatch, SimpleNamespace(), temperature)

    assert temperature.collector(WINDOWS).collect().codes() == {"": {"temperature_celsius": "unsupported"}}
