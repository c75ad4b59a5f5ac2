"""All collectors together: they speak the catalogue's language, and none spoils another."""

import subprocess
import sys

import pytest
from tests.agent.collectors.trees import PSUTIL, HandClock, counter_computer, deny, process, psutil_says, tablet, write

from annexfleet_agent import collectors
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.protocol.metrics import CATALOGUE, COLLECTORS
from annexfleet_agent.settings import Collecting, PortalCheck, Printing, Settings

ALONE = {"updates", "printers", "queues"}
"""These talk to programs or servers of the real machine, and have tests of their own."""


@pytest.fixture
def simulated(proc, monkeypatch):
    psutil_says(monkeypatch, **PSUTIL)


def passes(root, clock=None, **settings):
    """Reports by collector, of the second of two passes 30 s apart."""
    clock = clock or HandClock()
    settings = Settings(printing=Printing(cups=""), **settings)
    all_of = [one for one in collectors.all_of(settings, clock, root) if one.name not in ALONE]
    for one in all_of:
        one.collect()
    clock.forward(30)
    return {one.name: one.collect() for one in all_of}


def assert_speaks_the_catalogue(name: str, report: Report) -> None:
    for of in report.readings.values():
        for metric, value in of.items():
            assert CATALOGUE[metric].collector == name
            expected = {"state": str, "states": list}.get(CATALOGUE[metric].kind, (int, float))
            assert isinstance(value, expected), metric
            if CATALOGUE[metric].unit == "bool":
                assert value in {0, 1}, metric
            if CATALOGUE[metric].unit == "ratio":
                assert 0 <= value <= 20, metric
            if CATALOGUE[metric].words:
                assert value in CATALOGUE[metric].words, metric
    for of in report.problems.values():
        for metric in of:
            assert metric == "*" or CATALOGUE[metric].collector == name


@pytest.mark.parametrize("machine", [counter_computer, tablet, lambda root: root])
def test_every_reading_stands_in_the_catalogue_under_its_collector(simulated, tmp_path, machine):
    (tmp_path / "proc").mkdir()
    settings = {
        "collectors": Collecting(processes=["kiosk"]),
        "portal": [PortalCheck(name="p", url="http://127.0.0.1:1/", timeout_s=1)],
    }

    for name, report in passes(machine(tmp_path), **settings).items():
        assert_speaks_the_catalogue(name, report)


def test_this_very_machine_speaks_the_catalogue_too():
    settings = Settings(printing=Printing(cups=""))
    for one in collectors.all_of(settings, SystemClock()):
        if one.name not in ALONE:
            one.collect()
            assert_speaks_the_catalogue(one.name, one.collect())


def test_every_collector_of_the_catalogue_is_written_out_once():
    names = [one.name for one in collectors.all_of(Settings(), SystemClock())]

    assert len(names) == len(set(names))
    assert set(COLLECTORS) - {"queues"} <= set(names)  # queues come in only where agent.toml names a source


def test_a_tablet_says_all_that_a_tablet_can_say(simulated, tmp_path):
    reports = passes(tablet(tmp_path))

    told = {metric for report in reports.values() for of in report.readings.values() for metric in of}
    assert told >= {
        *("cpu_count", "load_per_cpu_ratio", "memory_used_ratio", "swap_used_ratio", "disk_used_ratio"),
        *("disk_wear_ratio", "network_received_bytes_per_second", "wifi_signal_dbm", "battery_charge_ratio"),
        *("battery_on_mains", "battery_health_ratio", "temperature_celsius", "uptime_seconds", "reboot_required"),
        *("agent_memory_bytes",),
    }


def test_a_desktop_without_a_battery_makes_no_noise(simulated, tmp_path):
    reports = passes(counter_computer(tmp_path))

    assert not reports["battery"].readings
    unhappy = {name for name, report in reports.items() if report.problems}
    assert unhappy == {"clock", "units"}  # a simulated machine has no kernel to ask, and this one no systemd


def test_android_denies_nearly_everything_and_each_field_says_so_alone(simulated, tmp_path, monkeypatch):
    write(tablet(tmp_path), process(1, "init"))
    deny(monkeypatch, tmp_path, "/proc/stat", "/proc/net", "/proc/1", "/sys/class")
    psutil_says(monkeypatch, sensors_temperatures={})  # psutil passes over what it may not read

    reports = passes(tmp_path, collectors=Collecting(processes=["kiosk"]))

    assert reports["cpu"].codes() == {"": {"cpu_used_ratio": "denied"}}
    assert reports["battery"].codes()[""]["battery_charge_ratio"] == "denied"
    assert not reports["temperature"].readings
    assert reports["network"].codes()[""]["network_link_up"] == "denied"
    assert reports["processes"].codes() == {"process:kiosk": {"process_running": "denied"}}
    assert reports["load"].readings[""]["load_per_cpu_ratio"] == 0.2
    assert reports["memory"].readings[""]["memory_used_ratio"] == 0.25
    assert reports["uptime"].readings[""]["uptime_seconds"] > 0
    assert "disk_used_ratio" in reports["disk"].readings["disk:/"]


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "\x00\xff",
        "7 7 7\n" * 3,
        "cpu x y z w\n",
        "a: 1 2 3\n" * 5,
        "\n\nwlan0: 0 loud loud loud\n",
        "a: b: c\n" * 5,
    ],
)
def test_files_full_of_nonsense_spoil_only_what_needed_them(simulated, tmp_path, nonsense):
    tablet(tmp_path)
    for path in [*tmp_path.glob("proc/*"), *tmp_path.glob("proc/net/*"), *tmp_path.glob("sys/class/*/*/*")]:
        if path.is_file():
            path.write_text(nonsense)

    for name, report in passes(tmp_path, collectors=Collecting(processes=["kiosk"])).items():
        assert_speaks_the_catalogue(name, report)


def test_what_agent_toml_disables_does_not_run():
    settings = Settings(collectors=Collecting(disabled=["battery", "mine"]))
    mine = Collector(name="mine", collect=Report)

    names = {one.name for one in collectors.all_of(settings, SystemClock(), extra=[mine])}

    assert not names & {"battery", "mine"}


def test_one_handed_in_takes_the_place_of_its_name():
    mine = Collector(name="battery", collect=Report)

    (battery,) = [one for one in collectors.all_of(Settings(), SystemClock(), extra=[mine]) if one.name == "battery"]

    assert battery is mine


def test_the_heavy_modules_stay_out():
    script = """
import sys
from pathlib import Path
from annexfleet_agent import collectors
from annexfleet_agent.clock import SystemClock
from annexfleet_agent.collectors import inventory
from annexfleet_agent.settings import Settings
for one in collectors.all_of(Settings(), SystemClock()):
    if not one.blocking or one.name in {"disk", "portal"}:
        one.collect()
inventory.take()
heavy = {"asyncio", "http.client", "email", "urllib.request", "cryptography", "dataclasses"}
print(sorted(heavy & set(sys.modules)))
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
