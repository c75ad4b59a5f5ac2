"""The output of `annexfleet-agent check`."""

import json

import pytest

from annexfleet_agent import tables
from annexfleet_agent.collectors.report import Report


@pytest.fixture
def reports():
    cpu, disk, units, battery, printers = Report(), Report(), Report(), Report(), Report()
    cpu.put("", "cpu_used_ratio", 0.354)
    disk.put("disk:/", "disk_used_ratio", 0.971)
    disk.put("disk:/", "disk_free_bytes", 84_494_274_560)
    disk.miss("disk:/srv", "*", "timed_out", "it has not answered since an earlier pass")
    units.miss("", "units_failed", "unsupported", "NotImplementedError: systemd does not run this machine")
    printers.put("printer:office", "printer_causes", ["media_jam", "toner_low", "a_cause_with_a_long_name_" * 4])
    return {"cpu": cpu, "disk": disk, "units": units, "battery": battery, "printers": printers}


def test_readings_are_grouped_by_what_they_are_about(reports):
    text = tables.render(reports)

    assert [line for line in text.splitlines() if line and not line.startswith((" ", "Nothing"))] == [
        "this device",
        "disk:/",
        "disk:/srv",
        "printer:office",
    ]


def test_values_have_units_and_notes(reports):
    lines = [" ".join(line.split()) for line in tables.render(reports).splitlines()]

    assert "cpu_used_ratio 35.4 %" in lines
    assert "disk_used_ratio 97.1 % unusual" in lines
    assert "disk_free_bytes 84.5 GB" in lines
    assert "everything else - timed_out: it has not" in lines
    assert "units_failed - unsupported: systemd does" in lines
    assert lines[-1] == "Nothing to report: battery."


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_no_line_is_wider_than_the_screen(reports, width):
    text = tables.render(reports, width=width)

    assert max(map(len, text.splitlines())) <= max(60, width)


def test_a_wide_screen_has_room_for_the_meaning(reports):
    meaning = "Share of all processors' time"

    assert meaning in tables.render(reports, width=132)
    assert meaning not in tables.render(reports, width=80)


def test_json_has_base_units_and_the_reasons(reports):
    told = json.loads(tables.to_json(reports))

    assert told["disk"]["readings"]["disk:/"]["disk_used_ratio"] == 0.971
    assert told["disk"]["problems"]["disk:/srv"]["*"]["code"] == "timed_out"
    assert told["battery"] == {"readings": {}, "problems": {}}


@pytest.mark.parametrize(
    ("metric", "value", "told"),
    [
        ("cpu_used_ratio", 0.354, "35.4 %"),
        ("disk_free_bytes", 0, "0 B"),
        ("disk_free_bytes", 999_700, "1 MB"),
        ("disk_free_bytes", 2.5e15, "2500 TB"),
        ("network_sent_bytes_per_second", 1536, "1.54 kB/s"),
        ("network_link_bits_per_second", 1e9, "1 Gbit/s"),
        ("network_errors_per_second", 0.25, "0.25 /s"),
        ("portal_tls_seconds", 0.0123, "12.3 ms"),
        ("portal_total_seconds", 1.5, "1.5 s"),
        ("printer_oldest_job_age_seconds", 600, "10 min"),
        ("printer_oldest_job_age_seconds", 7260, "2 h 1 min"),
        ("uptime_seconds", 200_000, "2 d 7 h"),
        ("booted_at_seconds", 1_800_000_000.5, "2027-01-15 08:00 UTC"),
        ("temperature_celsius", 61, "61.0 °C"),
        ("wifi_signal_dbm", -56.0, "-56 dBm"),
        ("reboot_required", 1, "yes"),
        ("printer_pages_count", 1_234_567, "1234567"),
        ("units_failed", [], "none"),
        ("units_failed", ["a.service", "b.service"], "a.service, b.service"),
        ("printer_state", "idle", "idle"),
        ("a_metric_of_tomorrow", 1.5, "1.5"),
    ],
)
def test_values_as_a_person_says_them(metric, value, told):
    assert tables.human(metric, value) == told


@pytest.mark.parametrize(
    ("metric", "value", "unusual"),
    [
        ("memory_used_ratio", 0.06, False),
        ("memory_used_ratio", 0.9, True),
        ("disk_used_ratio", 0.01, False),
        ("disk_free_bytes", 9e12, False),
        ("disk_free_bytes", 1e9, True),
        ("temperature_celsius", 12.0, False),
        ("wifi_signal_dbm", -20, False),
        ("battery_charge_ratio", 0.1, True),
        ("network_link_up", 0, True),
    ],
)
def test_unusual_is_what_is_worse_than_usual(metric, value, unusual):
    report = Report()
    report.put("", metric, value)

    assert ("unusual" in tables.render({"x": report})) is unusual
