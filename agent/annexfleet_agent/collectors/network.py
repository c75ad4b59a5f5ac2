"""Links: whether they have a carrier, how much goes over them, what breaks, and how strong the Wi-Fi is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import psutil

from annexfleet_agent.clock import Clock
from annexfleet_agent.collectors.programs import find, output_of
from annexfleet_agent.collectors.report import Collector, Report
from annexfleet_agent.collectors.tree import Tree

_MOST_LINKS = 8
_VIRTUAL = (
    *("loopback", "veth", "vethernet", "docker", "br-", "virbr", "vnet", "tap", "dummy", "ifb"),
    *("sit", "ip6tnl", "tunl"),
)
"""Beginnings of the names of links that lead nowhere outside the machine."""
_RATES = ("network_received_bytes_per_second", "network_sent_bytes_per_second", "network_errors_per_second")
_UP, _SPEED, _WIFI = "network_link_up", "network_link_bits_per_second", "wifi_signal_dbm"


class Counts(NamedTuple):
    """What a link has counted since it exists."""

    received_bytes: float
    sent_bytes: float
    errors: float


def collector(tree: Tree, clock: Clock, *, signals: Callable[[], dict[str, float]] | None = None) -> Collector:
    """Rates are those of the time since the pass before, so the first pass has none.

    `signals` gives dBm by link where no file does; by default Termux's program is used where it is installed.
    Only a collector that runs a program is blocking.
    Source: psutil.net_io_counters and net_if_stats; /proc/net/wireless.
    """
    before: dict[str, Counts] = {}
    before_at = clock.mono()
    if signals is None and not tree.root and (program := find("termux-wifi-connectioninfo")):
        signals = _termux(program)

    def collect() -> Report:
        nonlocal before, before_at
        report = Report()
        now = clock.mono()
        counts: dict[str, Counts] = {}
        with report.trying("", _UP, *_RATES):
            counts = _counts(tree)
            with report.trying("", _UP):
                _states(report, list(counts))
            for link, count in counts.items():
                _rates(report, link, before.get(link), count, now - before_at)
            before, before_at = counts, now
        with report.trying("", _WIFI):
            _wifi(report, tree, list(counts), signals)
        return report

    if signals is None:
        return Collector(name="network", collect=collect)
    return Collector(name="network", collect=collect, blocking=True, period_s=60, kept_fresh=False)


def _counts(tree: Tree) -> dict[str, Counts]:
    """Links with hardware behind them; where none says so (a container, Windows), those that lead outside.

    Frames dropped while receiving are not counted: most are frames of protocols that nobody here speaks.
    """
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    names = [name for name in counters if name != "lo" and not name.lower().startswith(_VIRTUAL)]
    hardware = [name for name in names if tree.exists(f"/sys/class/net/{name}/device")]
    return {
        name: Counts(of.bytes_recv, of.bytes_sent, of.errin + of.errout + of.dropout)
        for name in (hardware or names)[:_MOST_LINKS]
        for of in [counters[name]]
    }


def _states(report: Report, links: Sequence[str]) -> None:
    states = psutil.net_if_stats()
    for link in links:
        if (state := states.get(link)) is None:
            continue  # it was unplugged a moment ago
        report.put(f"net:{link}", _UP, int(state.isup))
        if state.isup and state.speed > 0:  # 0 where the link has no fixed speed
            report.put(f"net:{link}", _SPEED, state.speed * 1e6)


def _rates(report: Report, link: str, old: Counts | None, new: Counts, seconds: float) -> None:
    subject = f"net:{link}"
    if old is None or seconds <= 0 or any(n < o for n, o in zip(new, old, strict=True)):
        return  # the counters began anew: the driver was loaded again
    if not report.readings.get(subject, {}).get(_UP, 1):
        return  # nothing is not worth 0
    for metric, n, o in zip(_RATES, new, old, strict=True):
        report.put(subject, metric, (n - o) / seconds)


# -- Wi-Fi ------------------------------------------------------------------------------------------------------------


def _wifi(report: Report, tree: Tree, links: list[str], signals: Callable[[], dict[str, float]] | None) -> None:
    if signals is not None:
        for link, dbm in signals().items():
            report.put(f"net:{link}", _WIFI, dbm)
        return
    heard = parse_wireless(tree.text_or("/proc/net/wireless"))
    for link in links:
        subject = f"net:{link}"
        if link in heard:
            report.put(subject, _WIFI, heard[link])
        elif tree.exists(f"/sys/class/net/{link}/phy80211") and report.readings.get(subject, {}).get(_UP):
            report.miss(subject, _WIFI, "unsupported", "the driver does not fill /proc/net/wireless")


def parse_wireless(text: str) -> dict[str, float]:
    """dBm by link from the text of /proc/net/wireless."""
    heard = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        words = rest.split()
        if not colon or len(words) < 3:
            continue
        level = float(words[2].rstrip("."))
        if level > 0:  # some drivers give the byte unsigned
            level -= 256
        if -120 <= level < 0:
            heard[name.strip()] = level
    return heard


def _termux(program: str) -> Callable[[], dict[str, float]]:
    def signals() -> dict[str, float]:
        told = msgspec.json.decode(output_of([program], timeout_s=10))
        # -127 is what Android says while it is not connected.
        return {"wlan0": float(told["rssi"])} if told.get("rssi", -127) > -127 else {}

    return signals
