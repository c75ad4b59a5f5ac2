"""Batteries and mains."""

from types import SimpleNamespace

import psutil
import pytest
from tests.agent.collectors.trees import deny, psutil_says, supply, tree

from annexfleet_agent.collectors import battery


def collect(tmp_path, files):
    return battery.collector(tree(tmp_path, files)).collect()


def test_a_desktop_has_nothing_to_report(tmp_path):
    report = collect(tmp_path, supply("AC", "Mains", online=1))

    assert not report.readings
    assert not report.problems


def test_a_battery_with_its_wear(tmp_path):
    files = {
        **supply("BAT0", "Battery", capacity=80, status="Discharging", cycle_count=312),
        **supply("BAT0", "Battery", charge_full=40, charge_full_design=50),
        **supply("AC", "Mains", online=0),
    }

    report = collect(tmp_path, files)

    assert report.readings == {
        "": {
            "battery_charge_ratio": 0.8,
            "battery_on_mains": 0,
            "battery_health_ratio": 0.8,
            "battery_cycles_count": 312,
        }
    }


def test_two_packs_count_as_one_battery(tmp_path):
    files = {
        **supply("BAT0", "Battery", capacity=100, status="Full", energy_full=30),
        **supply("BAT1", "Battery", capacity=20, status="Charging", energy_full=10),
    }

    report = collect(tmp_path, files)

    assert report.readings[""] == {"battery_charge_ratio": pytest.approx(0.8), "battery_on_mains": 1}


def test_the_battery_of_a_mouse_is_not_the_devices(tmp_path):
    assert not collect(tmp_path, supply("mouse", "Battery", capacity=50, scope="Device")).readings


@pytest.mark.parametrize(
    ("status", "on_mains"), [("Charging", 1), ("Full", 1), ("Not charging", 1), ("Discharging", 0), ("Unknown", None)]
)
def test_mains_from_the_batterys_word_where_no_mains_is_listed(tmp_path, status, on_mains):
    report = collect(tmp_path, supply("BAT0", "Battery", capacity=50, status=status))

    assert report.readings[""].get("battery_on_mains") == on_mains
    assert report.codes() == ({} if on_mains is not None else {"": {"battery_on_mains": "unsupported"}})


def test_charge_from_amounts_where_there_is_no_percentage(tmp_path):
    report = collect(tmp_path, supply("BAT0", "Battery", status="Full", energy_now=30, energy_full=40))

    assert report.readings[""]["battery_charge_ratio"] == 0.75


def test_android_without_termux_is_denied(tmp_path, monkeypatch):
    collector = battery.collector(tree(tmp_path, supply("BAT0", "Battery", capacity=50)))
    deny(monkeypatch, tmp_path, "/sys/class/power_supply")

    assert collector.collect().codes() == {"": {"battery_charge_ratio": "denied", "battery_on_mains": "denied"}}


def test_termux_tells_charge_and_mains(tmp_path):
    told = {"percentage": 63, "plugged": "PLUGGED_AC", "status": "CHARGING", "cycle": 120}

    collector = battery.collector(tree(tmp_path, {}), termux=lambda: told)

    assert collector.blocking
    assert collector.collect().readings == {
        "": {"battery_charge_ratio": 0.63, "battery_on_mains": 1, "battery_cycles_count": 120}
    }


def test_termux_that_answers_something_else_is_a_problem(tmp_path):
    report = battery.collector(tree(tmp_path, {}), termux=lambda: {"API_ERROR": "no app"}).collect()

    assert set(report.codes()[""].values()) == {"failed"}


def test_where_linux_does_not_run_psutil_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "LINUX", False)
    psutil_says(monkeypatch, sensors_battery=SimpleNamespace(percent=55, power_plugged=None))

    assert battery.collector(tree(tmp_path, {})).collect().readings == {"": {"battery_charge_ratio": 0.55}}
