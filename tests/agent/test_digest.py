import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexfleet_agent.collectors.report import Report
from annexfleet_agent.digest import Digest, rounded
from annexfleet_agent.protocol import wire
from annexfleet_agent.protocol.messages import Summary
from annexfleet_agent.protocol.metrics import CATALOGUE


class Device:
    """A digest and its time."""

    def __init__(self):
        self.digest, self.mono, self.at = Digest(), 0.0, 1_795_400_000.0

    def report(self, collector, readings=None, problems=None, subject=""):
        self.mono += 30
        self.at += 30
        report = Report()
        for name, value in (readings or {}).items():
            report.put(subject, name, value)
        for name, code in (problems or {}).items():
            report.miss(subject, name, code)
        return self.digest.take(collector, report, at=self.at, mono=self.mono)

    def beat(self):
        return self.digest.beat(at=self.at, mono=self.mono)


@pytest.fixture
def device():
    return Device()


# -- changes


def test_the_first_report_is_told_whole_and_for_no_reason(device):
    change = device.report("memory", {"memory_used_ratio": 0.41, "memory_total_bytes": 8_000_000_000})

    assert change.because == []
    assert change.readings == {"": {"memory_used_ratio": 0.41, "memory_total_bytes": 8_000_000_000}}
    assert change.at == device.at


def test_a_number_that_only_moves_is_not_told(device):
    device.report("cpu", {"cpu_used_ratio": 0.1})

    assert device.report("cpu", {"cpu_used_ratio": 0.9}) is None


@pytest.mark.parametrize(
    ("collector", "metric", "before", "after", "is_told"),
    [
        ("cpu", "cpu_count", 4, 8, True),
        ("cpu", "cpu_count", 4, 4, False),
        ("reboot", "reboot_required", 0, 1, True),
        ("memory", "memory_total_bytes", 8e9, 8e9 + 15e6, False),
        ("memory", "memory_total_bytes", 8e9, 8e9 + 17e6, True),
        ("printers", "printer_state", "idle", "stopped", True),
        ("printers", "printer_state", "idle", "idle", False),
        ("printers", "printer_causes", ["media-jam", "cover-open"], ["cover-open", "media-jam"], False),
        ("printers", "printer_causes", ["media-jam"], [], True),
        ("printers", "printer_pages_count", 48_000, 48_049, False),
        ("printers", "printer_pages_count", 48_000, 48_050, True),
        ("uptime", "uptime_seconds", 10, 900_000, False),
        ("clock", "clock_synchronised", True, 1, False),
    ],
)
def test_what_is_told_at_once(device, collector, metric, before, after, is_told):  # noqa: PLR0917
    device.report(collector, {metric: before}, subject="x")

    change = device.report(collector, {metric: after}, subject="x")

    assert (change is not None) is is_told
    if is_told:
        assert change.because == [f"x {metric}"]


@pytest.mark.parametrize(
    ("metric", "collector", "course"),
    [
        # reached from below at 0.9, left below 0.85
        ("memory_used_ratio", "memory", [(0.8, False), (0.91, True), (0.89, False), (0.86, False), (0.84, True)]),
        # two levels: 0.9 and 0.97
        ("memory_used_ratio", "memory", [(0.8, False), (0.98, True), (0.95, False), (0.93, False), (0.91, True)]),
        # reached from above: a battery at 0.2 and 0.08, left 0.05 above
        ("battery_charge_ratio", "battery", [(0.5, False), (0.19, True), (0.22, False), (0.07, True), (0.26, True)]),
        ("wifi_signal_dbm", "network", [(-60, False), (-76, True), (-72, False), (-76, False), (-69, True)]),
        # people waiting: the first one is news, and so is an empty room
        ("queue_waiting_count", "queues", [(0, False), (1, True), (3, False), (0, True), (12, True), (10, False)]),
    ],
)
def test_a_level_that_is_crossed_is_told_once_however_it_trembles(device, metric, collector, course):
    device.report(collector, {metric: course[0][0]})

    told = [device.report(collector, {metric: value}) is not None for value, _ in course[1:]]

    assert told == [is_told for _, is_told in course[1:]]


def test_a_value_beyond_a_level_at_the_start_counts_as_told(device):
    device.report("memory", {"memory_used_ratio": 0.95})

    assert device.report("memory", {"memory_used_ratio": 0.94}) is None
    assert device.report("memory", {"memory_used_ratio": 0.5}) is not None


def test_a_reading_that_comes_goes_or_fails_differently_is_told(device):
    device.report("battery", {"battery_on_mains": 1})

    assert device.report("battery", {"battery_on_mains": 1, "battery_charge_ratio": 1}).because == [
        " battery_charge_ratio"
    ]
    assert device.report("battery", {"battery_on_mains": 1}).because == [" battery_charge_ratio"]
    failed = device.report("battery", {}, {"battery_on_mains": "denied"})
    assert failed.problems == {"": {"battery_on_mains": "denied"}}
    assert device.report("battery", {}, {"battery_on_mains": "denied"}) is None
    assert device.report("battery", {}, {"battery_on_mains": "timed_out"}) is not None


def test_a_change_carries_the_whole_collector_numbers_too(device):
    device.report("queues", {"queue_waiting_count": 0, "queue_counters_open_count": 2, "queue_stale": 0})

    change = device.report("queues", {"queue_waiting_count": 5, "queue_counters_open_count": 2, "queue_stale": 0})

    assert change.readings == {"": {"queue_waiting_count": 5, "queue_counters_open_count": 2, "queue_stale": 0}}
    assert change.because == [" queue_waiting_count"]


def test_the_whole_is_told_again_to_whom_it_is_new(device):
    device.report("cpu", {"cpu_count": 4, "cpu_used_ratio": 0.2})
    device.report("cpu", {"cpu_count": 4, "cpu_used_ratio": 0.3})

    change = device.digest.whole("cpu", at=device.at)

    assert (change.because, change.readings) == ([], {"": {"cpu_count": 4, "cpu_used_ratio": 0.3}})
    assert device.digest.whole("never-asked", at=device.at) is None
    assert device.report("cpu", {"cpu_count": 4, "cpu_used_ratio": 0.2}) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.1e15, -(10**16), "a word", None, ["words"]])
def test_what_is_no_number_is_dropped(device, value):
    change = device.report("cpu", {"cpu_used_ratio": value, "cpu_count": 4})

    assert change.readings == {"": {"cpu_count": 4}}


def test_readings_outside_the_catalogue_are_dropped_and_logged_once(device, caplog):
    for _ in range(3):
        device.report("cpu", {"horoscope": 7, "disk_used_ratio": 0.1, "cpu_count": 4})

    assert device.digest.live("cpu") == {"": {"cpu_count": 4}}
    assert caplog.text.count("horoscope") == 1
    assert caplog.text.count("disk_used_ratio") == 1


# -- beats


def test_a_beat_sums_up_what_moved(device):
    for value in (0.1, 0.3, 0.5, 0.3):
        device.report("cpu", {"cpu_used_ratio": value})

    beat = device.beat()

    assert beat.numbers == {"": {"cpu_used_ratio": Summary(last=0.3, min=0.1, mean=0.3, max=0.5)}}
    assert (beat.samples, beat.seconds, beat.at) == (4, 90, device.at)


def test_a_number_that_hardly_moved_stands_alone(device):
    for value in (0.0312, 0.0488, 0.0401):
        device.report("cpu", {"cpu_used_ratio": value})

    assert device.beat().numbers == {"": {"cpu_used_ratio": 0.04}}


def test_words_and_slow_numbers_are_in_no_beat(device):
    device.report("cpu", {"cpu_count": 4})
    device.report("reboot", {"reboot_required": 0})

    assert device.beat() is None


def test_a_beat_begins_where_the_last_one_ended(device):
    device.report("cpu", {"cpu_used_ratio": 0.9})
    device.beat()
    device.report("cpu", {"cpu_used_ratio": 0.1})

    beat = device.beat()

    assert beat.numbers == {"": {"cpu_used_ratio": 0.1}}
    assert beat.seconds == 30
    assert device.beat() is None


@given(st.sampled_from(sorted(CATALOGUE)), st.floats(-1e18, 1e18))
def test_rounding_keeps_what_the_catalogue_promises(name, value):
    metric = CATALOGUE[name]

    fine = rounded(value, metric)

    error = max(abs(value) * 10.0 ** (1 - metric.digits), 10.0**-metric.decimals)
    assert abs(fine - value) <= error * 1.0001
    assert isinstance(fine, int) == (fine == int(fine))


@given(
    st.dictionaries(
        st.sampled_from(sorted(CATALOGUE)),
        st.floats() | st.integers() | st.text(max_size=600) | st.lists(st.text(max_size=8), max_size=4) | st.booleans(),
        max_size=8,
    )
)
def test_whatever_is_read_what_is_made_of_it_can_be_sent(readings):
    device = Device()
    for name, value in readings.items():
        change = device.report(CATALOGUE[name].collector, {name: value})
        if change is not None:
            wire.decode_up("change", wire.encode(change))
    beat = device.beat()
    if beat is not None:
        wire.decode_up("beat", wire.encode(beat))
