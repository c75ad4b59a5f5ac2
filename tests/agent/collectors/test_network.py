"""Links and Wi-Fi."""

from types import SimpleNamespace

import pytest
from tests.agent.collectors.trees import (
    HandClock,
    carriers,
    deny,
    link,
    net_dev,
    psutil_says,
    tree,
    wireless,
    write,
)

from annexfleet_agent.collectors import network


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture(autouse=True)
def links(proc, monkeypatch):
    psutil_says(monkeypatch, net_if_stats=carriers(eth0=1000, wg0=0, docker0=10000, wlan0=0))


def test_rates_are_those_of_the_time_between_two_passes(tmp_path, clock):
    files = {**link("eth0"), **net_dev(eth0=(1000, 500, 0))}
    collector = network.collector(tree(tmp_path, files), clock)
    first = collector.collect()

    clock.forward(10)
    write(tmp_path, net_dev(eth0=(6000, 1500, 20)))
    second = collector.collect()

    assert first.readings == {"net:eth0": {"network_link_up": 1, "network_link_bits_per_second": 1e9}}
    assert second.readings["net:eth0"] == {
        "network_link_up": 1,
        "network_link_bits_per_second": 1e9,
        "network_received_bytes_per_second": 500,
        "network_sent_bytes_per_second": 100,
        "network_errors_per_second": 2,
    }
    assert not second.problems


def test_counters_that_begin_anew_give_no_rate(tmp_path, clock):
    collector = network.collector(tree(tmp_path, {**link("eth0"), **net_dev(eth0=(1000, 500, 0))}), clock)
    collector.collect()

    clock.forward(10)
    write(tmp_path, net_dev(eth0=(10, 500, 0)))

    assert "network_received_bytes_per_second" not in collector.collect().readings["net:eth0"]


def test_a_link_without_carrier_is_down_and_has_no_rates(tmp_path, clock, monkeypatch):
    psutil_says(monkeypatch, net_if_stats=carriers(eth0=None))
    collector = network.collector(tree(tmp_path, {**link("eth0"), **net_dev(eth0=(1, 1, 0))}), clock)
    collector.collect()

    clock.forward(10)

    assert collector.collect().readings == {"net:eth0": {"network_link_up": 0}}


def test_bridges_and_loopback_are_not_links(tmp_path, clock):
    files = {
        **link("eth0"),
        **link("lo", virtual=True),
        **link("docker0", virtual=True),
        **link("wg0", virtual=True),
        **net_dev(lo=(1, 1, 0), docker0=(1, 1, 0), eth0=(1, 1, 0), wg0=(1, 1, 0)),
    }

    report = network.collector(tree(tmp_path, files), clock).collect()

    assert set(report.readings) == {"net:eth0"}


def test_carriers_that_cannot_be_asked_do_not_cost_the_rates(tmp_path, clock, monkeypatch):
    psutil_says(monkeypatch, net_if_stats=PermissionError("ioctl"))
    collector = network.collector(tree(tmp_path, {**link("eth0"), **net_dev(eth0=(1000, 500, 0))}), clock)
    collector.collect()

    clock.forward(10)
    report = collector.collect()

    assert report.readings["net:eth0"]["network_received_bytes_per_second"] == 0
    assert report.codes() == {"": {"network_link_up": "denied"}}


def test_in_a_container_the_link_without_hardware_is_the_link(tmp_path, clock):
    files = {**link("eth0", virtual=True), **net_dev(lo=(1, 1, 0), eth0=(1, 1, 0))}

    assert set(network.collector(tree(tmp_path, files), clock).collect().readings) == {"net:eth0"}


@pytest.mark.parametrize(("level", "dbm"), [("-56.", -56), ("200.", -56), ("-80", -80)])
def test_the_signal_of_wifi(tmp_path, clock, level, dbm):
    files = {**link("wlan0", wifi=True), **net_dev(wlan0=(1, 1, 0)), **wireless(wlan0=level)}

    report = network.collector(tree(tmp_path, files), clock).collect()

    assert report.readings == {"net:wlan0": {"network_link_up": 1, "wifi_signal_dbm": dbm}}


def test_a_driver_that_does_not_tell_its_signal_is_named(tmp_path, clock):
    files = {**link("wlan0", wifi=True), **net_dev(wlan0=(1, 1, 0))}

    report = network.collector(tree(tmp_path, files), clock).collect()

    assert report.codes() == {"net:wlan0": {"wifi_signal_dbm": "unsupported"}}


def test_a_signal_that_is_no_number_does_not_cost_the_link(tmp_path, clock):
    files = {**link("wlan0", wifi=True), **net_dev(wlan0=(1, 1, 0)), **wireless(wlan0="loud")}

    report = network.collector(tree(tmp_path, files), clock).collect()

    assert report.readings == {"net:wlan0": {"network_link_up": 1}}
    assert report.codes() == {"": {"wifi_signal_dbm": "failed"}}


def test_android_hides_everything_but_what_termux_tells(tmp_path, clock, monkeypatch):
    collector = network.collector(tree(tmp_path, {}), clock, signals=lambda: {"wlan0": -61.0})
    deny(monkeypatch, tmp_path, "/proc/net", "/sys/class/net")

    report = collector.collect()

    assert collector.blocking
    assert report.readings == {"net:wlan0": {"wifi_signal_dbm": -61.0}}
    assert set(report.codes()[""].values()) == {"denied"}


def test_windows_names_its_links_otherwise(monkeypatch, tmp_path, clock):
    counters = SimpleNamespace(bytes_recv=10, bytes_sent=20, errin=0, errout=0, dropout=0)
    names = ["Local Area Connection", "Loopback Pseudo-Interface 1", "vEthernet (Default Switch)"]
    psutil_says(
        monkeypatch,
        net_io_counters=dict.fromkeys(names, counters),
        net_if_stats=carriers(**dict.fromkeys(names, 100)),
    )

    report = network.collector(tree(tmp_path, {}), clock).collect()

    assert report.readings == {"net:Local Area Connection": {"network_link_up": 1, "network_link_bits_per_second": 1e8}}
